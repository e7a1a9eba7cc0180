/* Latents to pictures and back; see autoencoder.h. */
#include "pipeline/autoencoder.h"

#include <string.h>

#include "model/vae.h"

part_spec autoencoder_spec(part_kind kind, shape4 shape, model_wrap wrap) {
    part_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.kind = kind;
    spec.n = shape.n;
    spec.h = shape.h;
    spec.w = shape.w;
    spec.c = shape.c;
    spec.wrap_x = wrap.x;
    spec.wrap_y = wrap.y;
    return spec;
}

void latent_to_autoencoder(const model *m, float *values, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        values[i] = values[i] / m->vae.scaling_factor + m->vae.shift_factor;
}

void latent_to_unet(const model *m, float *values, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        values[i] = (values[i] - m->vae.shift_factor) * m->vae.scaling_factor;
}
