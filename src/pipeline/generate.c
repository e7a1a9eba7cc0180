/* A prompt in, pictures out; see generate.h. */
#include "pipeline/generate.h"

#include "base/threads.h"
#include "model/tensor_layout.h"
#include "model/unet.h"
#include "pipeline/autoencoder.h"
#include "pipeline/denoise.h"
#include "sample/compile.h"
#include "sample/samplers.h"

enum { MAX_PICTURES = 64, MAX_SIDE = 8192 };

/* Everything one call makes on its way. */
typedef struct generation {
    const model *m;
    executor *e;
    const generate_request *request;
    generate_result *result;
    sampler_config config;
    sampler_program *sampler;
    conditioning text;
    denoiser denoiser;
    shape4 latent;
    bool guided;
    float *noise;     /* [1 + noises][images][h][w][c]: the start, then what the sampler draws */
    float *decoded;   /* one picture */
    float *time_ids;
    generate_phase phase;
    mzt_error *error;
} generation;

generate_request generate_request_default(void) {
    return (generate_request){.steps = 20, .guidance = 7.5, .count = 1};
}

static mzt_status resolve_side(generation *g, const char *name, uint32_t given, uint32_t own, uint32_t *side) {
    const uint32_t factor = vae_factor(&g->m->vae), multiple = factor * unet_multiple(&g->m->unet);
    uint32_t pixels = given ? given : own ? own * factor : 512;
    if (pixels % factor != 0 || pixels < multiple || pixels > MAX_SIDE)
        return error_set(g->error, MZT_ERROR_INVALID, "%s %u: must be a multiple of %u between %u and %u", name, pixels, factor,
                         multiple, MAX_SIDE);
    *side = pixels;
    return MZT_OK;
}

static mzt_status resolve(generation *g) {
    const generate_request *r = g->request;
    const model *m = g->m;
    if (!m->weights[MODEL_UNET] || !m->weights[MODEL_VAE] || !m->weights[MODEL_TEXT_ENCODER])
        return error_set(g->error, MZT_ERROR_NOT_FOUND, "%s: generating needs unet, vae and text_encoder", m->path);
    if (r->count > MAX_PICTURES)
        return error_set(g->error, MZT_ERROR_INVALID, "count %u: at most %u pictures a run", r->count, MAX_PICTURES);
    generate_result *out = g->result;
    TRY(resolve_side(g, "width", r->width, m->unet.sample_size[1], &out->width));
    TRY(resolve_side(g, "height", r->height, m->unet.sample_size[0], &out->height));
    out->count = r->count ? r->count : 1;
    const uint32_t factor = vae_factor(&m->vae);
    g->latent = (shape4){out->count, out->height / factor, out->width / factor, m->unet.out_channels};
    g->guided = r->guidance != 1;
    g->config = m->sampler;
    TRY(sampler_config_select(&g->config, r->sampler, r->schedule, g->error));
    sampler_request request = sampler_request_default(r->steps ? r->steps : 20);
    TRY(sampler_compile(m->host, &g->config, &request, &g->sampler, g->error));
    out->steps = g->sampler->steps;
    out->calls = g->sampler->calls;
    out->sampler = sampler_info_get(g->config.kind)->label;
    out->schedule = sampler_schedule_name(g->config.schedule);
    return MZT_OK;
}

/* Unconditional rows first, then the prompt's, once per picture. */
static mzt_status encode_prompts(generation *g) {
    const char *texts[2 * MAX_PICTURES];
    uint32_t rows = 0;
    for (uint32_t i = 0; g->guided && i < g->latent.n; i++) texts[rows++] = g->request->negative ? g->request->negative : "";
    for (uint32_t i = 0; i < g->latent.n; i++) texts[rows++] = g->request->prompt ? g->request->prompt : "";
    TRY(conditioning_from_texts(g->m, g->e, g->request->precision, texts, rows, &g->text, g->error));
    if (!g->m->unet.text_time) return MZT_OK;
    g->time_ids = host_calloc(g->m->host, (size_t)rows * 6, sizeof(float));
    if (!g->time_ids) return error_memory(g->error, "time ids", (uint64_t)rows * 24);
    for (uint32_t i = 0; i < rows; i++) { /* original size, crop at the corner, target size */
        float *ids = g->time_ids + (size_t)i * 6;
        ids[0] = ids[4] = (float)g->result->height;
        ids[1] = ids[5] = (float)g->result->width;
    }
    return MZT_OK;
}

/* Each picture has a stream of its own: its first draw is the start, later ones are the sampler's. So a picture of a batch equals
 * the one that its seed gives alone. */
static mzt_status make_noise(generation *g) {
    const shape4 s = g->latent;
    const uint64_t one = (uint64_t)s.h * s.w * s.c, batch = one * s.n;
    const uint32_t draws = 1 + g->sampler->noises;
    g->noise = host_calloc(g->m->host, (size_t)(batch * draws), sizeof(float));
    float *drawn = host_calloc(g->m->host, (size_t)one, sizeof(float));
    random_stream *stream = host_calloc(g->m->host, 1, sizeof *stream);
    mzt_status status = MZT_OK;
    if (!g->noise || !drawn || !stream) status = error_memory(g->error, "noise", batch * draws * sizeof(float));
    for (uint32_t i = 0; status >= 0 && i < s.n; i++) {
        random_start(stream, g->request->rng, g->request->seed + i);
        for (uint32_t k = 0; k < draws; k++) {
            random_next(stream, one, drawn);
            layout_nhwc_from_nchw(g->noise + k * batch + i * one, drawn, 1, s.c, s.h, s.w);
        }
    }
    for (uint64_t i = 0; status >= 0 && i < batch; i++) g->noise[i] = (float)(g->noise[i] * g->sampler->init_noise_sigma);
    host_free(g->m->host, drawn);
    host_free(g->m->host, stream);
    return status;
}

static bool report(generation *g, double share, uint32_t call) {
    const generate_request *r = g->request;
    if (!r->progress) return true;
    uint32_t step = 0;
    if (g->phase == GENERATE_DENOISE && call < g->sampler->calls)
        step = (uint32_t)sampler_program_row(g->sampler, call)[SAMPLER_ROW_STEP];
    return r->progress(r->user, g->phase, share, step, g->result->steps);
}

static bool keep_denoising(void *user, uint32_t repetitions, double share) {
    generation *g = user;
    return report(g, (repetitions + share) / g->sampler->calls, repetitions);
}

static bool keep_decoding(void *user, uint32_t repetitions, double share) {
    generation *g = user;
    (void)repetitions;
    return report(g, share, 0);
}

static mzt_status prepare(generation *g) {
    const denoise_request request = {.images = g->latent.n, .height = g->latent.h, .width = g->latent.w, .guided = g->guided,
                                     .guidance = g->request->guidance, .sampler = g->sampler, .text = &g->text,
                                     .time_ids = g->time_ids};
    TRY(denoiser_create(g->m, g->e, g->request->precision, &request, &g->denoiser, g->error));
    g->result->device_bytes = program_memory(g->denoiser.network.program);
    TRY(make_noise(g));
    const uint64_t batch = (uint64_t)g->latent.n * g->latent.h * g->latent.w * g->latent.c;
    return denoiser_start(&g->denoiser, g->noise, g->sampler->noises ? g->noise + batch : NULL, g->error);
}

static mzt_status denoise(generation *g) {
    const run_control control = {.keep_going = keep_denoising, .user = g};
    TRY(denoiser_run(&g->denoiser, g->sampler->calls, &control, g->error));
    TRY(denoiser_latent(&g->denoiser, g->noise, g->error));
    denoiser_destroy(&g->denoiser); /* its memory is free for the autoencoder */
    return MZT_OK;
}

static mzt_status decode(generation *g) {
    const shape4 s = g->latent;
    const uint64_t one = (uint64_t)s.h * s.w * s.c;
    const uint32_t channels = g->m->vae.out_channels;
    generate_result *out = g->result;
    const run_control control = {.keep_going = keep_decoding, .user = g};
    for (uint64_t i = 0; i < one * s.n; i++) g->noise[i] = (float)(g->noise[i] * g->sampler->final_scale);
    latent_to_autoencoder(g->m, g->noise, one * s.n);
    out->images = host_calloc(g->m->host, out->count, sizeof *out->images);
    g->decoded = host_calloc(g->m->host, (size_t)out->width * out->height * channels, sizeof(float));
    if (!out->images || !g->decoded) return error_memory(g->error, "picture", (uint64_t)out->width * out->height * channels * 4);
    for (uint32_t i = 0; i < out->count; i++) {
        TRY(autoencoder_decode(g->m, g->e, g->request->precision, (shape4){1, s.h, s.w, s.c}, (model_wrap){0},
                               g->noise + i * one, g->decoded, &control, g->error));
        TRY(image_from_floats(g->m->host, g->decoded, out->width, out->height, channels, &out->images[i], g->error));
    }
    return MZT_OK;
}

mzt_status pipeline_generate(const model *m, executor *e, const generate_request *request, generate_result *result,
                             mzt_error *error) {
    *result = (generate_result){.host = m->host};
    generation g = {.m = m, .e = e, .request = request, .result = result, .error = error};
    static const struct {
        generate_phase phase;
        mzt_status (*run)(generation *g);
    } stages[] = {{GENERATE_TEXT, encode_prompts}, {GENERATE_PREPARE, prepare}, {GENERATE_DENOISE, denoise}, {GENERATE_DECODE, decode}};
    double *const seconds[] = {&result->text_seconds, &result->prepare_seconds, &result->denoise_seconds, &result->decode_seconds};
    mzt_status status = resolve(&g);
    for (int i = 0; status >= 0 && i < 4; i++) {
        double start = clock_seconds();
        g.phase = stages[i].phase;
        status = report(&g, 0, 0) ? stages[i].run(&g) : MZT_CANCELLED;
        *seconds[i] = clock_seconds() - start;
    }
    denoiser_destroy(&g.denoiser);
    conditioning_destroy(&g.text);
    sampler_program_destroy(m->host, g.sampler);
    host_free(m->host, g.noise);
    host_free(m->host, g.decoded);
    host_free(m->host, g.time_ids);
    if (status < 0) generate_result_destroy(result);
    return status;
}

void generate_result_destroy(generate_result *result) {
    for (uint32_t i = 0; result->images && i < result->count; i++) image_free(result->host, &result->images[i]);
    if (result->host) host_free(result->host, result->images);
    *result = (generate_result){0};
}
