/* Packing of weight matrices into panels as wide as a register tile; see packed_matrix in fast.h. */
#include "cpu/fast.h"

/* The matrix row at column `lane` of a panel; false: none, the column is zero. */
static bool source_row(const packed_matrix *m, uint32_t columns, uint32_t panel, uint32_t lane,
                       uint64_t *row) {
    uint64_t in_half = (uint64_t)(m->geglu ? panel / 2 : panel) * columns + lane;
    *row = m->geglu && panel % 2 ? m->n + in_half : in_half;
    return in_half < m->n;
}

typedef struct pack_job {
    const packed_matrix *matrix;
    uint32_t columns;
} pack_job;

static void pack_panels(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const pack_job *job = argument;
    const packed_matrix *m = job->matrix;
    uint32_t columns = job->columns;
    size_t size = dtype_size(m->type);
    for (uint64_t panel = first; panel < last; panel++) {
        uint8_t *to = (uint8_t *)m->data + panel * m->k * columns * size;
        for (uint32_t lane = 0; lane < columns; lane++) {
            uint64_t row;
            if (!source_row(m, columns, (uint32_t)panel, lane, &row))
                continue; /* the block was allocated zeroed */
            const uint8_t *from = (const uint8_t *)m->source + row * m->k * size;
            for (uint64_t k = 0; k < m->k; k++)
                memcpy(to + (k * columns + lane) * size, from + k * size, size);
        }
    }
}

mzt_status fast_pack(cpu_program *g, const cpu_operand *weight, uint64_t n, uint64_t k, bool geglu,
                     packed_matrix **out, mzt_error *error) {
    fast_program *f = fast_program_of(g);
    const base_host *host = g->base.owner->host;
    for (uint32_t i = 0; i < f->matrix_count; i++) {
        packed_matrix *m = &f->matrices[i];
        if (m->source == weight->data && m->n == n && m->k == k && m->geglu == geglu) {
            *out = m;
            return MZT_OK;
        }
    }
    uint32_t columns = f->kernels->columns,
             panels = (uint32_t)((n + columns - 1) / columns) * (geglu ? 2 : 1);
    packed_matrix m = {
        .source = weight->data, .type = weight->type, .geglu = geglu, .n = n, .k = k, .panels = panels};
    uint64_t elements, bytes;
    if (!size_mul(panels, k, &elements) || !size_mul(elements, columns * dtype_size(m.type), &bytes) ||
        bytes > SIZE_MAX)
        return error_memory(error, "packed weights", UINT64_MAX);
    m.data = host_calloc(host, (size_t)bytes, 1);
    if (!m.data) return error_memory(error, "packed weights", bytes);
    f->packed_bytes += bytes;
    *out = &f->matrices[f->matrix_count++];
    **out = m;
    pack_job job = {*out, columns};
    thread_pool_for(cpu_executor_of(g)->pool, panels, 1, pack_panels, &job);
    return MZT_OK;
}
