/* The step loop; see denoise.h. */
#include "pipeline/denoise.h"

#include "model/unet.h"

static uint64_t latent_count(shape4 s) {
    return (uint64_t)s.n * s.h * s.w * s.c;
}

static shape4 latent_shape(const model *m, const denoise_request *r) {
    return (shape4){r->images, r->height, r->width, m->unet.out_channels};
}

graph *denoise_describe(const model *m, dtype type, const denoise_request *r, mzt_error *error) {
    const uint32_t repeat = r->guided ? 2 : 1, rows = repeat * r->images, calls = r->sampler->calls;
    const shape4 latent = latent_shape(m, r);
    graph *g = graph_create(m->host, type, type);
    if (!g) {
        error_memory(error, "graph", sizeof *g);
        return NULL;
    }
    tensor slots =
        graph_state(g, "slots", DTYPE_F32, (shape4){SAMPLER_SLOTS * latent.n, latent.h, latent.w, latent.c});
    tensor step = graph_state(g, "step", DTYPE_U32, (shape4){1, 1, 1, 1});
    tensor table = graph_input(g, "table", DTYPE_F32, (shape4){calls, 1, 1, SAMPLER_ROW_FLOATS});
    tensor noise = TENSOR_NONE, extra = TENSOR_NONE;
    if (r->sampler->noises)
        noise = graph_input(g, "noise", DTYPE_F32,
                            (shape4){r->sampler->noises * latent.n, latent.h, latent.w, latent.c});
    if (r->extra)
        extra = graph_input(g, "extra", DTYPE_F32, (shape4){latent.n, latent.h, latent.w, r->extra_channels});
    unet_inputs inputs = {.step = step};
    inputs.timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){calls * rows, 1, 1, 1});
    inputs.context = graph_input(g, "context", type, (shape4){rows, r->text->length, 1, r->text->channels});
    if (m->unet.text_time) {
        inputs.text_embeds =
            graph_input(g, "text_embeds", type, (shape4){rows, 1, 1, r->text->pooled_channels});
        inputs.time_ids = graph_input(g, "time_ids", DTYPE_F32, (shape4){rows * 6, 1, 1, 1});
    }
    if (m->unet.guidance_channels)
        inputs.guidance = graph_input(g, "guidance", DTYPE_F32, (shape4){1, 1, 1, 1});
    inputs.sample = graph_sampler_input(g, slots, table, step, extra, latent, repeat);
    unet_options options = {.wrap = r->wrap};
    tensor output = graph_cast(g, unet_describe(g, &m->unet, &inputs, &options), DTYPE_F32);
    uint32_t halves = repeat;
    if (r->known || (r->guided && r->rescale > 0)) {
        tensor known = r->known ? graph_input(g, "known", DTYPE_F32, latent) : TENSOR_NONE;
        tensor mask = r->known ? graph_input(g, "mask", DTYPE_F32, latent) : TENSOR_NONE;
        output = graph_guidance(g, slots, output, table, step, known, mask, latent, repeat,
                                r->guided ? (float)r->rescale : 0);
        halves = 1;
    }
    graph_sampler_update(g, slots, output, table, step, noise, latent, halves);
    graph_step_advance(g, step);
    return g;
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
static mzt_status upload_table(const model *m, network *n, const denoise_request *r, mzt_error *error) {
    const uint32_t calls = r->sampler->calls, rows = r->guided ? 2 * r->images : r->images;
    float *table = host_calloc(m->host, (size_t)calls * SAMPLER_ROW_FLOATS, sizeof *table);
    float *timesteps = host_calloc(m->host, (size_t)calls * rows, sizeof *timesteps);
    mzt_status status = MZT_OK;
    if (!table || !timesteps) {
        status = error_memory(error, "sampler table", (uint64_t)calls * SAMPLER_ROW_FLOATS * sizeof *table);
        goto done;
    }
    sampler_program_table(r->sampler, table);
    for (uint32_t i = 0; i < calls; i++) {
        float *row = table + (size_t)i * SAMPLER_ROW_FLOATS;
        row[SAMPLER_ROW_GUIDANCE] = (float)(r->guidances ? r->guidances[i] : r->guidance);
        if (r->keep_estimate) keep_estimate(row, r->sampler->slots);
        for (uint32_t b = 0; b < rows; b++)
            timesteps[(size_t)i * rows + b] = row[SAMPLER_ROW_TIMESTEP];
    }
    status = network_set(n, "table", table, (uint64_t)calls * SAMPLER_ROW_FLOATS, error);
    if (status >= 0) status = network_set(n, "timesteps", timesteps, (uint64_t)calls * rows, error);
done:
    host_free(m->host, table);
    host_free(m->host, timesteps);
    return status;
}

static mzt_status upload(const model *m, network *n, const denoise_request *r, mzt_error *error) {
    const conditioning *text = r->text;
    TRY(upload_table(m, n, r, error));
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

mzt_status denoiser_create(const model *m, executor *e, precision p, const denoise_request *request,
                           denoiser *out, mzt_error *error) {
    *out = (denoiser){.latent = latent_shape(m, request),
                      .calls = request->sampler->calls,
                      .estimate_slot = request->keep_estimate ? request->sampler->slots : 0};
    TRY(check_request(m, request, error));
    dtype type;
    TRY(precision_resolve(p, &e->limits, &type, error));
    graph *g = denoise_describe(m, type, request, error);
    if (!g) return MZT_ERROR_OUT_OF_MEMORY;
    mzt_status status = network_create(e, g, m->weights[MODEL_UNET], &out->network, error);
    if (status >= 0) status = upload(m, &out->network, request, error);
    if (status < 0) {
        denoiser_destroy(out);
        return error_prefix(error, "unet: ");
    }
    const plan_phase *step = &out->network.plan->phases[plan_find_phase(out->network.plan, "step")];
    out->step_first = step->first;
    out->step_count = step->count;
    return MZT_OK;
}

void denoiser_destroy(denoiser *d) {
    network_destroy(&d->network);
    *d = (denoiser){0};
}

mzt_status denoiser_start(denoiser *d, const float *latent, const float *noises, mzt_error *error) {
    const base_host *host = d->network.program->owner->host;
    const uint64_t count = latent_count(d->latent);
    float *slots = host_calloc(host, (size_t)count * SAMPLER_SLOTS, sizeof *slots);
    if (!slots) return error_memory(error, "sampler slots", count * SAMPLER_SLOTS * sizeof *slots);
    for (uint64_t i = 0; i < count; i++)
        slots[i] = latent[i];
    mzt_status status = network_set(&d->network, "slots", slots, count * SAMPLER_SLOTS, error);
    host_free(host, slots);
    const uint32_t zero = 0;
    if (status >= 0) status = network_set_u32(&d->network, "step", &zero, 1, error);
    uint32_t noise = plan_find_buffer(d->network.plan, "noise");
    if (status >= 0 && noises && noise != PLAN_NONE) {
        const plan_buffer *buffer = &d->network.plan->buffers[noise];
        status = program_write(d->network.program, noise, 0, noises, buffer->bytes, error);
    }
    d->done = 0;
    if (status >= 0) status = program_run_phase(d->network.program, "setup", NULL, error);
    return status;
}

mzt_status denoiser_run(denoiser *d, uint32_t calls, const run_control *control, mzt_error *error) {
    if (calls > d->calls - d->done)
        return error_set(error, MZT_ERROR_INTERNAL, "%u calls asked for, %u are left", calls,
                         d->calls - d->done);
    if (calls == 0) return MZT_OK;
    run_control repeated = control ? *control : (run_control){0};
    repeated.repeat = calls;
    TRY(program_run(d->network.program, d->step_first, d->step_count, &repeated, error));
    d->done += calls;
    return MZT_OK;
}

/* Slot `index` of the state. */
static mzt_status read_slot(denoiser *d, uint32_t index, float *out, mzt_error *error) {
    const uint64_t bytes = latent_count(d->latent) * sizeof *out;
    uint32_t slots = plan_find_buffer(d->network.plan, "slots");
    if (slots == PLAN_NONE) return error_set(error, MZT_ERROR_INTERNAL, "the plan has no slots");
    return program_read(d->network.program, slots, index * bytes, out, bytes, error);
}

mzt_status denoiser_latent(denoiser *d, float *latent, mzt_error *error) {
    return read_slot(d, 0, latent, error);
}

mzt_status denoiser_estimate(denoiser *d, float *estimate, mzt_error *error) {
    if (!d->estimate_slot) return error_set(error, MZT_ERROR_INTERNAL, "estimates are not kept");
    return read_slot(d, d->estimate_slot, estimate, error);
}
