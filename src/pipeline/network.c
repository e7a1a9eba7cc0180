/* A network on a device; see network.h. */
#include "pipeline/network.h"

#include <string.h>

#include "model/load.h"

mzt_status precision_parse(const char *text, precision *out, mzt_error *error) {
    static const char *const names[] = {"auto", "f32", "f16", "bf16"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (precision)i;
        return MZT_OK;
    }
    return error_set(error, MZT_ERROR_INVALID, "unknown precision '%s': expected auto, f32, f16 or bf16",
                     text);
}

mzt_status precision_resolve(precision wanted, const executor_limits *limits, dtype *type, mzt_error *error) {
    bool possible = true;
    switch (wanted) {
    case PRECISION_AUTO:
        *type = limits->is_gpu && limits->f16 ? DTYPE_F16 : DTYPE_F32;
        break;
    case PRECISION_F32:
        *type = DTYPE_F32;
        break;
    case PRECISION_F16:
        *type = DTYPE_F16;
        possible = limits->f16;
        break;
    case PRECISION_BF16:
        *type = DTYPE_BF16;
        possible = limits->bf16;
        break;
    }
    if (possible) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED, "device %s (%s) cannot store %s; use --precision f32",
                     limits->spec, limits->name, dtype_name(*type));
}

mzt_status network_create(executor *e, graph *g, const weights_set *weights, network *out, mzt_error *error) {
    *out = (network){0};
    graph_options options = {.max_range = e->limits.max_range};
    mzt_status status = graph_compile(g, &options, &out->plan, error);
    graph_destroy(g);
    if (status >= 0) status = executor_prepare(e, out->plan, &out->program, error);
    if (status >= 0 && weights) status = model_load(e->host, out->program, weights, error);
    if (status >= 0) status = program_seal(out->program, error);
    if (status < 0) network_destroy(out);
    return status;
}

void network_destroy(network *n) {
    program_destroy(n->program);
    plan_destroy(n->plan);
    *n = (network){0};
}

/* The buffer called `name`, which must hold `count` elements and have a role. */
static mzt_status find(const network *n, const char *name, uint64_t count, const plan_buffer **buffer,
                       uint32_t *index, mzt_error *error) {
    *index = plan_find_buffer(n->plan, name);
    if (*index == PLAN_NONE)
        return error_set(error, MZT_ERROR_INTERNAL, "the network has no tensor '%s'", name);
    *buffer = &n->plan->buffers[*index];
    uint64_t held = (*buffer)->bytes / dtype_size((*buffer)->dtype);
    if (held != count)
        return error_set(error, MZT_ERROR_INVALID, "tensor '%s' holds %llu elements, given %llu", name,
                         (unsigned long long)held, (unsigned long long)count);
    return MZT_OK;
}

mzt_status network_set(network *n, const char *name, const float *values, uint64_t count, mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype == DTYPE_F32) return program_write(n->program, index, 0, values, buffer->bytes, error);
    const base_host *host = n->program->owner->host;
    void *converted = host_realloc(host, NULL, (size_t)buffer->bytes, 1);
    if (!converted) return error_memory(error, name, buffer->bytes);
    dtype_convert(buffer->dtype, converted, DTYPE_F32, values, (size_t)count);
    mzt_status status = program_write(n->program, index, 0, converted, buffer->bytes, error);
    host_free(host, converted);
    return status;
}

mzt_status network_set_u32(network *n, const char *name, const uint32_t *values, uint64_t count,
                           mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype != DTYPE_U32)
        return error_set(error, MZT_ERROR_INTERNAL, "tensor '%s' does not hold u32", name);
    return program_write(n->program, index, 0, values, buffer->bytes, error);
}

mzt_status network_get(network *n, const char *name, float *values, uint64_t count, mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype != DTYPE_F32)
        return error_set(error, MZT_ERROR_INTERNAL, "tensor '%s' does not hold f32", name);
    return program_read(n->program, index, 0, values, buffer->bytes, error);
}

mzt_status network_run(network *n, mzt_error *error) {
    return program_run_phase(n->program, "main", NULL, error);
}
