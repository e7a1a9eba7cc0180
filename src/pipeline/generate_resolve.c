/* What a request comes to for a model: sizes, sampler, guidance of each call. See generation.h. */
#include <math.h>

#include "model/unet.h"
#include "pipeline/generation.h"
#include "sample/compile.h"
#include "sample/samplers.h"

enum { DEFAULT_STEPS = 20, DEFAULT_SIDE = 512 };

generate_request generate_request_default(void) {
    return (generate_request){.steps = DEFAULT_STEPS,
                              .guidance = 7.5,
                              .guidance_interval = {0, 1},
                              .eta = -1,
                              .s_noise = -1,
                              .count = 1,
                              .strength = 0.75};
}

/* Numbers that have one range whatever the model. */
static mzt_status check_numbers(const generate_request *r, mzt_error *error) {
    const struct {
        const char *name;
        double value, low, high;
    } numbers[] = {
        {"guidance", r->guidance, -100, 100},
        {"guidance rescale", r->guidance_rescale, 0, 1},
        {"guidance interval's begin", r->guidance_interval[0], 0, 1},
        {"guidance interval's end", r->guidance_interval[1], r->guidance_interval[0], 1},
        {"variation strength", r->variation_strength, 0, 1},
        {"strength", r->strength, 0, 1},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i].value >= numbers[i].low && numbers[i].value <= numbers[i].high))
            return error_set(error, MZT_ERROR_INVALID, "%s %g: must be between %g and %g", numbers[i].name,
                             numbers[i].value, numbers[i].low, numbers[i].high);
    if (r->count > GENERATE_COUNT_MAX)
        return error_set(error, MZT_ERROR_INVALID, "count %u: at most %d pictures a run", r->count,
                         GENERATE_COUNT_MAX);
    if (r->mask && !r->init_image)
        return error_set(error, MZT_ERROR_INVALID, "a mask needs the picture that it belongs to");
    if (r->sigmas && r->sigma_count < 2)
        return error_set(error, MZT_ERROR_INVALID,
                         "%u sigmas: at least 2 are needed, where the first step begins and ends",
                         r->sigma_count);
    return MZT_OK;
}

static mzt_status resolve_side(const generation *g, const char *name, uint32_t given, uint32_t own,
                               uint32_t *side) {
    const uint32_t factor = vae_factor(&g->m->vae), multiple = factor * unet_multiple(&g->m->unet);
    uint32_t pixels = given ? given : own ? own * factor : DEFAULT_SIDE;
    if (pixels % factor != 0 || pixels < multiple || pixels > GENERATE_SIDE_MAX)
        return error_set(g->error, MZT_ERROR_INVALID, "%s %u: must be a multiple of %u between %u and %u",
                         name, pixels, factor, multiple, GENERATE_SIDE_MAX);
    *side = pixels;
    return MZT_OK;
}

static mzt_status resolve_size(generation *g) {
    const generate_request *r = g->request;
    const model *m = g->m;
    uint32_t width = r->width, height = r->height;
    if (r->init_image && !width && !height) source_size(m, r->init_image, &width, &height);
    TRY(resolve_side(g, "width", width, m->unet.sample_size[1], &g->result.width));
    TRY(resolve_side(g, "height", height, m->unet.sample_size[0], &g->result.height));
    const uint32_t factor = vae_factor(&m->vae);
    g->latent =
        (shape4){g->result.count, g->result.height / factor, g->result.width / factor, m->unet.out_channels};
    return MZT_OK;
}

static mzt_status resolve_sampler(generation *g) {
    const generate_request *r = g->request;
    g->config = g->m->sampler;
    TRY(sampler_config_select(&g->config, r->sampler, r->schedule, g->error));
    g->result.sampler = sampler_info_get(g->config.kind)->label;
    g->result.schedule = sampler_schedule_name(g->config.schedule);
    sampler_request request = sampler_request_default(r->steps ? r->steps : DEFAULT_STEPS);
    request.eta = r->eta;
    request.s_noise = r->s_noise;
    request.strength = r->init_image ? r->strength : 1;
    if (r->sigmas) {
        request.sigmas = r->sigmas;
        request.steps = r->sigma_count - 1;
    }
    bool none = request.strength == 0; /* the picture goes through the autoencoder, and that is all */
    if (none) request.strength = 1;    /* the rest is checked all the same */
    TRY(sampler_compile(g->m->host, &g->config, &request, &g->sampler, g->error));
    if (none) {
        sampler_program_destroy(g->m->host, g->sampler);
        g->sampler = NULL;
        return MZT_OK;
    }
    g->result.steps = g->sampler->steps;
    g->result.calls = g->sampler->calls;
    return MZT_OK;
}

static bool is_empty(const char *text) {
    return !text || !*text;
}

/* Guidance of each call: a call belongs to the share of the steps that lie before its own. */
static mzt_status resolve_guidance(generation *g) {
    const generate_request *r = g->request;
    const bool nothing_asked = is_empty(r->prompt) && is_empty(r->negative);
    g->guided = r->guidance != 1 && !nothing_asked && !g->m->unet.guidance_channels;
    g->result.guided = g->guided;
    if (!g->sampler) return MZT_OK;
    g->guidances = host_calloc(g->m->host, g->sampler->calls, sizeof *g->guidances);
    if (!g->guidances) return error_memory(g->error, "guidance", g->sampler->calls * sizeof *g->guidances);
    for (uint32_t i = 0; i < g->sampler->calls; i++) {
        double share = sampler_program_row(g->sampler, i)[SAMPLER_ROW_STEP] / g->sampler->steps;
        bool last = r->guidance_interval[1] >= 1;
        bool inside = share >= r->guidance_interval[0] && (last || share < r->guidance_interval[1]);
        g->guidances[i] = inside ? r->guidance : 1;
    }
    return MZT_OK;
}

mzt_status generation_resolve(generation *g) {
    const model *m = g->m;
    const uint32_t latents = m->vae.latent_channels;
    if (!model_has(m, MODEL_UNET) || !model_has(m, MODEL_VAE) || !model_has(m, MODEL_TEXT_ENCODER))
        return error_set(g->error, MZT_ERROR_NOT_FOUND, "%s: generating needs unet, vae and text_encoder",
                         m->path);
    if (m->unet.out_channels != latents)
        return error_set(g->error, MZT_ERROR_UNSUPPORTED,
                         "%s: the UNet gives %u channels, but the autoencoder's latents have %u", m->path,
                         m->unet.out_channels, latents);
    if (m->unet.in_channels != latents && m->unet.in_channels != 2 * latents + 1)
        return error_set(g->error, MZT_ERROR_UNSUPPORTED,
                         "%s: the UNet takes %u channels; %u (a latent) and %u (inpainting) are known",
                         m->path, m->unet.in_channels, latents, 2 * latents + 1);
    TRY(check_numbers(g->request, g->error));
    g->result.count = g->request->count ? g->request->count : 1;
    TRY(resolve_size(g));
    TRY(resolve_sampler(g));
    return resolve_guidance(g);
}
