/* Writing a model's tensors; see convert.h. */
#include "pipeline/convert.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "pipeline/convert_internal.h"

#define CHUNK_ELEMENTS (4u << 20)

/* Element i of the turned matrix [C,R] is (i % R, i / R) of the part's [R,C]: one column after the other. The
 * matrix passes through memory as a whole (a text projection: a few megabytes). */
static mzt_status read_transposed(const base_host *host, const weights_tensor *t, uint64_t first,
                                  uint64_t count, float *out, mzt_error *error) {
    const uint64_t rows = t->shape[0], columns = t->shape[1];
    float *all = t->count <= SIZE_MAX / sizeof *all ? host_calloc(host, (size_t)t->count, sizeof *all) : NULL;
    if (!all) return error_memory(error, t->name, t->count * sizeof *all);
    mzt_status status = weights_convert(t, 0, t->count, DTYPE_F32, all, error);
    for (uint64_t i = first; status >= 0 && i < first + count; i++)
        out[i - first] = all[i % rows * columns + i / rows];
    host_free(host, all);
    return status;
}

/* A finite value that is none any more. */
static mzt_status check_range(const convert_entry *entry, const weights_tensor *t, uint64_t first,
                              uint64_t count, const uint16_t *halves, mzt_error *error) {
    for (uint64_t i = 0; i < count; i++) {
        float value;
        if ((halves[i] & 0x7fff) != 0x7c00 || t->dtype == WEIGHTS_F16) continue;
        TRY(weights_convert(t, first + i, 1, DTYPE_F32, &value, error));
        if (isfinite(value))
            return error_set(error, MZT_ERROR_INVALID,
                             "tensor \"%s\": %g is too large for f16; use bf16 or f32", entry->name,
                             (double)value);
    }
    return MZT_OK;
}

mzt_status convert_read(const base_host *host, const convert_entry *entry, uint64_t first, uint64_t count,
                        dtype to, void *out, mzt_error *error) {
    uint8_t *place = out;
    if (entry->transposed) {
        float *values = host_calloc(host, (size_t)count, sizeof *values);
        if (!values) return error_memory(error, entry->name, count * sizeof *values);
        mzt_status status = read_transposed(host, entry->parts[0], first, count, values, error);
        if (status >= 0) dtype_convert(to, out, DTYPE_F32, values, (size_t)count);
        host_free(host, values);
        return status;
    }
    for (uint32_t i = 0; i < entry->part_count && count > 0; i++) {
        const weights_tensor *t = entry->parts[i];
        if (first >= t->count) {
            first -= t->count;
            continue;
        }
        const uint64_t taken = t->count - first < count ? t->count - first : count;
        TRY(weights_convert(t, first, taken, to, place, error));
        if (to == DTYPE_F16) TRY(check_range(entry, t, first, taken, (const uint16_t *)(void *)place, error));
        place += taken * dtype_size(to);
        count -= taken;
        first = 0;
    }
    return MZT_OK;
}

static dtype stored_type(weights_dtype type) {
    return type == WEIGHTS_F16 ? DTYPE_F16 : type == WEIGHTS_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

static mzt_status write_values(const convert_job *job, const convert_list *list, safetensors_writer *writer,
                               mzt_error *error) {
    uint8_t *chunk = host_calloc(list->host, CHUNK_ELEMENTS, 4);
    if (!chunk) return error_memory(error, "tensors in transit", CHUNK_ELEMENTS * 4ull);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < list->count && status >= 0; i++) {
        const convert_entry *e = &list->entries[i];
        const uint64_t total = convert_entry_count(e);
        const dtype type = stored_type(e->type);
        for (uint64_t first = 0; first < total && status >= 0; first += CHUNK_ELEMENTS) {
            const uint64_t count = total - first < CHUNK_ELEMENTS ? total - first : CHUNK_ELEMENTS;
            status = convert_read(list->host, e, first, count, type, chunk, error);
            if (status >= 0)
                status = safetensors_writer_write(writer, chunk, count * dtype_size(type), error);
        }
        if (status >= 0 && job->progress && !job->progress(job->user, (double)(i + 1) / list->count))
            status = MZT_CANCELLED;
    }
    host_free(list->host, chunk);
    return status;
}

mzt_status convert_write_list(const convert_job *job, const convert_list *list, const char *path,
                              const char *prediction, mzt_error *error) {
    safetensors_writer *writer = NULL;
    mzt_status status = safetensors_writer_open(list->host, path, &writer, error);
    if (status >= 0) status = safetensors_writer_metadata(writer, "format", "pt", error);
    if (status >= 0 && prediction)
        status = safetensors_writer_metadata(writer, "modelspec.prediction_type", prediction, error);
    for (uint32_t i = 0; i < list->count && status >= 0; i++) {
        const convert_entry *e = &list->entries[i];
        status = safetensors_writer_declare(writer, e->name, e->type, e->shape, e->rank, error);
    }
    if (status >= 0) status = write_values(job, list, writer, error);
    if (status >= 0) return safetensors_writer_finish(writer, error);
    safetensors_writer_abandon(writer);
    return status;
}

mzt_status convert_to_file(const model *m, const char *path, convert_type type, convert_progress *progress,
                           void *user, mzt_error *error) {
    const convert_job job = {m, type, progress, user};
    convert_list list;
    mzt_status status = convert_list_single(m, type, &list, error);
    if (status >= 0)
        status = convert_write_list(&job, &list, path,
                                    m->sampler.prediction == PREDICTION_V ? "v" : "epsilon", error);
    convert_list_destroy(&list);
    return status;
}
