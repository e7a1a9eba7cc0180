/* A prompt in, pictures out; see generate.h. The stages: text, preparation, step loop, decoding. */
#include "pipeline/generate.h"

#include <string.h>

#include "base/threads.h"
#include "pipeline/autoencoder.h"
#include "pipeline/generation.h"
#include "pipeline/start.h"

static bool report(generation *g, double share, uint32_t call) {
    const generate_request *r = g->request;
    if (!r->progress) return true;
    uint32_t step = 0;
    if (g->phase == GENERATE_DENOISE && g->sampler && call < g->sampler->calls)
        step = (uint32_t)sampler_program_row(g->sampler, call)[SAMPLER_ROW_STEP];
    return r->progress(r->user, g->phase, share, step, g->result->steps);
}

static bool keep_preparing(void *user, uint32_t repetitions, double share) {
    (void)repetitions;
    (void)share;
    return report(user, 0, 0);
}

static bool keep_denoising(void *user, uint32_t repetitions, double share) {
    generation *g = user;
    return report(g, (repetitions + share) / g->sampler->calls, repetitions);
}

static bool keep_decoding(void *user, uint32_t repetitions, double share) {
    (void)repetitions;
    return report(user, share, 0);
}

static mzt_status encode_prompts(generation *g) {
    const generate_request *r = g->request;
    const prompt_request prompts = {.prompt = r->prompt,
                                    .negative = r->negative,
                                    .guided = g->guided,
                                    .plain = r->plain_prompt,
                                    .clip_skip = r->clip_skip,
                                    .images = g->latent.n};
    TRY(conditioning_from_prompts(g->m, g->e, r->precision, &prompts, &g->text, g->error));
    if (!g->m->unet.text_time) return MZT_OK;
    g->time_ids = host_calloc(g->m->host, (size_t)g->text.rows * 6, sizeof(float));
    if (!g->time_ids) return error_memory(g->error, "time ids", (uint64_t)g->text.rows * 24);
    for (uint32_t i = 0; i < g->text.rows; i++) { /* original size, crop at the corner, target size */
        float *ids = g->time_ids + (size_t)i * 6;
        ids[0] = ids[4] = (float)g->result->height;
        ids[1] = ids[5] = (float)g->result->width;
    }
    return MZT_OK;
}

/* The latents that the step loop starts from: noise, or the picture with noise mixed in. */
static mzt_status make_start(generation *g) {
    const generate_request *r = g->request;
    const uint64_t one = generation_latent_count(g), batch = one * g->latent.n;
    g->values = host_calloc(g->m->host, (size_t)batch, sizeof *g->values);
    if (!g->values) return error_memory(g->error, "latents", batch * sizeof *g->values);
    const bool from_picture = g->source.latent != NULL;
    if (!g->sampler) {
        for (uint64_t i = 0; i < batch; i++)
            g->values[i] = g->source.latent[i % one];
        return MZT_OK;
    }
    const start_request start = {.rng = r->rng,
                                 .seed = r->seed,
                                 .variation_seed = r->variation_seed,
                                 .variation_strength = r->variation_strength};
    TRY(start_noise(g->m->host, &start, g->latent, 1 + g->sampler->noises, &g->noise, g->error));
    const sampler_program *s = g->sampler;
    for (uint64_t i = 0; i < batch; i++)
        g->values[i] = (float)(from_picture ? s->image_scale * (double)g->source.latent[i % one] +
                                                  s->noise_scale * (double)g->noise[i]
                                            : s->init_noise_sigma * (double)g->noise[i]);
    return MZT_OK;
}

/* One picture's values [h][w][c] for each picture of the batch; NULL when out of memory. */
static float *spread(const generation *g, const float *values, uint64_t count) {
    float *all = host_calloc(g->m->host, (size_t)count * g->latent.n, sizeof *all);
    for (uint32_t i = 0; all && i < g->latent.n; i++)
        memcpy(all + i * count, values, (size_t)count * sizeof *all);
    return all;
}

/* The further inputs of inpainting, by the kind of UNet: channels for one that was trained for it, a known
 * region for others. */
static mzt_status add_inpainting(generation *g, denoise_request *request, float *blocks[3],
                                 const run_control *control) {
    const model *m = g->m;
    const uint32_t c = g->latent.c, further = m->unet.in_channels - m->unet.out_channels;
    const uint64_t pixels = (uint64_t)g->latent.h * g->latent.w;
    const source *s = g->source.host ? &g->source : NULL;
    if (further) {
        float *channels = NULL;
        TRY(source_inpaint_channels(m, g->e, g->request->precision, g->request->tile, s, g->result->width,
                                    g->result->height, control, &channels, g->error));
        request->extra = blocks[0] = spread(g, channels, pixels * further);
        request->extra_channels = further;
        host_free(m->host, channels);
        return blocks[0] ? MZT_OK : error_memory(g->error, "inpainting channels", pixels * further * 4);
    }
    if (!s || !s->mask) return MZT_OK;
    float *mask = host_calloc(m->host, (size_t)pixels * c, sizeof *mask);
    for (uint64_t i = 0; mask && i < pixels * c; i++)
        mask[i] = s->latent_mask[i / c];
    if (mask) blocks[1] = spread(g, mask, pixels * c);
    host_free(m->host, mask);
    blocks[2] = spread(g, s->latent, pixels * c);
    request->mask = blocks[1];
    request->known = blocks[2];
    return blocks[1] && blocks[2] ? MZT_OK
                                  : error_memory(g->error, "known region", pixels * c * g->latent.n * 8);
}

static mzt_status prepare_denoiser(generation *g, const run_control *control) {
    const generate_request *r = g->request;
    denoise_request request = {.images = g->latent.n,
                               .height = g->latent.h,
                               .width = g->latent.w,
                               .guided = g->guided,
                               .guidance = r->guidance,
                               .guidances = g->guidances,
                               .rescale = r->guidance_rescale,
                               .sampler = g->sampler,
                               .text = &g->text,
                               .time_ids = g->time_ids,
                               .wrap = r->tile,
                               .keep_estimate = generation_is_watched(g)};
    float *blocks[3] = {NULL, NULL, NULL};
    mzt_status status = add_inpainting(g, &request, blocks, control);
    if (status >= 0) status = denoiser_create(g->m, g->e, r->precision, &request, &g->denoiser, g->error);
    for (int i = 0; i < 3; i++)
        host_free(g->m->host, blocks[i]);
    TRY(status);
    g->result->device_bytes = program_memory(g->denoiser.network.program);
    const uint64_t batch = generation_latent_count(g) * g->latent.n;
    return denoiser_start(&g->denoiser, g->values, g->sampler->noises ? g->noise + batch : NULL, g->error);
}

static mzt_status prepare(generation *g) {
    const generate_request *r = g->request;
    const run_control control = {.keep_going = keep_preparing, .user = g};
    if (r->init_image)
        TRY(source_create(g->m, g->e, r->precision, r->tile, r->init_image, r->mask, g->result->width,
                          g->result->height, &control, &g->source, g->error));
    if (r->preview) TRY(latent_map_fit(g->m, g->e, r->precision, &g->map, g->error));
    TRY(make_start(g));
    return g->sampler ? prepare_denoiser(g, &control) : MZT_OK;
}

static mzt_status denoise(generation *g) {
    const run_control control = {.keep_going = keep_denoising, .user = g};
    if (!g->sampler) return MZT_OK;
    if (generation_is_watched(g))
        TRY(generation_watch(g, &control));
    else
        TRY(denoiser_run(&g->denoiser, g->sampler->calls, &control, g->error));
    TRY(denoiser_latent(&g->denoiser, g->values, g->error));
    denoiser_destroy(&g->denoiser); /* its memory is free for the autoencoder */
    const uint64_t batch = generation_latent_count(g) * g->latent.n;
    for (uint64_t i = 0; i < batch; i++)
        g->values[i] = (float)(g->values[i] * g->sampler->final_scale);
    return MZT_OK;
}

static mzt_status decode_all(generation *g, decoder *d, float *scratch, const run_control *control) {
    const uint64_t one = generation_latent_count(g);
    generate_result *out = g->result;
    latent_to_autoencoder(g->m, g->values, one * g->latent.n);
    for (uint32_t i = 0; i < out->count; i++) {
        TRY(decoder_run(d, g->values + i * one, scratch, control, g->error));
        TRY(image_from_floats(g->m->host, scratch, out->width, out->height, g->m->vae.out_channels,
                              &out->images[i], g->error));
        if (g->source.host) source_paste(&g->source, &out->images[i]);
    }
    return generation_decode_trajectory(g, d, scratch, control);
}

static mzt_status decode(generation *g) {
    const shape4 s = g->latent;
    generate_result *out = g->result;
    const run_control control = {.keep_going = keep_decoding, .user = g};
    const uint64_t values = (uint64_t)out->width * out->height * g->m->vae.out_channels;
    out->images = host_calloc(g->m->host, out->count, sizeof *out->images);
    float *scratch = host_calloc(g->m->host, (size_t)values, sizeof *scratch);
    decoder d = {.latent_count = 0};
    mzt_status status = MZT_OK;
    if (!out->images || !scratch) status = error_memory(g->error, "picture", values * sizeof *scratch);
    if (status >= 0)
        status = decoder_create(g->m, g->e, g->request->precision, (shape4){1, s.h, s.w, s.c},
                                g->request->tile, &d, g->error);
    if (status >= 0) status = decode_all(g, &d, scratch, &control);
    decoder_destroy(&d);
    host_free(g->m->host, scratch);
    return status;
}

static void destroy(generation *g) {
    const base_host *host = g->m->host;
    denoiser_destroy(&g->denoiser);
    conditioning_destroy(&g->text);
    source_destroy(&g->source);
    sampler_program_destroy(host, g->sampler);
    float *const blocks[] = {g->noise, g->values, g->estimates, g->estimate, g->time_ids};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        host_free(host, blocks[i]);
    host_free(host, g->guidances);
}

mzt_status pipeline_generate(const model *m, executor *e, const generate_request *request,
                             generate_result *result, mzt_error *error) {
    *result = (generate_result){.host = m->host};
    static const struct {
        generate_phase phase;
        mzt_status (*run)(generation *g);
    } stages[] = {{GENERATE_TEXT, encode_prompts},
                  {GENERATE_PREPARE, prepare},
                  {GENERATE_DENOISE, denoise},
                  {GENERATE_DECODE, decode}};
    double *const seconds[] = {&result->text_seconds, &result->prepare_seconds, &result->denoise_seconds,
                               &result->decode_seconds};
    generation *g = host_calloc(m->host, 1, sizeof *g);
    if (!g) return error_memory(error, "generation", sizeof *g);
    *g = (generation){.m = m, .e = e, .request = request, .result = result, .error = error};
    mzt_status status = generation_resolve(g);
    for (int i = 0; status >= 0 && i < 4; i++) {
        double start = clock_seconds();
        g->phase = stages[i].phase;
        status = report(g, 0, 0) ? stages[i].run(g) : MZT_CANCELLED;
        *seconds[i] = clock_seconds() - start;
    }
    destroy(g);
    host_free(m->host, g);
    if (status < 0) generate_result_destroy(result);
    return status;
}

void generate_result_destroy(generate_result *result) {
    for (uint32_t i = 0; result->images && i < result->count; i++)
        image_free(result->host, &result->images[i]);
    for (uint32_t i = 0; result->trajectory && i < result->trajectory_count; i++)
        image_free(result->host, &result->trajectory[i]);
    if (result->host) {
        host_free(result->host, result->images);
        host_free(result->host, result->trajectory);
    }
    *result = (generate_result){0};
}
