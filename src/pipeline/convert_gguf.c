/* Writing a model as a GGUF file; see convert_gguf.h. */
#include "pipeline/convert_gguf.h"

#include <ctype.h>
#include <string.h>

#include "weights/gguf.h"

#define CHUNK_ELEMENTS (1u << 20) /* whole blocks of every type */

bool convert_gguf_type(const char *text, weights_dtype *type) {
    static const weights_dtype types[] = {WEIGHTS_Q8_0, WEIGHTS_Q5_0, WEIGHTS_Q5_1, WEIGHTS_Q4_0,
                                          WEIGHTS_Q4_1, WEIGHTS_Q4_K, WEIGHTS_Q5_K, WEIGHTS_Q6_K,
                                          WEIGHTS_F16,  WEIGHTS_BF16, WEIGHTS_F32};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *a = text, *b = weights_dtype_name(types[i]);
        while (*a && toupper((unsigned char)*a) == *b)
            a++, b++;
        if (*a || *b) continue;
        *type = types[i];
        return true;
    }
    return false;
}

/* What one tensor is stored as. */
static weights_dtype stored_type(const convert_entry *e, weights_dtype wanted) {
    const bool autoencoder = strncmp(e->name, "first_stage_model.", 18) == 0;
    if (e->rank < 2) return e->type;
    if (weights_dtype_block(wanted) == 1) return wanted;
    if (e->rank != 2 || autoencoder || strstr(e->name, "embedding"))
        return e->type == WEIGHTS_F32 ? WEIGHTS_F16 : e->type;
    const uint64_t row = e->shape[1];
    if (row % weights_dtype_block(wanted) != 0)
        wanted = wanted == WEIGHTS_Q4_K ? WEIGHTS_Q4_1 : wanted == WEIGHTS_Q5_K ? WEIGHTS_Q5_1 : WEIGHTS_Q8_0;
    return row % weights_dtype_block(wanted) == 0 ? wanted : WEIGHTS_F16;
}

/* Elements [first, first + count) as bytes of the stored type. `values` is room for them in f32. */
static mzt_status read_bytes(const convert_list *list, const convert_entry *e, weights_dtype type,
                             uint64_t first, uint64_t count, float *values, uint8_t *bytes,
                             mzt_error *error) {
    if (weights_dtype_block(type) == 1) {
        const dtype to = type == WEIGHTS_F16 ? DTYPE_F16 : type == WEIGHTS_BF16 ? DTYPE_BF16 : DTYPE_F32;
        return convert_read(list->host, e, first, count, to, bytes, error);
    }
    TRY(convert_read(list->host, e, first, count, DTYPE_F32, values, error));
    weights_encode_blocks(type, values, count / weights_dtype_block(type), bytes);
    return MZT_OK;
}

static mzt_status write_values(const convert_list *list, weights_dtype wanted, gguf_writer *writer,
                               convert_progress *progress, void *user, mzt_error *error) {
    float *values = host_calloc(list->host, CHUNK_ELEMENTS, 2 * sizeof *values);
    if (!values) return error_memory(error, "tensors in transit", CHUNK_ELEMENTS * 8ull);
    uint8_t *bytes = (uint8_t *)(values + CHUNK_ELEMENTS);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < list->count && status >= 0; i++) {
        const convert_entry *e = &list->entries[i];
        const weights_dtype type = stored_type(e, wanted);
        const uint64_t total = convert_entry_count(e);
        for (uint64_t first = 0; first < total && status >= 0; first += CHUNK_ELEMENTS) {
            const uint64_t count = total - first < CHUNK_ELEMENTS ? total - first : CHUNK_ELEMENTS;
            uint64_t size = 0;
            status = read_bytes(list, e, type, first, count, values, bytes, error);
            if (!weights_dtype_bytes(type, count, &size)) status = MZT_ERROR_INTERNAL;
            if (status >= 0) status = gguf_writer_write(writer, bytes, size, error);
        }
        if (status >= 0 && progress && !progress(user, (double)(i + 1) / list->count)) status = MZT_CANCELLED;
    }
    host_free(list->host, values);
    return status;
}

static mzt_status write_list(const model *m, const convert_list *list, const char *path, weights_dtype type,
                             convert_progress *progress, void *user, mzt_error *error) {
    gguf_writer *writer = NULL;
    TRY(gguf_writer_open(list->host, path, &writer, error));
    const char *family = m->index.xl ? "sdxl" : m->unet.context_channels == 1024 ? "sd2" : "sd1";
    const bool v = m->sampler.prediction == PREDICTION_V;
    mzt_status status = gguf_writer_metadata(writer, "general.architecture", family, error);
    if (status >= 0)
        status = gguf_writer_metadata(writer, "modelspec.prediction_type", v ? "v" : "epsilon", error);
    for (uint32_t i = 0; i < list->count && status >= 0; i++) {
        const convert_entry *e = &list->entries[i];
        status = gguf_writer_declare(writer, e->name, stored_type(e, type), e->shape, e->rank, error);
    }
    if (status >= 0) status = write_values(list, type, writer, progress, user, error);
    if (status >= 0) return gguf_writer_finish(writer, error);
    gguf_writer_abandon(writer);
    return status;
}

mzt_status convert_to_gguf(const model *m, const char *path, weights_dtype type, convert_progress *progress,
                           void *user, mzt_error *error) {
    convert_list list = {.host = m->host};
    mzt_status status = convert_list_single(m, CONVERT_KEEP, &list, error);
    if (status >= 0) status = write_list(m, &list, path, type, progress, user, error);
    convert_list_destroy(&list);
    return status;
}
