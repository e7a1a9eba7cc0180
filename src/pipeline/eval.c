/* One network on tensors from a file; see eval.h. */
#include "pipeline/eval_internal.h"

#include <stdio.h>
#include <string.h>

#include "pipeline/autoencoder.h"
#include "pipeline/denoise.h"
#include "pipeline/stored.h"
#include "sample/compile.h"

static mzt_status read_tensor(eval_context *c, const char *name, uint32_t rank, host_tensor *t) {
    return tensor_read(c->m->host, c->in, name, rank, t, c->error);
}

static mzt_status add(eval_context *c, const char *prefix, const char *name, uint32_t rank,
                      const uint32_t *shape, host_tensor **t) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return tensor_list_add(&c->out, full, rank, shape, t, c->error);
}

static mzt_status eval_text(eval_context *c, uint32_t index) {
    const model_component part = index ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER;
    const clip_config *config = &c->m->text[index];
    const char *name = model_component_name(part);
    if (!c->m->weights[part])
        return error_set(c->error, MZT_ERROR_NOT_FOUND, "%s has no %s", c->m->path, name);
    uint32_t shape[2], *ids;
    TRY(tensor_read_ids(c->m->host, c->in, "input_ids", shape, &ids, c->error));
    const uint32_t tokens[3] = {shape[0], shape[1], config->channels},
                   pooled[2] = {shape[0], config->channels},
                   projected[2] = {shape[0], config->projection_channels};
    host_tensor *last, *hidden, *pool = NULL, *embeds = NULL;
    mzt_status status = add(c, name, "last_hidden_state", 3, tokens, &last);
    if (status >= 0) status = add(c, name, "hidden_states.penultimate", 3, tokens, &hidden);
    if (status >= 0 && config->projection) status = add(c, name, "text_embeds", 2, projected, &embeds);
    if (status >= 0 && !config->projection) status = add(c, name, "pooler_output", 2, pooled, &pool);
    if (status >= 0) {
        text_states states = {.last = last->values,
                              .hidden = hidden->values,
                              .pooled = pool ? pool->values : NULL,
                              .embeds = embeds ? embeds->values : NULL};
        status = text_encoder_run(c->m, c->e, c->p, index, ids, shape[0], shape[1], 1, &states, c->error);
    }
    host_free(c->m->host, ids);
    return status;
}

static mzt_status expect_rows(eval_context *c, const char *name, uint64_t found, uint64_t expected) {
    if (found == expected) return MZT_OK;
    return error_set(c->error, MZT_ERROR_FORMAT, "tensor %s: expected %llu elements in its rows, found %llu",
                     name, (unsigned long long)expected, (unsigned long long)found);
}

mzt_status eval_read_unet(eval_context *c, unet_tensors *t) {
    const unet_config *config = &c->m->unet;
    TRY(read_tensor(c, "unet.sample", 4, &t->sample));
    TRY(read_tensor(c, "unet.timestep", 1, &t->timestep));
    TRY(read_tensor(c, "unet.encoder_hidden_states", 3, &t->context));
    const uint32_t rows = t->sample.shape[0];
    TRY(expect_rows(c, "unet.timestep", t->timestep.count, rows));
    TRY(expect_rows(c, "unet.encoder_hidden_states", t->context.count,
                    (uint64_t)rows * t->context.shape[1] * config->context_channels));
    if (t->sample.shape[1] != config->in_channels)
        return error_set(c->error, MZT_ERROR_FORMAT, "tensor unet.sample: expected %u channels, found %u",
                         config->in_channels, t->sample.shape[1]);
    if (!config->text_time) return MZT_OK;
    TRY(read_tensor(c, "unet.text_embeds", 2, &t->embeds));
    TRY(read_tensor(c, "unet.time_ids", 2, &t->ids));
    TRY(expect_rows(c, "unet.text_embeds", t->embeds.shape[0], rows));
    return expect_rows(c, "unet.time_ids", t->ids.shape[0], rows);
}

void eval_release_unet(const eval_context *c, unet_tensors *t) {
    host_tensor *all[] = {&t->sample, &t->timestep, &t->context, &t->embeds, &t->ids};
    for (int i = 0; i < 5; i++)
        tensor_release(c->m->host, all[i]);
}

unet_inputs eval_unet_inputs(const eval_context *c, graph *g, const unet_tensors *t, bool varying) {
    tensor (*input)(graph *, const char *, dtype, shape4) = varying ? graph_varying_input : graph_input;
    const uint32_t *s = t->sample.shape, rows = s[0];
    const dtype type = g->activation;
    unet_inputs inputs = {
        .sample = input(g, "sample", type, (shape4){rows, s[2], s[3], s[1]}),
        .timesteps = input(g, "timesteps", DTYPE_F32, (shape4){rows, 1, 1, 1}),
        .context = input(g, "context", type, (shape4){rows, t->context.shape[1], 1, t->context.shape[2]}),
    };
    if (c->m->unet.text_time) {
        inputs.text_embeds = input(g, "text_embeds", type, (shape4){rows, 1, 1, t->embeds.shape[1]});
        inputs.time_ids = input(g, "time_ids", DTYPE_F32, (shape4){(uint32_t)t->ids.count, 1, 1, 1});
    }
    return inputs;
}

mzt_status eval_set_unet(eval_context *c, network *n, const unet_tensors *t) {
    TRY(network_set(n, "sample", t->sample.values, t->sample.count, c->error));
    TRY(network_set(n, "timesteps", t->timestep.values, t->timestep.count, c->error));
    TRY(network_set(n, "context", t->context.values, t->context.count, c->error));
    if (t->embeds.values) TRY(network_set(n, "text_embeds", t->embeds.values, t->embeds.count, c->error));
    if (t->ids.values) TRY(network_set(n, "time_ids", t->ids.values, t->ids.count, c->error));
    return MZT_OK;
}

static mzt_status run_unet(eval_context *c, const unet_tensors *t, host_tensor *output) {
    dtype type;
    TRY(precision_resolve(c->p, &c->e->limits, &type, c->error));
    graph *g = model_graph(c->m, MODEL_UNET, type);
    if (!g) return error_memory(c->error, "graph", sizeof *g);
    unet_inputs inputs = eval_unet_inputs(c, g, t, false);
    graph_output(g, unet_describe(g, &c->m->unet, &inputs, NULL), "output");
    network n = {0};
    mzt_status status = network_create(c->e, g, c->m->weights[MODEL_UNET], &n, c->error);
    if (status >= 0) status = eval_set_unet(c, &n, t);
    if (status >= 0) status = network_run(&n, c->error);
    if (status >= 0) status = network_get(&n, "output", output->values, output->count, c->error);
    network_destroy(&n);
    return status;
}

static mzt_status eval_unet(eval_context *c) {
    unet_tensors t = {0};
    mzt_status status = eval_read_unet(c, &t);
    host_tensor *output;
    if (status >= 0) {
        const uint32_t shape[4] = {t.sample.shape[0], c->m->unet.out_channels, t.sample.shape[2],
                                   t.sample.shape[3]};
        status = add(c, "unet", "output", 4, shape, &output);
    }
    if (status >= 0) status = run_unet(c, &t, output);
    eval_release_unet(c, &t);
    return status;
}

/* The shape of a rank 4 tensor in this library's order. */
static shape4 nhwc(const host_tensor *t) {
    return (shape4){t->shape[0], t->shape[2], t->shape[3], t->shape[1]};
}

static mzt_status expect_channels(eval_context *c, const char *name, uint32_t found, uint32_t expected) {
    if (found == expected) return MZT_OK;
    return error_set(c->error, MZT_ERROR_FORMAT, "tensor %s: expected %u channels, found %u", name, expected,
                     found);
}

static mzt_status eval_vae_decoder(eval_context *c) {
    host_tensor latent, *decoded;
    TRY(read_tensor(c, "vae.latent", 4, &latent));
    const uint32_t factor = vae_factor(&c->m->vae);
    const uint32_t shape[4] = {latent.shape[0], c->m->vae.out_channels, latent.shape[2] * factor,
                               latent.shape[3] * factor};
    mzt_status status = expect_channels(c, "vae.latent", latent.shape[1], c->m->vae.latent_channels);
    if (status >= 0) status = add(c, "vae", "decoded", 4, shape, &decoded);
    if (status >= 0)
        status = autoencoder_decode(c->m, c->e, c->p, nhwc(&latent), (model_wrap){0}, latent.values,
                                    decoded->values, NULL, c->error);
    tensor_release(c->m->host, &latent);
    return status;
}

static mzt_status eval_vae_encoder(eval_context *c) {
    host_tensor image, *mean, *logvar;
    TRY(read_tensor(c, "vae.image", 4, &image));
    const uint32_t factor = vae_factor(&c->m->vae);
    const uint32_t shape[4] = {image.shape[0], c->m->vae.latent_channels, image.shape[2] / factor,
                               image.shape[3] / factor};
    mzt_status status = expect_channels(c, "vae.image", image.shape[1], c->m->vae.in_channels);
    if (status >= 0 && (image.shape[2] % factor || image.shape[3] % factor))
        status = error_set(c->error, MZT_ERROR_FORMAT, "tensor vae.image: %u x %u pixels do not divide by %u",
                           image.shape[3], image.shape[2], factor);
    if (status >= 0) status = add(c, "vae", "mean", 4, shape, &mean);
    if (status >= 0) status = add(c, "vae", "logvar", 4, shape, &logvar);
    if (status >= 0)
        status = autoencoder_encode(c->m, c->e, c->p, nhwc(&image), (model_wrap){0}, image.values,
                                    mean->values, logvar->values, NULL, c->error);
    tensor_release(c->m->host, &image);
    return status;
}

static mzt_status read_sampler(eval_context *c, sampler_program **sampler) {
    sampler_config config = c->m->sampler;
    if (c->request->scheduler_config) {
        json_doc *doc;
        TRY(json_read(c->m->host, c->request->scheduler_config, &doc, c->error));
        mzt_status status = sampler_config_parse(json_root(doc), &config, c->error);
        json_destroy(doc);
        if (status < 0) return status;
    }
    sampler_request request = sampler_request_default(c->request->steps);
    return sampler_compile(c->m->host, &config, &request, sampler, c->error);
}

/* Runs every call, keeping the latent after each, and decodes the last. `latent` holds the scaled start. */
static mzt_status run_loop(eval_context *c, denoiser *d, host_tensor *latent,
                           const sampler_program *sampler) {
    const uint64_t count = latent->count;
    const uint32_t factor = vae_factor(&c->m->vae);
    const uint32_t steps_shape[4] = {sampler->calls, latent->shape[1], latent->shape[2], latent->shape[3]};
    const uint32_t image_shape[4] = {1, c->m->vae.out_channels, latent->shape[2] * factor,
                                     latent->shape[3] * factor};
    host_tensor *latents, *image;
    TRY(add(c, "pipeline", "latents", 4, steps_shape, &latents));
    TRY(add(c, "pipeline", "image", 4, image_shape, &image));
    TRY(denoiser_start(d, latent->values, NULL, c->error));
    for (uint32_t i = 0; i < sampler->calls; i++) {
        TRY(denoiser_run(d, 1, NULL, c->error));
        TRY(denoiser_latent(d, latents->values + i * count, c->error));
    }
    for (uint64_t i = 0; i < count; i++)
        latent->values[i] = (float)(latents->values[(sampler->calls - 1) * count + i] * sampler->final_scale);
    latent_to_autoencoder(c->m, latent->values, count);
    return autoencoder_decode(c->m, c->e, c->p, nhwc(latent), (model_wrap){0}, latent->values, image->values,
                              NULL, c->error);
}

/* Row 0 of the ids is the prompt, row 1 the negative one; the network's batch has them the other way round.
 */
static mzt_status eval_pipeline(eval_context *c) {
    const base_host *host = c->m->host;
    uint32_t shape[2], *ids = NULL;
    host_tensor noise = {0}, time_ids = {0};
    sampler_program *sampler = NULL;
    conditioning text = {0};
    denoiser d = {0};
    mzt_status status = tensor_read_ids(host, c->in, "input_ids", shape, &ids, c->error);
    if (status >= 0 && shape[0] != 2)
        status = error_set(c->error, MZT_ERROR_FORMAT,
                           "tensor input_ids: expected 2 rows (prompt, negative), found %u", shape[0]);
    if (status >= 0) status = read_tensor(c, "pipeline.noise", 4, &noise);
    if (status >= 0) status = expect_channels(c, "pipeline.noise", noise.shape[1], c->m->unet.out_channels);
    if (status >= 0) status = expect_rows(c, "pipeline.noise", noise.shape[0], 1);
    if (status >= 0 && c->m->unet.text_time) {
        status = read_tensor(c, "unet.time_ids", 2, &time_ids);
        if (status >= 0) status = expect_rows(c, "unet.time_ids", time_ids.count, 12);
        for (int i = 0; status >= 0 && i < 6; i++) {
            float swap = time_ids.values[i];
            time_ids.values[i] = time_ids.values[i + 6];
            time_ids.values[i + 6] = swap;
        }
    }
    for (uint32_t i = 0; status >= 0 && i < shape[1]; i++) {
        uint32_t swap = ids[i];
        ids[i] = ids[shape[1] + i];
        ids[shape[1] + i] = swap;
    }
    if (status >= 0) status = read_sampler(c, &sampler);
    if (status >= 0 && sampler->noises)
        status = error_set(c->error, MZT_ERROR_UNSUPPORTED,
                           "a sampler that draws fresh noise has no reference trajectory");
    if (status >= 0)
        status = conditioning_from_ids(c->m, c->e, c->p, ids, NULL, 2, shape[1], &text, c->error);
    if (status >= 0) {
        denoise_request request = {.images = 1,
                                   .height = noise.shape[2],
                                   .width = noise.shape[3],
                                   .guided = true,
                                   .guidance = c->request->guidance,
                                   .sampler = sampler,
                                   .text = &text,
                                   .time_ids = time_ids.values};
        status = denoiser_create(c->m, c->e, c->p, &request, &d, c->error);
    }
    for (uint64_t i = 0; status >= 0 && i < noise.count; i++)
        noise.values[i] = (float)(noise.values[i] * sampler->init_noise_sigma);
    if (status >= 0) status = run_loop(c, &d, &noise, sampler);
    denoiser_destroy(&d);
    conditioning_destroy(&text);
    sampler_program_destroy(host, sampler);
    tensor_release(host, &noise);
    tensor_release(host, &time_ids);
    host_free(host, ids);
    return status;
}

static mzt_status eval_text_1(eval_context *c) {
    return eval_text(c, 0);
}

static mzt_status eval_text_2(eval_context *c) {
    return eval_text(c, 1);
}

mzt_status pipeline_eval(const model *m, executor *e, precision p, const eval_request *request,
                         mzt_error *error) {
    static const struct {
        const char *name;
        mzt_status (*run)(eval_context *c);
    } components[] = {
        {"text_encoder", eval_text_1},     {"text_encoder_2", eval_text_2},       {"unet", eval_unet},
        {"vae_encoder", eval_vae_encoder}, {"vae_decoder", eval_vae_decoder},     {"pipeline", eval_pipeline},
        {"gradients", eval_gradients},     {"vae_gradients", eval_vae_gradients}, {"adamw", eval_adamw}};
    for (size_t i = 0; i < sizeof components / sizeof *components; i++) {
        if (strcmp(request->component, components[i].name) != 0) continue;
        weights_set *in;
        TRY(weights_open(m->host, request->input, &in, error));
        eval_context c = {
            .m = m, .e = e, .p = p, .request = request, .in = in, .out = {.host = m->host}, .error = error};
        mzt_status status = components[i].run(&c);
        if (status >= 0 && c.out.count > 0) status = tensor_list_save(&c.out, request->output, error);
        tensor_list_release(&c.out);
        weights_close(in);
        return status;
    }
    return error_set(error, MZT_ERROR_INVALID,
                     "unknown component '%s': expected text_encoder, text_encoder_2, unet, vae_encoder, "
                     "vae_decoder, pipeline, gradients, vae_gradients or adamw",
                     request->component);
}
