/* The step loop; see denoise.h. */
#include "pipeline/denoise.h"

#include <string.h>

static uint64_t latent_count(shape4 s) {
    return (uint64_t)s.n * s.h * s.w * s.c;
}

static shape4 latent_shape(const model *m, const denoise_request *r) {
    return (shape4){r->images, r->height, r->width, m->unet.out_channels};
}

part_spec denoise_spec(const model *m, const denoise_request *r) {
    part_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.kind = PART_DENOISER;
    spec.n = r->images;
    spec.h = r->height;
    spec.w = r->width;
    spec.c = m->unet.out_channels;
    spec.wrap_x = r->wrap.x;
    spec.wrap_y = r->wrap.y;
    spec.calls = r->sampler->calls;
    spec.noises = r->sampler->noises;
    spec.guided = r->guided;
    spec.known = r->known != NULL;
    spec.extra_channels = r->extra ? r->extra_channels : 0;
    spec.text_length = r->text->length;
    spec.channels = r->text->channels;
    spec.pooled = m->unet.text_time ? r->text->pooled_channels : 0;
    spec.rescale = r->guided ? (float)r->rescale : 0;
    return spec;
}

static mzt_status check_request(const model *m, const denoise_request *r, mzt_error *error) {
    uint32_t rows = r->guided ? 2 * r->images : r->images,
             channels = m->unet.out_channels + (r->extra ? r->extra_channels : 0);
    if (m->unet.in_channels != channels)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: the UNet takes %u channels, but %u are given here", m->path,
                         m->unet.in_channels, channels);
    if (r->text->rows != rows)
        return error_set(error, MZT_ERROR_INTERNAL, "conditioning has %u rows, expected %u", r->text->rows,
                         rows);
    if (r->keep_estimate && r->sampler->slots >= SAMPLER_SLOTS)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "this sampler's history leaves no room to watch its estimates");
    if (m->unet.text_time && (!r->time_ids || !r->text->pooled))
        return error_set(error, MZT_ERROR_INVALID, "%s: the UNet wants text embeddings and time ids",
                         m->path);
    return MZT_OK;
}

/* Makes a slot that the sampler leaves alone hold the clean estimate. */
static void keep_estimate(float *row, uint32_t slot) {
    float *update = row + SAMPLER_ROW_UPDATE + slot * SAMPLER_FORM_SIZE;
    for (int i = 0; i < SAMPLER_FORM_SIZE; i++)
        update[i] = 0;
    update[SAMPLER_COLUMN_DENOISED] = 1;
}

/* The sampler's rows with this run's guidance in them, and each call's timestep repeated for all rows. */
static void fill_table(denoiser *d, const denoise_request *r) {
    const uint32_t rows = r->guided ? 2 * r->images : r->images;
    sampler_program_table(r->sampler, d->table);
    for (uint32_t i = 0; i < d->calls; i++) {
        float *row = d->table + (size_t)i * SAMPLER_ROW_FLOATS;
        row[SAMPLER_ROW_GUIDANCE] = (float)(r->guidances ? r->guidances[i] : r->guidance);
        if (r->keep_estimate) keep_estimate(row, r->sampler->slots);
        for (uint32_t b = 0; b < rows; b++)
            d->timesteps[(size_t)i * rows + b] = row[SAMPLER_ROW_TIMESTEP];
    }
}

mzt_status denoiser_reserve(const model *m, const denoise_request *request, denoiser *out, mzt_error *error) {
    const uint32_t calls = request->sampler->calls;
    *out = (denoiser){.host = m->host,
                      .latent = latent_shape(m, request),
                      .calls = calls,
                      .estimate_slot = request->keep_estimate ? request->sampler->slots : 0};
    TRY(check_request(m, request, error));
    const uint64_t rows = (uint64_t)request->text->rows * calls,
                   slots = latent_count(out->latent) * SAMPLER_SLOTS;
    out->table = host_calloc(m->host, (size_t)calls * SAMPLER_ROW_FLOATS, sizeof *out->table);
    out->timesteps = host_calloc(m->host, (size_t)rows, sizeof *out->timesteps);
    out->slots = host_calloc(m->host, (size_t)slots, sizeof *out->slots);
    if (!out->table || !out->timesteps || !out->slots) {
        denoiser_destroy(out);
        return error_memory(error, "sampler slots", slots * sizeof *out->slots);
    }
    fill_table(out, request);
    return MZT_OK;
}

static mzt_status upload(const model *m, denoiser *d, const denoise_request *r, mzt_error *error) {
    const conditioning *text = r->text;
    network *n = d->network;
    TRY(network_set(n, "table", d->table, (uint64_t)d->calls * SAMPLER_ROW_FLOATS, error));
    TRY(network_set(n, "timesteps", d->timesteps, (uint64_t)d->calls * text->rows, error));
    TRY(network_set(n, "context", text->context, (uint64_t)text->rows * text->length * text->channels,
                    error));
    if (m->unet.text_time) {
        TRY(network_set(n, "text_embeds", text->pooled, (uint64_t)text->rows * text->pooled_channels, error));
        TRY(network_set(n, "time_ids", r->time_ids, (uint64_t)text->rows * 6, error));
    }
    if (m->unet.guidance_channels) {
        float guidance = (float)(1000 * (r->guidance - 1)); /* as LCM's guidance embedding was trained */
        TRY(network_set(n, "guidance", &guidance, 1, error));
    }
    const uint64_t latent = (uint64_t)r->images * r->height * r->width * m->unet.out_channels;
    if (r->known) {
        TRY(network_set(n, "known", r->known, latent, error));
        TRY(network_set(n, "mask", r->mask, latent, error));
    }
    if (r->extra)
        TRY(network_set(n, "extra", r->extra, (uint64_t)r->images * r->height * r->width * r->extra_channels,
                        error));
    return MZT_OK;
}

mzt_status denoiser_bind(denoiser *d, const model *m, network *n, const denoise_request *request,
                         mzt_error *error) {
    const plan_phase *step = &n->plan->phases[plan_find_phase(n->plan, "step")];
    d->network = n;
    d->step_first = step->first;
    d->step_count = step->count;
    return upload(m, d, request, error);
}

mzt_status denoiser_rewind(denoiser *d, const float *latent, const float *noises, mzt_error *error) {
    const uint64_t count = latent_count(d->latent);
    network *n = d->network;
    const uint32_t zero = 0, noise = plan_find_buffer(n->plan, "noise");
    memcpy(d->slots, latent, (size_t)count * sizeof *latent); /* the others stay zero */
    d->done = 0;
    TRY(network_set(n, "slots", d->slots, count * SAMPLER_SLOTS, error));
    TRY(network_set_u32(n, "step", &zero, 1, error));
    if (!noises || noise == PLAN_NONE) return MZT_OK;
    return program_write(n->program, noise, 0, noises, n->plan->buffers[noise].bytes, error);
}

void denoiser_destroy(denoiser *d) {
    network_destroy(&d->own);
    if (d->host) {
        host_free(d->host, d->table);
        host_free(d->host, d->timesteps);
        host_free(d->host, d->slots);
    }
    *d = (denoiser){0};
}

mzt_status denoiser_start(denoiser *d, const float *latent, const float *noises, mzt_error *error) {
    TRY(denoiser_rewind(d, latent, noises, error));
    return program_run_phase(d->network->program, "setup", NULL, error);
}

mzt_status denoiser_run(denoiser *d, uint32_t calls, const run_control *control, mzt_error *error) {
    if (calls > d->calls - d->done)
        return error_set(error, MZT_ERROR_INTERNAL, "%u calls asked for, %u are left", calls,
                         d->calls - d->done);
    if (calls == 0) return MZT_OK;
    run_control repeated = control ? *control : (run_control){0};
    repeated.repeat = calls;
    TRY(program_run(d->network->program, d->step_first, d->step_count, &repeated, error));
    d->done += calls;
    return MZT_OK;
}

/* Slot `index` of the state. */
static mzt_status read_slot(denoiser *d, uint32_t index, float *out, mzt_error *error) {
    const uint64_t bytes = latent_count(d->latent) * sizeof *out;
    uint32_t slots = plan_find_buffer(d->network->plan, "slots");
    if (slots == PLAN_NONE) return error_set(error, MZT_ERROR_INTERNAL, "the plan has no slots");
    return program_read(d->network->program, slots, index * bytes, out, bytes, error);
}

mzt_status denoiser_latent(denoiser *d, float *latent, mzt_error *error) {
    return read_slot(d, 0, latent, error);
}

mzt_status denoiser_estimate(denoiser *d, float *estimate, mzt_error *error) {
    if (!d->estimate_slot) return error_set(error, MZT_ERROR_INTERNAL, "estimates are not kept");
    return read_slot(d, d->estimate_slot, estimate, error);
}
