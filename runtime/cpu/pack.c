/* Packing of weight matrices into panels as wide as a register tile; see packed_matrix in fast.h. */
#include "cpu/fast.h"

bool fast_source_row(const packed_matrix *m, uint32_t columns, uint32_t panel, uint32_t lane, uint64_t *row) {
    uint64_t in_half = (uint64_t)(m->geglu ? panel / 2 : panel) * columns + lane;
    *row = m->geglu && panel % 2 ? m->n + in_half : in_half;
    return in_half < m->n;
}

typedef struct pack_job {
    const packed_matrix *matrix;
    const uint8_t *source;
    uint32_t columns;
} pack_job;

enum {
    DEPTH = 64
}; /* columns of the matrix moved at a time: as much of a panel stays in the first-level cache */

/* Element `k` of `from` to place k * columns of `to`, for k < count. */
#define SPREAD(type)                                                                                         \
    static void spread_##type(const type *restrict from, uint64_t count, uint32_t columns,                   \
                              type *restrict to) {                                                           \
        for (uint64_t k = 0; k < count; k++)                                                                 \
            to[k * columns] = from ? from[k] : 0;                                                            \
    }
SPREAD(uint16_t)
SPREAD(uint32_t)
#undef SPREAD

static void pack_panels(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const pack_job *job = argument;
    const packed_matrix *m = job->matrix;
    uint32_t columns = job->columns;
    size_t size = dtype_size(m->type);
    for (uint64_t panel = first; panel < last; panel++) {
        if (dtype_block(m->type) > 1) fast_pack_blocks(m, job->source, columns, (uint32_t)panel);
        for (uint64_t k = 0; dtype_block(m->type) == 1 && k < m->k; k += DEPTH) {
            uint8_t *to = (uint8_t *)m->data + (panel * m->k + k) * columns * size;
            uint64_t count = m->k - k < DEPTH ? m->k - k : DEPTH;
            for (uint32_t lane = 0; lane < columns; lane++, to += size) {
                uint64_t row;
                bool there = fast_source_row(m, columns, (uint32_t)panel, lane, &row);
                const void *from = there ? job->source + (row * m->k + k) * size : NULL;
                if (size == sizeof(uint32_t))
                    spread_uint32_t(from, count, columns, (uint32_t *)(void *)to);
                else
                    spread_uint16_t(from, count, columns, (uint16_t *)(void *)to);
            }
        }
    }
}

static const plan_binding *weight_binding(const cpu_program *g, const cpu_call *call) {
    return &g->base.plan->dispatches[call - g->calls].bindings[LINEAR_WEIGHT];
}

/* Whether every dispatch that binds the buffer of `m` does so to multiply with this very matrix, which fills
 * the buffer. */
static bool plain_is_unused(const cpu_program *g, const packed_matrix *m) {
    const plan *p = g->base.plan;
    if (p->buffers[m->buffer].bytes != dtype_bytes(m->type, (m->geglu ? 2 : 1) * m->n * m->k)) return false;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const plan_dispatch *d = &p->dispatches[i];
        for (uint32_t j = 0; j < op_get((op)d->op)->binding_count; j++) {
            if (d->bindings[j].buffer != m->buffer) continue;
            const linear_params *l = &d->params.linear;
            const conv2d_params *c = &d->params.conv2d;
            bool same_linear = d->op == OP_LINEAR && l->n == m->n && (uint64_t)l->k0 + l->k1 == m->k &&
                               !(l->flags & EPILOGUE_GEGLU) == !m->geglu;
            bool same_conv = d->op == OP_CONV2D && c->cout == m->n && !m->geglu &&
                             (uint64_t)c->kh * c->kw * ((uint64_t)c->c0 + c->c1) == m->k;
            if (j != LINEAR_WEIGHT || !(same_linear || same_conv) || d->bindings[j].offset != 0) return false;
        }
    }
    return true;
}

static packed_matrix describe(const fast_program *f, const plan_binding *binding, dtype type, uint64_t n,
                              uint64_t k, bool geglu) {
    uint32_t columns = f->kernels->columns;
    return (packed_matrix){.buffer = binding->buffer,
                           .offset = binding->offset,
                           .type = type,
                           .geglu = geglu,
                           .n = n,
                           .k = k,
                           .panels = (uint32_t)((n + columns - 1) / columns) * (geglu ? 2 : 1)};
}

uint64_t fast_packed_bytes(const fast_program *f, const packed_matrix *m) {
    uint64_t elements, bytes;
    bool fits = size_mul(m->panels, m->k, &elements) && size_mul(elements, f->kernels->columns, &elements);
    bytes = fits ? dtype_bytes(m->type, elements) : UINT64_MAX;
    return bytes < SIZE_MAX ? bytes : 0;
}

packed_matrix *fast_pack_later(fast_program *f, const cpu_program *g, const cpu_call *call, uint64_t n,
                               uint64_t k, bool geglu) {
    packed_matrix *m = &f->matrices[f->matrix_count++];
    *m = describe(f, weight_binding(g, call), call->operands[LINEAR_WEIGHT].type, n, k, geglu);
    return m;
}

packed_matrix fast_repack(const fast_program *f, const cpu_call *call, const packed_matrix *m, void *to) {
    packed_matrix packed = *m;
    packed.data = to;
    pack_job job = {&packed, call->operands[LINEAR_WEIGHT].data, f->kernels->columns};
    thread_pool_for(call->pool, packed.panels, 1, pack_panels, &job);
    return packed;
}

mzt_status fast_pack(cpu_program *g, const cpu_call *call, uint64_t n, uint64_t k, bool geglu,
                     packed_matrix **out, mzt_error *error) {
    fast_program *f = fast_program_of(g);
    const base_host *host = g->base.owner->host;
    const plan_binding *binding = weight_binding(g, call);
    for (uint32_t i = 0; i < f->matrix_count; i++) {
        packed_matrix *m = &f->matrices[i];
        if (m->buffer == binding->buffer && m->offset == binding->offset && m->n == n && m->k == k &&
            m->geglu == geglu) {
            *out = m;
            return MZT_OK;
        }
    }
    packed_matrix m = describe(f, binding, call->operands[LINEAR_WEIGHT].type, n, k, geglu);
    uint64_t bytes = fast_packed_bytes(f, &m);
    if (!bytes) return error_memory(error, "packed weights", UINT64_MAX);
    m.data = host_calloc(host, (size_t)bytes, 1);
    if (!m.data) return error_memory(error, "packed weights", bytes);
    f->packed_bytes += bytes;
    *out = &f->matrices[f->matrix_count++];
    **out = m;
    pack_job job = {*out, call->operands[LINEAR_WEIGHT].data, f->kernels->columns};
    thread_pool_for(cpu_executor_of(g)->pool, m.panels, 1, pack_panels, &job);
    if (!f->native && plain_is_unused(g, *out)) { /* oneDNN may still want them */
        host_free(host, g->weights[m.buffer]);
        g->weights[m.buffer] = NULL;
        g->buffers[m.buffer] = NULL;
    }
    return MZT_OK;
}

void fast_unpack(const cpu_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size) {
    const fast_program *f = fast_program_of(g);
    const packed_matrix *m = f->matrices;
    while (m->buffer != buffer)
        m++; /* a buffer without a plain copy has exactly one packed matrix */
    uint32_t columns = f->kernels->columns;
    size_t width = dtype_size(m->type);
    bool blocks = dtype_block(m->type) > 1;
    for (uint64_t i = 0; blocks && i < size; i++)
        ((uint8_t *)data)[i] = fast_unpack_block_byte(m, columns, offset + i);
    for (uint64_t i = 0; !blocks && i < size; i++) {
        uint64_t element = (offset + i) / width, row = element / m->k, k = element % m->k;
        uint64_t in_half = row % m->n, panel = in_half / columns;
        if (m->geglu) panel = 2 * panel + row / m->n;
        uint64_t at = (panel * m->k + k) * columns + in_half % columns;
        ((uint8_t *)data)[i] = ((const uint8_t *)m->data)[at * width + (offset + i) % width];
    }
}
