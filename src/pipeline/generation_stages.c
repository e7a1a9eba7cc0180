/* The stages of a generation, in their order: what each uploads, runs and reads. See generation.h. */
#include <string.h>

#include "pipeline/autoencoder.h"
#include "pipeline/generation.h"

static bool always_once(const generation *g) {
    return g->index == 0;
}

/* -- text -- */

static bool more_text(const generation *g) {
    return g->index < g->prompts.encoders;
}

static const part_spec *text_part(const generation *g) {
    return &g->prompts.specs[g->index];
}

static mzt_status begin_text(generation *g, network_task *task) {
    TRY(prompt_set(&g->prompts, g->index, g->network, g->error));
    return network_task_phase(g->network, "main", 1, task, g->error);
}

static mzt_status end_text(generation *g) {
    TRY(prompt_get(&g->prompts, g->index, g->network, g->error));
    if (g->index + 1 == g->prompts.encoders) prompt_join(&g->prompts);
    return MZT_OK;
}

/* -- pictures to latents -- */

static bool more_encode(const generation *g) {
    return g->index == 0 && g->source.host;
}

static bool more_hidden(const generation *g) {
    return g->index == 0 && g->further && g->sampler;
}

static const part_spec *encoder_part(const generation *g) {
    return &g->encoder;
}

static mzt_status run_encoder(generation *g, network_task *task) {
    const uint64_t count = (uint64_t)g->encoder.h * g->encoder.w * g->encoder.c;
    TRY(network_set(g->network, "picture", g->pixels, count, g->error));
    return network_task_phase(g->network, "main", 1, task, g->error);
}

static mzt_status begin_encode(generation *g, network_task *task) {
    source_values(g->m, &g->source, false, g->pixels);
    return run_encoder(g, task);
}

static mzt_status read_encoded(generation *g, float *latent) {
    const uint64_t count = generation_latent_count(g);
    TRY(network_get(g->network, "mean", latent, count, g->error));
    latent_to_unet(g->m, latent, count);
    return MZT_OK;
}

static mzt_status end_encode(generation *g) {
    return read_encoded(g, g->source.latent);
}

/* Without a mask everything is to be painted: the picture is grey. */
static mzt_status begin_hidden(generation *g, network_task *task) {
    const uint64_t count = (uint64_t)g->encoder.h * g->encoder.w * g->encoder.c;
    if (g->source.host && g->source.mask)
        source_values(g->m, &g->source, true, g->pixels);
    else
        memset(g->pixels, 0, (size_t)count * sizeof *g->pixels);
    return run_encoder(g, task);
}

static mzt_status end_hidden(generation *g) {
    TRY(read_encoded(g, g->hidden));
    const source *s = g->source.host ? &g->source : NULL;
    source_inpaint_channels(g->m, s, g->hidden, (uint64_t)g->latent.h * g->latent.w, g->further);
    return MZT_OK;
}

/* -- the colours of latents -- */

static bool more_map(const generation *g) {
    return g->index == 0 && g->fit.host && !g->owner->map_known;
}

static const part_spec *map_part(const generation *g) {
    return &g->fit.spec;
}

static mzt_status begin_map(generation *g, network_task *task) {
    const part_spec *s = &g->fit.spec;
    TRY(network_set(g->network, "latent", g->fit.input, (uint64_t)s->h * s->w * s->c, g->error));
    return network_task_phase(g->network, "main", 1, task, g->error);
}

static mzt_status end_map(generation *g) {
    const uint64_t factor = vae_factor(&g->m->vae), side = g->fit.spec.h * factor;
    TRY(network_get(g->network, "picture", g->fit.picture, side * side * g->m->vae.out_channels, g->error));
    latent_map_solve(g->m, &g->fit, &g->owner->map);
    g->owner->map_known = true;
    return MZT_OK;
}

/* -- the start -- */

static bool more_noise(const generation *g) {
    return g->noise.noise && g->noise.picture < g->noise.latent.n;
}

static mzt_status begin_noise(generation *g, network_task *task) {
    (void)task;
    start_noise_next(&g->noise);
    return MZT_OK;
}

/* Noise, or the picture with noise mixed in. */
static mzt_status begin_start(generation *g, network_task *task) {
    const uint64_t one = generation_latent_count(g), batch = one * g->latent.n;
    const sampler_program *s = g->sampler;
    const float *picture = g->source.latent, *noise = g->noise.noise;
    (void)task;
    for (uint64_t i = 0; i < batch; i++)
        if (!s)
            g->values[i] = picture[i % one];
        else
            g->values[i] = (float)(picture ? s->image_scale * (double)picture[i % one] +
                                                 s->noise_scale * (double)noise[i]
                                           : s->init_noise_sigma * (double)noise[i]);
    return MZT_OK;
}

/* -- the step loop -- */

static bool more_setup(const generation *g) {
    return g->index == 0 && g->sampler;
}

static const part_spec *unet_part(const generation *g) {
    return &g->unet;
}

/* One picture's values for each picture of the batch. */
static void spread(const generation *g, const float *values, uint64_t count, float *all) {
    for (uint32_t i = 0; i < g->latent.n; i++)
        memcpy(all + i * count, values, (size_t)count * sizeof *all);
}

static void fill_inpainting(generation *g) {
    const uint64_t pixels = (uint64_t)g->latent.h * g->latent.w, one = generation_latent_count(g);
    if (g->blocks[0]) spread(g, g->further, pixels * g->denoise.extra_channels, g->blocks[0]);
    if (!g->blocks[1]) return;
    for (uint64_t i = 0; i < one * g->latent.n; i++)
        g->blocks[1][i] = g->source.latent_mask[i % one / g->latent.c];
    spread(g, g->source.latent, one, g->blocks[2]);
}

static mzt_status begin_setup(generation *g, network_task *task) {
    const uint64_t batch = generation_latent_count(g) * g->latent.n;
    const float *later = g->sampler->noises ? g->noise.noise + batch : NULL;
    fill_inpainting(g);
    g->result.device_bytes = program_memory(g->network->program);
    TRY(denoiser_bind(&g->denoiser, g->m, g->network, &g->denoise, g->error));
    TRY(denoiser_rewind(&g->denoiser, g->values, later, g->error));
    return network_task_phase(g->network, "setup", 1, task, g->error);
}

static bool more_steps(const generation *g) {
    return g->sampler && g->denoiser.done < g->denoiser.calls;
}

/* All calls; or those of one step, where each step's estimate is looked at. */
static mzt_status begin_steps(generation *g, network_task *task) {
    const uint32_t first = g->denoiser.done;
    uint32_t calls = g->denoiser.calls - first;
    if (generation_is_watched(g)) {
        calls = 1;
        while (first + calls < g->denoiser.calls &&
               sampler_program_row(g->sampler, first + calls - 1)[SAMPLER_ROW_EMIT] == 0)
            calls++;
    }
    return network_task_phase(g->network, "step", calls, task, g->error);
}

/* The estimate after the step that has just ended: kept for the trajectory, shown as a preview. */
static mzt_status look(generation *g, uint32_t step) {
    const generate_request *r = g->request;
    const uint64_t one = generation_latent_count(g);
    TRY(denoiser_estimate(&g->denoiser, g->estimate, g->error));
    if (r->trajectory) memcpy(g->estimates + step * one, g->estimate, (size_t)one * sizeof *g->estimate);
    if (!r->preview) return MZT_OK;
    latent_map_apply(&g->owner->map, g->estimate, g->colours, &g->preview);
    r->preview(r->user, &g->preview, step, g->result.steps);
    return MZT_OK;
}

static mzt_status end_steps(generation *g) {
    g->denoiser.done += g->task.repeat;
    const uint32_t step = (uint32_t)sampler_program_row(g->sampler, g->denoiser.done - 1)[SAMPLER_ROW_STEP];
    if (generation_is_watched(g)) TRY(look(g, step));
    g->steps_done = step + 1;
    if (more_steps(g)) return MZT_OK;
    const uint64_t batch = generation_latent_count(g) * g->latent.n;
    TRY(denoiser_latent(&g->denoiser, g->values, g->error));
    for (uint64_t i = 0; i < batch; i++)
        g->values[i] = (float)(g->values[i] * g->sampler->final_scale);
    return MZT_OK;
}

/* -- latents to pictures -- */

static bool more_decode(const generation *g) {
    return !g->tiles && g->index < g->result.count;
}

static const part_spec *decoder_part(const generation *g) {
    return &g->decoder;
}

static mzt_status run_decoder(generation *g, float *latent, network_task *task) {
    const uint64_t one = generation_latent_count(g);
    latent_to_autoencoder(g->m, latent, one);
    TRY(network_set(g->network, "latent", latent, one, g->error));
    return network_task_phase(g->network, "main", 1, task, g->error);
}

static mzt_status read_picture(generation *g, image *picture) {
    const uint64_t count = (uint64_t)picture->width * picture->height * picture->channels;
    TRY(network_get(g->network, "picture", g->pixels, count, g->error));
    image_set_floats(picture, g->pixels);
    return MZT_OK;
}

/* -- the same in windows -- */

static bool more_windows(const generation *g) {
    return g->tiles && g->tiled < g->result.count + g->result.trajectory_count;
}

/* One window of the picture in progress. */
static mzt_status begin_window(generation *g, network_task *task) {
    (void)task;
    const uint64_t one = generation_latent_count(g);
    const bool step = g->tiled >= g->result.count;
    const uint32_t index = step ? g->tiled - g->result.count : g->tiled;
    if (!g->tiling) {
        float *latent = (step ? g->estimates : g->values) + index * one;
        if (g->tiled == 0)
            host_log(g->m->host, MZT_LOG_WARNING,
                     "vae decoder: %.1f MB do not fit %.1f MB; pictures are decoded in windows",
                     (double)g->whole_bytes * 1e-6, (double)g->window_limit * 1e-6);
        generator_release(g->owner); /* the limit is for all networks together */
        latent_to_autoencoder(g->m, latent, one);
        TRY(tiled_decoder_begin(g->tiles, latent, g->error));
        g->tiling = true;
    }
    mzt_status status = tiled_decoder_advance(g->tiles, &g->tile_share, g->error);
    if (status < 0) return status;
    if (status == MZT_PENDING) return MZT_OK;
    image *picture = step ? &g->result.trajectory[index] : &g->result.images[index];
    tiled_decoder_picture(g->tiles, g->pixels);
    image_set_floats(picture, g->pixels);
    if (!step && g->source.host) source_paste(&g->source, picture);
    g->tiling = false;
    g->tile_share = 0;
    g->tiled++;
    return MZT_OK;
}

static mzt_status begin_decode(generation *g, network_task *task) {
    return run_decoder(g, g->values + g->index * generation_latent_count(g), task);
}

static mzt_status end_decode(generation *g) {
    TRY(read_picture(g, &g->result.images[g->index]));
    if (g->source.host) source_paste(&g->source, &g->result.images[g->index]);
    return MZT_OK;
}

static bool more_trajectory(const generation *g) {
    return !g->tiles && g->index < g->result.trajectory_count;
}

static mzt_status begin_trajectory(generation *g, network_task *task) {
    return run_decoder(g, g->estimates + g->index * generation_latent_count(g), task);
}

static mzt_status end_trajectory(generation *g) {
    return read_picture(g, &g->result.trajectory[g->index]);
}

const stage_functions generation_stages[STAGE_COUNT] = {
    [STAGE_TEXT] = {GENERATE_TEXT, more_text, text_part, begin_text, end_text},
    [STAGE_ENCODE] = {GENERATE_PREPARE, more_encode, encoder_part, begin_encode, end_encode},
    [STAGE_HIDDEN] = {GENERATE_PREPARE, more_hidden, encoder_part, begin_hidden, end_hidden},
    [STAGE_MAP] = {GENERATE_PREPARE, more_map, map_part, begin_map, end_map},
    [STAGE_NOISE] = {GENERATE_PREPARE, more_noise, NULL, begin_noise, NULL},
    [STAGE_START] = {GENERATE_PREPARE, always_once, NULL, begin_start, NULL},
    [STAGE_SETUP] = {GENERATE_PREPARE, more_setup, unet_part, begin_setup, NULL},
    [STAGE_STEPS] = {GENERATE_DENOISE, more_steps, unet_part, begin_steps, end_steps},
    [STAGE_DECODE] = {GENERATE_DECODE, more_decode, decoder_part, begin_decode, end_decode},
    [STAGE_TRAJECTORY] = {GENERATE_DECODE, more_trajectory, decoder_part, begin_trajectory, end_trajectory},
    [STAGE_WINDOWS] = {GENERATE_DECODE, more_windows, NULL, begin_window, NULL},
};
