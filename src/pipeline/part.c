/* The networks of generating; see part.h. */
#include "pipeline/part.h"

#include "pipeline/packed.h"

_Static_assert(sizeof(part_spec) == 18 * 4, "no padding in a part_spec");

static const struct {
    const char *name;
    model_component component;
} parts[PART_KIND_COUNT] = {{"text_encoder", MODEL_TEXT_ENCODER},
                            {"text_encoder_2", MODEL_TEXT_ENCODER_2},
                            {"vae encoder", MODEL_VAE},
                            {"vae decoder", MODEL_VAE},
                            {"unet", MODEL_UNET},
                            {"vae decoder", MODEL_VAE}};

model_component part_component(part_kind kind) {
    return parts[kind].component;
}

const char *part_name(part_kind kind) {
    return parts[kind].name;
}

/* A compiled model's types were chosen when it was. */
static mzt_status packed_type(const model *m, const executor_limits *limits, precision p,
                              model_component component, dtype *type, mzt_error *error) {
    static const precision given[] = {PRECISION_F32, PRECISION_F16, PRECISION_BF16};
    *type = m->packed->type;
    if (p != PRECISION_AUTO && p != given[*type])
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s was compiled for %s", m->path, dtype_name(*type));
    TRY(precision_resolve(given[*type], limits, type, error));
    if (component == MODEL_VAE && m->vae.force_upcast && *type == DTYPE_F16) *type = DTYPE_F32;
    return MZT_OK;
}

/* Autoencoders that overflow f16 are run in f32; bf16 has the range. */
mzt_status part_type(const model *m, const executor_limits *limits, precision p, part_kind kind, dtype *type,
                     mzt_error *error) {
    const model_component component = parts[kind].component;
    if (m->packed) return packed_type(m, limits, p, component, type, error);
    if (!m->weights[component])
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s has no %s", m->path,
                         model_component_name(component));
    TRY(precision_resolve(p, limits, type, error));
    bool overflows = component == MODEL_VAE && m->vae.force_upcast;
    if (*type == DTYPE_F16 && p == PRECISION_AUTO && overflows) *type = DTYPE_F32;
    return MZT_OK;
}
