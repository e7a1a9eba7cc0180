/* Named tensors in files; see tensor_file.h. */
#include "pipeline/tensor_file.h"

#include <stdio.h>
#include <string.h>

#include "model/tensor_layout.h"

mzt_status tensor_make(const base_host *host, uint32_t rank, const uint32_t *shape, host_tensor *out,
                       mzt_error *error) {
    *out = (host_tensor){.rank = rank, .count = 1};
    for (uint32_t i = 0; i < rank; i++) {
        out->shape[i] = shape[i];
        if (!size_mul(out->count, shape[i], &out->count)) return error_memory(error, "tensor", UINT64_MAX);
    }
    out->values = host_calloc(host, (size_t)out->count, sizeof *out->values);
    return out->values ? MZT_OK : error_memory(error, "tensor", out->count * sizeof *out->values);
}

void tensor_release(const base_host *host, host_tensor *t) {
    host_free(host, t->values);
    *t = (host_tensor){0};
}

static mzt_status find(const weights_set *file, const char *name, uint32_t rank, const weights_tensor **found,
                       uint32_t *shape, mzt_error *error) {
    const weights_tensor *t = weights_find(file, name);
    if (!t)
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s: tensor %s is missing", weights_name(file), name);
    if (t->rank != rank)
        return error_set(error, MZT_ERROR_FORMAT, "%s: tensor %s: expected %u dimensions, found %u",
                         weights_name(file), name, rank, t->rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (t->shape[i] == 0 || t->shape[i] > 1u << 24)
            return error_set(error, MZT_ERROR_FORMAT, "%s: tensor %s: dimension %u is %llu",
                             weights_name(file), name, i, (unsigned long long)t->shape[i]);
        shape[i] = (uint32_t)t->shape[i];
    }
    *found = t;
    return MZT_OK;
}

mzt_status tensor_read(const base_host *host, const weights_set *file, const char *name, uint32_t rank,
                       host_tensor *out, mzt_error *error) {
    const weights_tensor *t = NULL;
    uint32_t shape[4] = {0};
    *out = (host_tensor){0};
    TRY(find(file, name, rank, &t, shape, error));
    host_tensor stored = {0};
    mzt_status status = tensor_make(host, rank, shape, out, error);
    if (status >= 0) status = weights_convert(t, 0, t->count, DTYPE_F32, out->values, error);
    if (status >= 0 && rank == 4) {
        status = tensor_make(host, rank, shape, &stored, error);
        if (status >= 0) {
            float *swapped = stored.values;
            stored.values = out->values;
            out->values = swapped;
            layout_nhwc_from_nchw(out->values, stored.values, shape[0], shape[1], shape[2], shape[3]);
        }
    }
    tensor_release(host, &stored);
    if (status < 0) tensor_release(host, out);
    return status;
}

mzt_status tensor_read_ids(const base_host *host, const weights_set *file, const char *name,
                           uint32_t shape[2], uint32_t **ids, mzt_error *error) {
    const weights_tensor *t = NULL;
    *ids = NULL;
    TRY(find(file, name, 2, &t, shape, error));
    *ids = host_calloc(host, (size_t)t->count, sizeof **ids);
    if (!*ids) return error_memory(error, name, t->count * sizeof **ids);
    mzt_status status = weights_convert(t, 0, t->count, DTYPE_U32, *ids, error);
    if (status < 0) {
        host_free(host, *ids);
        *ids = NULL;
    }
    return status;
}

mzt_status tensor_list_add(tensor_list *list, const char *name, uint32_t rank, const uint32_t *shape,
                           host_tensor **out, mzt_error *error) {
    if (list->count >= TENSOR_LIST_MAX)
        return error_set(error, MZT_ERROR_INTERNAL, "too many tensors for one file");
    TRY(tensor_make(list->host, rank, shape, &list->tensors[list->count], error));
    snprintf(list->names[list->count], sizeof list->names[0], "%s", name);
    *out = &list->tensors[list->count++];
    return MZT_OK;
}

mzt_status tensor_list_save(const tensor_list *list, const char *path, mzt_error *error) {
    weights_tensor tensors[TENSOR_LIST_MAX] = {{0}};
    host_tensor copies[TENSOR_LIST_MAX] = {{0}};
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < list->count; i++) {
        const host_tensor *t = &list->tensors[i];
        const float *values = t->values;
        if (t->rank == 4) {
            status = tensor_make(list->host, 4, t->shape, &copies[i], error);
            if (status < 0) break;
            layout_nchw_from_nhwc(copies[i].values, t->values, t->shape[0], t->shape[1], t->shape[2],
                                  t->shape[3]);
            values = copies[i].values;
        }
        tensors[i] = (weights_tensor){.name = list->names[i],
                                      .file = path,
                                      .dtype = WEIGHTS_F32,
                                      .rank = t->rank,
                                      .count = t->count,
                                      .data = (const uint8_t *)values};
        for (uint32_t d = 0; d < t->rank; d++)
            tensors[i].shape[d] = t->shape[d];
    }
    if (status >= 0) status = safetensors_save(list->host, path, tensors, list->count, NULL, 0, error);
    for (uint32_t i = 0; i < list->count; i++)
        tensor_release(list->host, &copies[i]);
    return status;
}

void tensor_list_release(tensor_list *list) {
    for (uint32_t i = 0; i < list->count; i++)
        tensor_release(list->host, &list->tensors[i]);
    list->count = 0;
}
