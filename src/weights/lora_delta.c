/* What one module of a LoRA file adds to a weight: its matrices in f32, and ranges of elements of their
 * product. */
#include <stdio.h>
#include <string.h>

#include "weights/lora_internal.h"

enum { TILE = 512 }; /* columns at once: a tile of `d` stays in cache for all rows */

/* ------------------------------------------------------------------------------------------------------------
 * shapes -- */

/* A matrix seen by its first axis: rows and all else. */
typedef struct extent {
    uint64_t rows, columns;
} extent;

static extent extent_of(const weights_tensor *t) {
    const uint64_t rows = t && t->rank > 0 ? t->shape[0] : 0;
    return (extent){rows, rows ? t->count / rows : 0};
}

/* Elements of a Tucker core beyond its two ranks: kh kw. */
static uint64_t kernel_of(const weights_tensor *t) {
    return t->rank >= 2 && t->shape[0] && t->shape[1] ? t->count / t->shape[0] / t->shape[1] : 0;
}

/* [rank_out, rank_in, kh, kw] between `out` [rank_out][..] and `in` [rank_in][I]; the columns they make; 0:
 * they do not fit. */
static uint64_t core_columns(const weights_tensor *core, uint64_t rank_out, extent in) {
    uint64_t columns;
    if (core->rank < 2 || core->shape[0] != rank_out || core->shape[1] != in.rows) return 0;
    return size_mul(in.columns, kernel_of(core), &columns) ? columns : 0;
}

/* Products of two matrices: rows and columns of the result, {0, 0} where they do not fit. `turned`: `a` is
 * [rank][O]. */
static extent product_extent(const weights_tensor *a, const weights_tensor *b, const weights_tensor *core,
                             bool turned) {
    const extent u = extent_of(a), d = extent_of(b);
    const uint64_t rows = turned ? u.columns : u.rows, rank = turned ? u.rows : u.columns;
    const uint64_t columns = core ? core_columns(core, rank, d) : rank == d.rows ? d.columns : 0;
    return columns ? (extent){rows, columns} : (extent){0, 0};
}

static extent kron_factor(const lora_module *m, lora_part whole, lora_part a, lora_part b, lora_part core) {
    if (m->parts[whole]) return extent_of(m->parts[whole]);
    return product_extent(m->parts[a], m->parts[b], core < LORA_PART_COUNT ? m->parts[core] : NULL,
                          core < LORA_PART_COUNT && m->parts[core]);
}

/* Rows and columns of what the module adds; {0, 0} where its own matrices do not fit each other. */
static extent module_extent(const lora_module *m) {
    const weights_tensor *const *p = m->parts;
    extent first, second, out = {0, 0};
    switch (m->kind) {
    case LORA_KIND_PRODUCT:
        return product_extent(p[LORA_UP], p[LORA_DOWN], p[LORA_MID], false);
    case LORA_KIND_HADAMARD:
        first = product_extent(p[LORA_HADA_1A], p[LORA_HADA_1B], p[LORA_HADA_T1], p[LORA_HADA_T1] != NULL);
        second = product_extent(p[LORA_HADA_2A], p[LORA_HADA_2B], p[LORA_HADA_T2], p[LORA_HADA_T2] != NULL);
        return first.rows == second.rows && first.columns == second.columns ? first : out;
    case LORA_KIND_KRONECKER:
        first = kron_factor(m, LORA_KRON_1, LORA_KRON_1A, LORA_KRON_1B, LORA_PART_COUNT);
        second = kron_factor(m, LORA_KRON_2, LORA_KRON_2A, LORA_KRON_2B, LORA_KRON_T2);
        if (!size_mul(first.rows, second.rows, &out.rows) ||
            !size_mul(first.columns, second.columns, &out.columns))
            return (extent){0, 0};
        return out;
    case LORA_KIND_DIFF:
        return extent_of(p[LORA_DIFF]);
    }
    return out;
}

/* The kernel's size, where the module's matrices tell: a convolution's must be the weight's. */
static bool same_kernel(const lora_module *m, const weights_tensor *tensor) {
    static const lora_part with_kernel[] = {LORA_MID,     LORA_HADA_T1, LORA_HADA_T2,
                                            LORA_KRON_T2, LORA_KRON_2,  LORA_DIFF};
    const weights_tensor *t = m->parts[LORA_MID] ? NULL : m->parts[LORA_DOWN];
    for (size_t i = 0; i < sizeof with_kernel / sizeof *with_kernel && !t; i++)
        t = m->parts[with_kernel[i]];
    if (!t || t->rank < 4 || tensor->rank < 4) return true;
    return t->shape[2] == tensor->shape[2] && t->shape[3] == tensor->shape[3];
}

/* No rank beyond the weight's own sides says anything new; such a file is broken or hostile. */
static bool sane_rank(const lora_module *m, extent whole) {
    static const lora_part inner[] = {LORA_DOWN,    LORA_MID,     LORA_HADA_1B,
                                      LORA_HADA_2B, LORA_KRON_1B, LORA_KRON_2B};
    const uint64_t most = whole.rows > whole.columns ? whole.rows : whole.columns;
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (extent_of(m->parts[inner[i]]).rows > most) return false;
    return true;
}

mzt_status lora_module_check(const lora_file *file, const lora_module *module, const weights_tensor *tensor,
                             mzt_error *error) {
    const extent given = module_extent(module), whole = extent_of(tensor);
    char key[120], name[120], shape[80];
    if (given.rows == whole.rows && given.columns == whole.columns && given.rows &&
        same_kernel(module, tensor) && sane_rank(module, whole))
        return MZT_OK;
    error_text(key, sizeof key, module->key);
    error_text(name, sizeof name, tensor->name);
    weights_shape_text(shape, sizeof shape, tensor->shape, tensor->rank);
    if (given.rows == 0)
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: \"%s\": its matrices do not fit each other (for \"%s\" %s)",
                         safetensors_name(file->file), key, name, shape);
    if (!sane_rank(module, whole))
        return error_set(error, MZT_ERROR_FORMAT, "%s: \"%s\": its rank is larger than \"%s\" %s",
                         safetensors_name(file->file), key, name, shape);
    return error_set(error, MZT_ERROR_FORMAT,
                     "%s: \"%s\": its matrices make [%llu,%llu], which does not fit \"%s\" %s",
                     safetensors_name(file->file), key, (unsigned long long)given.rows,
                     (unsigned long long)given.columns, name, shape);
}

/* ----------------------------------------------------------------------------------------------------------
 * matrices -- */

static float *floats(const base_host *host, uint64_t a, uint64_t b, mzt_error *error) {
    uint64_t count;
    float *block =
        size_mul(a, b, &count) && count <= SIZE_MAX ? host_calloc(host, (size_t)count, sizeof *block) : NULL;
    if (!block) error_memory(error, "LoRA matrices", a * b * sizeof *block);
    return block;
}

/* A whole tensor as f32; NULL after an error. */
static float *load(const base_host *host, const weights_tensor *t, mzt_error *error) {
    float *block = floats(host, t->count, 1, error);
    if (block && weights_convert(t, 0, t->count, DTYPE_F32, block, error) < 0) {
        host_free(host, block);
        block = NULL;
    }
    return block;
}

/* [rows][columns] to [columns][rows] in a block of its own; frees the old one. */
static float *turn(const base_host *host, float *from, uint64_t rows, uint64_t columns, mzt_error *error) {
    float *to = from ? floats(host, rows, columns, error) : NULL;
    for (uint64_t r = 0; to && r < rows; r++)
        for (uint64_t c = 0; c < columns; c++)
            to[c * rows + r] = from[r * columns + c];
    host_free(host, from);
    return to;
}

/* core [a][b][k] and in [b][I] to [a][I][k]: the second matrix of a product, where a Tucker core stands
 * between. */
static float *contract(const base_host *host, const weights_tensor *core, float *in, uint64_t inputs,
                       mzt_error *error) {
    const uint64_t a = core->shape[0], b = core->shape[1], kernel = kernel_of(core),
                   columns = inputs * kernel;
    float *c = in ? load(host, core, error) : NULL, *out = c ? floats(host, a, columns, error) : NULL;
    for (uint64_t i = 0; out && i < a; i++)
        for (uint64_t j = 0; j < b; j++)
            for (uint64_t x = 0; x < inputs; x++)
                for (uint64_t k = 0; k < kernel; k++)
                    out[i * columns + x * kernel + k] += c[(i * b + j) * kernel + k] * in[j * inputs + x];
    host_free(host, c);
    host_free(host, in);
    return out;
}

/* Fills u[at] [O][rank] and d[at] [rank][N] of a product. */
static mzt_status load_product(const base_host *host, const weights_tensor *a, const weights_tensor *b,
                               const weights_tensor *core, bool turned, lora_term *out, int at,
                               mzt_error *error) {
    const extent u = extent_of(a), d = extent_of(b);
    out->u[at] = load(host, a, error);
    if (turned) out->u[at] = turn(host, out->u[at], u.rows, u.columns, error);
    out->d[at] = load(host, b, error);
    if (core) out->d[at] = contract(host, core, out->d[at], d.columns, error);
    out->rank[at] = turned ? u.rows : u.columns;
    return out->u[at] && out->d[at] ? MZT_OK : MZT_ERROR_OUT_OF_MEMORY;
}

/* One factor of a Kronecker product as a whole matrix. */
static float *load_factor(const base_host *host, const lora_module *m, lora_part whole, lora_part a,
                          lora_part b, lora_part core, extent size, mzt_error *error) {
    if (m->parts[whole]) return load(host, m->parts[whole], error);
    const weights_tensor *middle = core < LORA_PART_COUNT ? m->parts[core] : NULL;
    lora_term pair = {.kind = LORA_KIND_PRODUCT};
    float *out = NULL;
    if (load_product(host, m->parts[a], m->parts[b], middle, middle != NULL, &pair, 0, error) >= 0)
        out = floats(host, size.rows, size.columns, error);
    if (out && lora_term_add(&pair, size.columns, 0, size.rows * size.columns, out, error) < 0) {
        host_free(host, out);
        out = NULL;
    }
    lora_term_destroy(host, &pair);
    return out;
}

static mzt_status load_kronecker(const base_host *host, const lora_module *m, lora_term *out,
                                 mzt_error *error) {
    const extent first = kron_factor(m, LORA_KRON_1, LORA_KRON_1A, LORA_KRON_1B, LORA_PART_COUNT),
                 second = kron_factor(m, LORA_KRON_2, LORA_KRON_2A, LORA_KRON_2B, LORA_KRON_T2);
    out->b = first.columns;
    out->c = second.rows;
    out->e = second.columns;
    out->rank[0] = first.rows; /* of w1's rows, for what multiplies it */
    out->u[0] = load_factor(host, m, LORA_KRON_1, LORA_KRON_1A, LORA_KRON_1B, LORA_PART_COUNT, first, error);
    out->d[0] = load_factor(host, m, LORA_KRON_2, LORA_KRON_2A, LORA_KRON_2B, LORA_KRON_T2, second, error);
    return out->u[0] && out->d[0] ? MZT_OK : MZT_ERROR_OUT_OF_MEMORY;
}

mzt_status lora_term_create(const base_host *host, const lora_module *module, double scale, lora_term *out,
                            mzt_error *error) {
    const weights_tensor *const *p = module->parts;
    const float factor = (float)(scale * module->factor);
    uint64_t count = 0; /* of u[0] */
    mzt_status status = MZT_OK;
    *out = (lora_term){.kind = module->kind};
    switch (module->kind) {
    case LORA_KIND_PRODUCT:
        status = load_product(host, p[LORA_UP], p[LORA_DOWN], p[LORA_MID], false, out, 0, error);
        count = p[LORA_UP]->count;
        break;
    case LORA_KIND_HADAMARD:
        status = load_product(host, p[LORA_HADA_1A], p[LORA_HADA_1B], p[LORA_HADA_T1],
                              p[LORA_HADA_T1] != NULL, out, 0, error);
        if (status >= 0)
            status = load_product(host, p[LORA_HADA_2A], p[LORA_HADA_2B], p[LORA_HADA_T2],
                                  p[LORA_HADA_T2] != NULL, out, 1, error);
        count = p[LORA_HADA_1A]->count;
        break;
    case LORA_KIND_KRONECKER:
        status = load_kronecker(host, module, out, error);
        count = out->rank[0] * out->b;
        break;
    case LORA_KIND_DIFF:
        out->diff = p[LORA_DIFF];
        out->factor = factor;
        break;
    }
    for (uint64_t i = 0; status >= 0 && out->u[0] && i < count; i++)
        out->u[0][i] *= factor;
    if (status < 0) lora_term_destroy(host, out);
    return status;
}

void lora_term_destroy(const base_host *host, lora_term *term) {
    for (int i = 0; i < 2; i++) {
        host_free(host, term->u[i]);
        host_free(host, term->d[i]);
    }
    *term = (lora_term){0};
}

/* ------------------------------------------------------------------------------------------------------------
 * adding -- */

/* out[j] += sum over k < 4 of u[k] d[k][j]. Loops of a fixed length become vector instructions at -O2, others
 * do not. */
static void add_four(float *restrict out, const float u[4], const float *restrict d, uint64_t stride,
                     size_t count) {
    enum { WIDTH = 16 };
    const float *d0 = d, *d1 = d0 + stride, *d2 = d1 + stride, *d3 = d2 + stride;
    const float u0 = u[0], u1 = u[1], u2 = u[2], u3 = u[3];
    size_t j = 0;
    for (; j + WIDTH <= count; j += WIDTH)
        for (size_t i = j; i < j + WIDTH; i++)
            out[i] += (u0 * d0[i] + u1 * d1[i]) + (u2 * d2[i] + u3 * d3[i]);
    for (; j < count; j++)
        out[j] += (u0 * d0[j] + u1 * d1[j]) + (u2 * d2[j] + u3 * d3[j]);
}

/* out[j] += sum over k of u[k] d[k][j]. The order of the sum is the same for every range. */
static void add_product(float *restrict out, const float *u, const float *restrict d, uint64_t rank,
                        uint64_t stride, size_t count) {
    uint64_t k = 0;
    for (; k + 4 <= rank; k += 4)
        add_four(out, u + k, d + k * stride, stride, count);
    for (; k < rank; k++)
        for (size_t j = 0; j < count; j++)
            out[j] += u[k] * d[k * stride + j];
}

static void add_hadamard(const lora_term *t, uint64_t row, uint64_t columns, uint64_t column, size_t count,
                         float *out) {
    float a[TILE] = {0}, b[TILE] = {0};
    add_product(a, t->u[0] + row * t->rank[0], t->d[0] + column, t->rank[0], columns, count);
    add_product(b, t->u[1] + row * t->rank[1], t->d[1] + column, t->rank[1], columns, count);
    for (size_t j = 0; j < count; j++)
        out[j] += a[j] * b[j];
}

static void add_kronecker(const lora_term *t, uint64_t row, uint64_t column, size_t count, float *out) {
    const float *w1 = t->u[0] + row / t->c * t->b, *w2 = t->d[0] + row % t->c * t->e;
    for (size_t j = 0; j < count; j++, column++)
        out[j] += w1[column / t->e] * w2[column % t->e];
}

static void add_tile(const lora_term *t, uint64_t row, uint64_t columns, uint64_t column, size_t count,
                     float *out) {
    if (t->kind == LORA_KIND_PRODUCT)
        add_product(out, t->u[0] + row * t->rank[0], t->d[0] + column, t->rank[0], columns, count);
    else if (t->kind == LORA_KIND_HADAMARD)
        add_hadamard(t, row, columns, column, count, out);
    else
        add_kronecker(t, row, column, count, out);
}

/* Columns [from, to) of rows [first, first + rows); values begins at column `from` of the first. */
static void add_rows(const lora_term *t, uint64_t columns, uint64_t first, uint64_t rows, uint64_t from,
                     uint64_t to, float *values) {
    for (uint64_t c = from; c < to; c += TILE) {
        const size_t count = to - c < TILE ? (size_t)(to - c) : TILE;
        for (uint64_t r = 0; r < rows; r++)
            add_tile(t, first + r, columns, c, count, values + r * columns + (c - from));
    }
}

static mzt_status add_diff(const lora_term *t, uint64_t first, uint64_t count, float *values,
                           mzt_error *error) {
    float piece[TILE];
    for (uint64_t done = 0; done < count; done += TILE) {
        const size_t n = count - done < TILE ? (size_t)(count - done) : TILE;
        TRY(weights_convert(t->diff, first + done, n, DTYPE_F32, piece, error));
        for (size_t i = 0; i < n; i++)
            values[done + i] += t->factor * piece[i];
    }
    return MZT_OK;
}

mzt_status lora_term_add(const lora_term *term, uint64_t columns, uint64_t first, uint64_t count,
                         float *values, mzt_error *error) {
    if (term->kind == LORA_KIND_DIFF) return add_diff(term, first, count, values, error);
    const uint64_t last = first + count;
    uint64_t row = first / columns, column = first % columns;
    if (column > 0 || count < columns) { /* what is left of a row that was begun */
        const uint64_t end = count < columns - column ? column + count : columns;
        add_rows(term, columns, row, 1, column, end, values);
        values += end - column;
        row++;
        if (end < columns) return MZT_OK;
    }
    const uint64_t whole = last / columns > row ? last / columns - row : 0;
    add_rows(term, columns, row, whole, 0, columns, values);
    values += whole * columns;
    row += whole;
    if (last > row * columns) add_rows(term, columns, row, 1, 0, last - row * columns, values);
    return MZT_OK;
}
