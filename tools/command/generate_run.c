/* mezzotint generate's work: the request, through the C API, to pictures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "generate_command.h"

static const char *const phase_labels[] = {"reading the prompt", "preparing", "denoising", "decoding"};

/* What the API gives, and the pictures as the rest of the command has them. */
typedef struct generate_run_objects {
    mzt_context *context;
    mzt_model *model;
    mzt_device *device;
    mzt_pipeline *pipeline;
    mzt_job *job;
} objects;

/* A few pictures a second are enough, and all that a slow terminal takes. */
static void show_preview(generate_command *c, mzt_job *job, const mzt_progress *p) {
    mzt_job_info info = {.struct_size = sizeof info};
    image picture = {0};
    double now = clock_seconds();
    if (!c->preview || p->step == c->steps_seen) return;
    c->steps_seen = p->step;
    if (p->step < p->steps && now - c->previewed < 0.15) return;
    c->previewed = now;
    progress_clear(&c->bar);
    mzt_status status = mzt_job_get_info(job, &info, NULL);
    if (status >= 0)
        status = image_create(c->host, info.preview_width, info.preview_height, 4, &picture, NULL);
    if (status >= 0) status = mzt_job_preview(job, 0, picture.pixels, 0, NULL, NULL);
    if (status >= 0) status = terminal_draw(&c->terminal, &picture, NULL);
    if (status < 0) c->preview = false; /* a look less is no failure */
    image_free(c->host, &picture);
}

static int on_progress(void *user, mzt_job *job, const mzt_progress *p) {
    generate_command *c = user;
    if (p->phase != MZT_PHASE_DONE && p->phase != c->shown) {
        progress_end(&c->bar);
        c->bar = progress_begin(phase_labels[p->phase], c->quiet);
        c->shown = p->phase;
    }
    show_preview(c, job, p);
    progress_update(&c->bar, p->share, 1);
    return command_interrupted();
}

/* Everything that decides the picture, from the options to the API's parameters. */
static mzt_job_params job_params(generate_command *c, mzt_image pictures[2]) {
    const generate_request *r = &c->request;
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = r->prompt;
    p.negative = r->negative;
    p.plain_prompt = r->plain_prompt;
    p.clip_skip = r->clip_skip;
    p.width = r->width;
    p.height = r->height;
    p.count = r->count;
    p.steps = r->steps;
    p.sampler = r->sampler;
    p.schedule = r->schedule;
    p.sigmas = r->sigmas;
    p.sigma_count = r->sigma_count;
    p.rng = (mzt_rng)r->rng;
    p.eta = r->eta;
    p.s_noise = r->s_noise;
    p.guidance = r->guidance;
    p.guidance_rescale = r->guidance_rescale;
    p.guidance_begin = r->guidance_interval[0];
    p.guidance_end = r->guidance_interval[1];
    p.seed = r->seed;
    p.variation_seed = r->variation_seed;
    p.variation_strength = r->variation_strength;
    p.strength = r->strength;
    p.tile_x = r->tile.x;
    p.tile_y = r->tile.y;
    p.preview = c->preview;
    p.trajectory = r->trajectory;
    p.progress = on_progress;
    p.user = c;
    const image *const given[2] = {r->init_image, r->mask};
    for (int i = 0; i < 2; i++)
        if (given[i])
            pictures[i] = (mzt_image){.struct_size = sizeof *pictures,
                                      .pixels = given[i]->pixels,
                                      .width = given[i]->width,
                                      .height = given[i]->height,
                                      .channels = given[i]->channels};
    p.init_image = given[0] ? &pictures[0] : NULL;
    p.mask = given[1] ? &pictures[1] : NULL;
    return p;
}

static mzt_status open_model(generate_command *c, objects *o, mzt_error *error) {
    mzt_lora loras[LORA_MAX];
    model_options options;
    mzt_model_params p;
    TRY(model_choice_options(c->host, &c->parts, &options, error));
    mzt_model_params_init(&p, sizeof p);
    p.vae = options.vae;
    p.text_encoders[0] = options.text_encoders[0];
    p.text_encoders[1] = options.text_encoders[1];
    p.tokenizer = options.tokenizer;
    p.data_folder = options.data_folder;
    p.prediction = options.prediction;
    p.embeddings = options.embeddings;
    p.embedding_count = options.embedding_count;
    p.weights = (mzt_weights)options.stored;
    for (uint32_t i = 0; i < c->loras.count; i++)
        loras[i] = (mzt_lora){sizeof *loras, c->loras.list[i].path, c->loras.list[i].scale};
    p.loras = loras;
    p.lora_count = c->loras.count;
    return mzt_model_open(o->context, c->model, &p, &o->model, error);
}

static mzt_status open_all(generate_command *c, objects *o, mzt_error *error) {
    mzt_hooks hooks = c->host->hooks;
    hooks.struct_size = sizeof hooks;
    TRY(mzt_context_create(&hooks, &o->context, error));
    TRY(open_model(c, o, error));
    TRY(lora_hash(c->host, &c->loras, error));
    if (c->from) lora_compare_hashes(&c->loras, parameters_find(&c->past, "Lora hashes"));
    TRY(mzt_device_open(o->context, c->device, &o->device, error));
    c->device_info.struct_size = sizeof c->device_info;
    return mzt_device_get_info(o->device, &c->device_info, error);
}

/* "4G", "1.5G", "900M", or bytes. */
static mzt_status parse_memory(const char *text, uint64_t *bytes, mzt_error *error) {
    char *end, shown[40];
    const double value = strtod(text, &end);
    const double unit = *end == 'G' || *end == 'g'   ? 1073741824.0
                        : *end == 'M' || *end == 'm' ? 1048576.0
                        : *end == 'K' || *end == 'k' ? 1024.0
                                                     : 1.0;
    if (end != text && unit > 1) end++;
    if (end == text || *end || !(value > 0) || value * unit > 1e18)
        return error_set(error, MZT_ERROR_INVALID, "--memory: expected a size such as 4G or 900M, found '%s'",
                         error_text(shown, sizeof shown, text));
    *bytes = (uint64_t)(value * unit);
    return MZT_OK;
}

/* What the job takes, before anything is allocated for it. */
static mzt_status print_estimate(const generate_command *c, const objects *o, const mzt_pipeline_params *p,
                                 const mzt_job_params *params, mzt_error *error) {
    mzt_estimate e = {.struct_size = sizeof e};
    TRY(mzt_model_estimate(o->model, o->device, p, params, &e, error));
    if (!c->quiet)
        fprintf(stderr,
                "memory: %.0f MB of weights and %.0f MB of activations, at most %.0f MB at once; the limit "
                "is %.0f MB\n",
                (double)e.weights * 1e-6, (double)e.activations * 1e-6, (double)e.peak * 1e-6,
                (double)p->memory_limit * 1e-6);
    return MZT_OK;
}

static mzt_status make(generate_command *c, objects *o, mzt_error *error) {
    mzt_image pictures[2];
    mzt_pipeline_params p;
    const mzt_job_params params = job_params(c, pictures);
    mzt_pipeline_params_init(&p, sizeof p);
    p.precision = (mzt_precision)c->request.precision;
    p.residency = MZT_RESIDENCY_TURNS; /* one run: the least memory */
    p.shape = &params;
    if (c->memory) {
        TRY(parse_memory(c->memory, &p.memory_limit, error));
        TRY(print_estimate(c, o, &p, &params, error));
    }
    TRY(mzt_pipeline_create(o->model, o->device, &p, &o->pipeline, error));
    TRY(mzt_job_create(o->pipeline, &params, &o->job, error));
    mzt_status status = mzt_job_run(o->job, error);
    c->job_info.struct_size = sizeof c->job_info;
    return status < 0 ? status : mzt_job_get_info(o->job, &c->job_info, error);
}

/* One picture, with as many channels as the model makes. */
static mzt_status read_picture(const generate_command *c, mzt_job *job, bool trajectory, uint32_t index,
                               image *out, mzt_error *error) {
    const mzt_job_info *info = &c->job_info;
    image rgba = {0};
    TRY(image_create(c->host, info->width, info->height, 4, &rgba, error));
    mzt_status status = trajectory ? mzt_job_read_trajectory(job, index, rgba.pixels, 0, error)
                                   : mzt_job_read_rgba8(job, index, rgba.pixels, 0, error);
    if (status >= 0) status = image_create(c->host, info->width, info->height, info->channels, out, error);
    for (size_t i = 0; status >= 0 && i < (size_t)info->width * info->height; i++)
        memcpy(out->pixels + i * out->channels, rgba.pixels + i * 4, out->channels);
    image_free(c->host, &rgba);
    return status;
}

static mzt_status read_all(generate_command *c, mzt_job *job, generate_result *r, mzt_error *error) {
    const mzt_job_info *info = &c->job_info;
    *r = (generate_result){.host = c->host,
                           .count = info->count,
                           .trajectory_count = c->request.trajectory ? info->steps : 0,
                           .width = info->width,
                           .height = info->height,
                           .steps = info->steps,
                           .calls = info->calls,
                           .guided = info->guided,
                           .sampler = info->sampler,
                           .schedule = info->schedule,
                           .text_seconds = info->seconds[MZT_PHASE_TEXT],
                           .prepare_seconds = info->seconds[MZT_PHASE_PREPARE],
                           .denoise_seconds = info->seconds[MZT_PHASE_DENOISE],
                           .decode_seconds = info->seconds[MZT_PHASE_DECODE],
                           .device_bytes = info->device_bytes};
    r->images = host_calloc(c->host, r->count, sizeof *r->images);
    r->trajectory = host_calloc(c->host, r->trajectory_count, sizeof *r->trajectory);
    if (!r->images || !r->trajectory) return error_memory(error, "pictures", r->count * sizeof *r->images);
    for (uint32_t i = 0; i < r->count; i++)
        TRY(read_picture(c, job, false, i, &r->images[i], error));
    for (uint32_t i = 0; i < r->trajectory_count; i++)
        TRY(read_picture(c, job, true, i, &r->trajectory[i], error));
    return MZT_OK;
}

mzt_status generate_run(generate_command *c, generate_result *result, mzt_error *error) {
    objects o = {NULL, NULL, NULL, NULL, NULL};
    mzt_model_info model_info = {.struct_size = sizeof model_info};
    *result = (generate_result){0};
    mzt_status status = open_all(c, &o, error);
    if (status >= 0) status = mzt_model_get_info(o.model, &model_info, error);
    hash_task *hash = status >= 0 ? file_hash_begin(c->host, model_info.weights_file) : NULL;
    c->bar = progress_begin(phase_labels[0], c->quiet);
    if (status >= 0) status = make(c, &o, error);
    progress_end(&c->bar);
    if (status >= 0) status = read_all(c, o.job, result, error);
    if (status < 0)
        file_hash_abandon(hash);
    else
        status = file_hash_finish(hash, model_info.weights_file, c->model_hash, error);
    mzt_job_destroy(o.job);
    mzt_pipeline_destroy(o.pipeline);
    mzt_device_destroy(o.device);
    mzt_model_close(o.model);
    mzt_context_destroy(o.context);
    if (status < 0) generate_result_destroy(result);
    return status;
}
