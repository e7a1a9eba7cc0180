/* Making and unmaking a generation: everything it needs is reserved here. See generation.h. */
#include "pipeline/generation.h"

#include <string.h>

#include "pipeline/autoencoder.h"

static mzt_status begin_prompts(generation *g) {
    const generate_request *r = g->request;
    const prompt_request prompts = {.prompt = r->prompt,
                                    .negative = r->negative,
                                    .guided = g->guided,
                                    .plain = r->plain_prompt,
                                    .clip_skip = r->clip_skip,
                                    .images = g->latent.n};
    TRY(prompt_begin(g->m, &prompts, &g->prompts, g->error));
    if (!g->m->unet.text_time) return MZT_OK;
    const uint32_t rows = g->prompts.rows.rows;
    g->time_ids = host_calloc(g->m->host, (size_t)rows * 6, sizeof(float));
    if (!g->time_ids) return error_memory(g->error, "time ids", (uint64_t)rows * 24);
    for (uint32_t i = 0; i < rows; i++) { /* original size, crop at the corner, target size */
        float *ids = g->time_ids + (size_t)i * 6;
        ids[0] = ids[4] = (float)g->result.height;
        ids[1] = ids[5] = (float)g->result.width;
    }
    return MZT_OK;
}

/* A block of floats, zeroed. */
static mzt_status reserve(const generation *g, const char *what, uint64_t count, float **out) {
    *out = host_calloc(g->m->host, (size_t)count, sizeof **out);
    return *out ? MZT_OK : error_memory(g->error, what, count * sizeof **out);
}

static mzt_status reserve_images(const generation *g, uint32_t count, image **images) {
    const base_host *host = g->m->host;
    *images = host_calloc(host, count, sizeof **images);
    if (!*images) return error_memory(g->error, "pictures", count * sizeof **images);
    for (uint32_t i = 0; i < count; i++)
        TRY(image_create(host, g->result.width, g->result.height, g->m->vae.out_channels, &(*images)[i],
                         g->error));
    return MZT_OK;
}

static mzt_status reserve_pictures(generation *g) {
    const uint64_t channels =
        g->m->vae.in_channels > g->m->vae.out_channels ? g->m->vae.in_channels : g->m->vae.out_channels;
    generate_result *r = &g->result;
    r->trajectory_count = g->request->trajectory && g->sampler ? r->steps : 0;
    TRY(reserve(g, "picture", (uint64_t)r->width * r->height * channels, &g->pixels));
    TRY(reserve_images(g, r->count, &r->images));
    return r->trajectory_count ? reserve_images(g, r->trajectory_count, &r->trajectory) : MZT_OK;
}

static mzt_status reserve_watching(generation *g) {
    const uint64_t one = generation_latent_count(g);
    if (!generation_is_watched(g) || !g->sampler) return MZT_OK;
    TRY(reserve(g, "estimates", one * g->latent.n, &g->estimate));
    if (g->request->trajectory) TRY(reserve(g, "estimates", one * g->sampler->steps, &g->estimates));
    if (!generation_is_previewed(g)) return MZT_OK;
    if (!g->owner->map_known) TRY(latent_map_begin(g->m, &g->fit, g->error));
    const uint64_t pixels = (uint64_t)g->latent.h * g->latent.w;
    TRY(reserve(g, "preview", pixels * g->m->vae.out_channels, &g->colours));
    return image_create(g->m->host, g->latent.w, g->latent.h, g->m->vae.out_channels, &g->preview, g->error);
}

/* The further inputs of inpainting, by the kind of UNet: channels for one that was trained for it, a known
 * region for others. */
static mzt_status reserve_inpainting(generation *g) {
    const model *m = g->m;
    const uint32_t further = m->unet.in_channels - m->unet.out_channels;
    const uint64_t pixels = (uint64_t)g->latent.h * g->latent.w, one = generation_latent_count(g);
    if (!g->sampler) return MZT_OK;
    if (further) {
        TRY(reserve(g, "inpainting channels", one, &g->hidden));
        TRY(reserve(g, "inpainting channels", pixels * further, &g->further));
        TRY(reserve(g, "inpainting channels", pixels * further * g->latent.n, &g->blocks[0]));
        g->denoise.extra = g->blocks[0];
        g->denoise.extra_channels = further;
    } else if (g->source.host && g->source.mask) {
        TRY(reserve(g, "known region", one * g->latent.n, &g->blocks[1]));
        TRY(reserve(g, "known region", one * g->latent.n, &g->blocks[2]));
        g->denoise.mask = g->blocks[1];
        g->denoise.known = g->blocks[2];
    }
    return MZT_OK;
}

static mzt_status reserve_denoiser(generation *g) {
    const generate_request *r = g->request;
    const start_request start = {.rng = r->rng,
                                 .seed = r->seed,
                                 .variation_seed = r->variation_seed,
                                 .variation_strength = r->variation_strength};
    if (!g->sampler) return MZT_OK;
    TRY(start_noise_begin(g->m->host, &start, g->latent, 1 + g->sampler->noises, &g->noise, g->error));
    denoise_request *d = &g->denoise;
    d->images = g->latent.n;
    d->height = g->latent.h;
    d->width = g->latent.w;
    d->guided = g->guided;
    d->guidance = r->guidance;
    d->guidances = g->guidances;
    d->rescale = r->guidance_rescale;
    d->sampler = g->sampler;
    d->text = &g->prompts.rows;
    d->time_ids = g->time_ids;
    d->wrap = r->tile;
    d->keep_estimate = generation_is_watched(g);
    g->unet = denoise_spec(g->m, d);
    return denoiser_reserve(g->m, d, &g->denoiser, g->error);
}

mzt_status generation_use_windows(generation *g, uint64_t bytes, uint64_t limit) {
    shape4 latent = g->latent;
    latent.n = 1;
    g->whole_bytes = bytes;
    g->window_limit = limit;
    return tiled_decoder_create(g->m, g->owner->e, g->owner->precision, latent, g->request->tile, limit,
                                &g->tiles, g->error);
}

/* The decoder as a whole, or in windows where it would not fit. */
static mzt_status choose_decoder(generation *g) {
    const uint64_t limit = g->owner->memory_limit;
    executor *e = g->owner->e;
    uint64_t weights, activations;
    if (!limit || g->m->vae.tiny) return MZT_OK;
    TRY(g->m->estimate_part(g->m, &e->limits, g->owner->precision, &g->decoder, &weights, &activations,
                            g->error));
    if (weights + activations <= limit) return MZT_OK;
    return generation_use_windows(g, weights + activations, limit);
}

static mzt_status reserve_all(generation *g) {
    const generate_request *r = g->request;
    const generate_result *out = &g->result;
    const shape4 picture = {1, out->height, out->width, g->m->vae.in_channels};
    shape4 latent = g->latent;
    latent.n = 1;
    g->encoder = autoencoder_spec(PART_ENCODER, picture, r->tile);
    g->decoder = autoencoder_spec(PART_DECODER, latent, r->tile);
    TRY(choose_decoder(g));
    TRY(begin_prompts(g));
    if (r->init_image)
        TRY(source_create(g->m, r->init_image, r->mask, out->width, out->height, &g->source, g->error));
    TRY(reserve(g, "latents", generation_latent_count(g) * g->latent.n, &g->values));
    TRY(reserve_pictures(g));
    TRY(reserve_watching(g));
    TRY(reserve_inpainting(g));
    return reserve_denoiser(g);
}

uint32_t generation_parts(const generation *g, const part_spec **specs) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->prompts.encoders; i++)
        specs[count++] = &g->prompts.specs[i];
    if (g->source.host || g->further) specs[count++] = &g->encoder;
    if (g->fit.host && !g->owner->map_known) specs[count++] = &g->fit.spec;
    if (g->sampler) specs[count++] = &g->unet;
    if (!g->tiles) specs[count++] = &g->decoder;
    return count;
}

mzt_status generation_create(generator *owner, const generate_request *request, generation **out,
                             mzt_error *error) {
    *out = NULL;
    generation *g = host_calloc(owner->m->host, 1, sizeof *g);
    if (!g) return error_memory(error, "generation", sizeof *g);
    g->m = owner->m;
    g->owner = owner;
    g->copy = *request;
    g->request = &g->copy;
    g->error = error;
    g->status = MZT_PENDING;
    g->result.host = g->m->host;
    atomic_init(&g->cancelled, false);
    mzt_status status = generation_resolve(g);
    if (status >= 0) status = reserve_all(g);
    g->error = NULL;
    if (status < 0)
        generation_destroy(g);
    else
        *out = g;
    return status;
}

void generation_destroy(generation *g) {
    if (!g) return;
    const base_host *host = g->m->host;
    network_task_stop(&g->task);
    denoiser_destroy(&g->denoiser);
    prompt_destroy(&g->prompts);
    source_destroy(&g->source);
    latent_map_end(&g->fit);
    tiled_decoder_destroy(g->tiles);
    start_noise_destroy(host, &g->noise);
    sampler_program_destroy(host, g->sampler);
    generate_result_destroy(&g->result);
    image_free(host, &g->preview);
    float *const blocks[] = {g->values, g->estimates, g->estimate,  g->colours,   g->time_ids, g->pixels,
                             g->hidden, g->further,   g->blocks[0], g->blocks[1], g->blocks[2]};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        host_free(host, blocks[i]);
    host_free(host, g->guidances);
    host_free(host, g);
}
