/* What running takes of a model's configurations, as bytes and back; see packed.h. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "pipeline/packed.h"
#include "text/vocabulary.h"

static void bytes(packed_facts *f, void *value, uint32_t size) {
    if (f->bad || size > sizeof f->bytes - f->at || (!f->writing && f->at + size > f->size)) {
        f->bad = true;
        return;
    }
    if (f->writing)
        memcpy(f->bytes + f->at, value, size);
    else
        memcpy(value, f->bytes + f->at, size);
    f->at += size;
}

static void whole(packed_facts *f, uint32_t *value, uint32_t low, uint32_t high) {
    bytes(f, value, sizeof *value);
    if (*value < low || *value > high) f->bad = true;
}

static void flag(packed_facts *f, bool *value) {
    uint32_t number = *value;
    whole(f, &number, 0, 1);
    *value = number == 1;
}

/* Infinity is a value here (lambda_min_clipped); NaN is none. */
static void real(packed_facts *f, double *value) {
    bytes(f, value, sizeof *value);
    if (isnan(*value)) f->bad = true;
}

static void single(packed_facts *f, float *value) {
    bytes(f, value, sizeof *value);
    if (!isfinite(*value)) f->bad = true;
}

/* An enumeration of `count` values from 0 on. */
#define CHOICE(f, value, type, count)                                                                        \
    do {                                                                                                     \
        uint32_t choice_ = (uint32_t)(value);                                                                \
        whole((f), &choice_, 0, (count)-1);                                                                  \
        (value) = (type)choice_;                                                                             \
    } while (0)

static void networks(packed_facts *f, model *m) {
    unet_config *u = &m->unet;
    vae_config *v = &m->vae;
    whole(f, &u->in_channels, 1, 256);
    whole(f, &u->out_channels, 1, 256);
    for (int i = 0; i < 2; i++)
        whole(f, &u->sample_size[i], 0, 65536);
    whole(f, &u->levels, 1, UNET_MAX_LEVELS);
    whole(f, &u->context_channels, 1, 1u << 20);
    flag(f, &u->text_time);
    whole(f, &u->addition_time_channels, 0, 1u << 20);
    whole(f, &u->addition_input_channels, 0, 1u << 20);
    whole(f, &u->guidance_channels, 0, 1u << 20);
    whole(f, &v->in_channels, 3, 4);
    whole(f, &v->out_channels, 3, 4);
    whole(f, &v->latent_channels, 1, 256);
    whole(f, &v->patch_size, 0, 64);
    whole(f, &v->levels, 1, VAE_MAX_LEVELS);
    single(f, &v->scaling_factor);
    single(f, &v->shift_factor);
    flag(f, &v->force_upcast);
    if (v->scaling_factor == 0) f->bad = true;
}

static void text_encoder(packed_facts *f, clip_config *t) {
    whole(f, &t->vocabulary, 0, VOCABULARY_ID_LIMIT);
    whole(f, &t->added, 0, t->vocabulary);
    whole(f, &t->positions, 0, 1u << 16);
    whole(f, &t->channels, 0, 1u << 20);
    whole(f, &t->layers, 0, 1024);
    flag(f, &t->quick_gelu);
    flag(f, &t->projection);
    whole(f, &t->projection_channels, 0, 1u << 20);
    whole(f, &t->eos, 0, UINT32_MAX);
}

static void training(packed_facts *f, sampler_config *s) {
    CHOICE(f, s->kind, sampler_kind, SAMPLER_KIND_COUNT);
    whole(f, &s->given, 0, UINT32_MAX);
    CHOICE(f, s->prediction, prediction_type, PREDICTION_FLOW + 1);
    CHOICE(f, s->betas, beta_schedule, BETAS_TRAINED + 1);
    real(f, &s->beta_start);
    real(f, &s->beta_end);
    whole(f, &s->train_steps, 1, SAMPLER_TRAIN_STEPS_MAX);
    for (uint32_t i = 0; s->betas == BETAS_TRAINED && !f->bad && i < s->train_steps; i++)
        single(f, &s->trained_betas[i]);
    flag(f, &s->zero_snr);
    real(f, &s->shift);
    flag(f, &s->sdxl);
    CHOICE(f, s->spacing, timestep_spacing, SPACING_TRAILING + 1);
    whole(f, &s->steps_offset, 0, SAMPLER_TRAIN_STEPS_MAX);
    CHOICE(f, s->schedule, sigma_schedule, SCHEDULE_COUNT);
}

static void solver(packed_facts *f, sampler_config *s) {
    real(f, &s->sigma_min);
    real(f, &s->sigma_max);
    real(f, &s->lambda_min_clipped);
    flag(f, &s->continuous_timestep);
    whole(f, &s->order, 0, 16);
    CHOICE(f, s->solver, solver_type, SOLVER_BH2 + 1);
    real(f, &s->eta);
    real(f, &s->s_noise);
    real(f, &s->clip_sample);
    flag(f, &s->alpha_to_one);
    flag(f, &s->skip_prk);
    flag(f, &s->lower_order_final);
    flag(f, &s->euler_at_final);
    flag(f, &s->final_sigma_zero);
    flag(f, &s->predict_x0);
    bytes(f, &s->disable_corrector, sizeof s->disable_corrector);
    flag(f, &s->variance_large);
    whole(f, &s->original_steps, 0, SAMPLER_TRAIN_STEPS_MAX);
    real(f, &s->timestep_scaling);
}

bool packed_go_over(packed_facts *f, model *m, dtype *type) {
    flag(f, &m->index.xl);
    flag(f, &m->index.force_zeros_for_empty_prompt);
    CHOICE(f, *type, dtype, DTYPE_U32);
    networks(f, m);
    for (int i = 0; i < 2; i++)
        text_encoder(f, &m->text[i]);
    training(f, &m->sampler);
    solver(f, &m->sampler);
    if (f->writing)
        f->size = f->at;
    else if (f->at != f->size)
        f->bad = true;
    return !f->bad;
}
