/* The graphs of the networks of generating, and networks made of them: see part.h. */
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "pipeline/part.h"
#include "pipeline/stored.h"
#include "sample/program.h"

static void describe_text(graph *g, const model *m, const part_spec *s) {
    clip_inputs inputs = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){s->n, s->h, 1, 1}),
                          .eos_rows = graph_input(g, "eos", DTYPE_U32, (shape4){s->n, 1, 1, 1})};
    clip_outputs outputs = clip_describe(g, &m->text[s->kind == PART_TEXT_2], &inputs, s->skip);
    const struct {
        uint32_t bit;
        const char *name;
        tensor value;
    } results[] = {{TEXT_LAST, "last", outputs.last_hidden_state},
                   {TEXT_HIDDEN, "hidden", outputs.hidden_state},
                   {TEXT_POOLED, "pooled", outputs.pooler_output},
                   {TEXT_EMBEDS, "embeds", outputs.text_embeds},
                   {TEXT_NORMED, "normed", outputs.hidden_normed}};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (s->outputs & results[i].bit) graph_output(g, results[i].value, results[i].name);
}

static void describe_autoencoder(graph *g, const model *m, dtype type, const part_spec *s) {
    const vae_options options = {.wrap = {s->wrap_x != 0, s->wrap_y != 0}, .has = model_vae_has, .user = m};
    const shape4 shape = {s->n, s->h, s->w, s->c};
    if (s->kind != PART_ENCODER) {
        tensor latent = graph_input(g, "latent", type, shape);
        graph_output(g, vae_describe_decoder(g, &m->vae, latent, &options), "picture");
        return;
    }
    const uint32_t c = m->vae.latent_channels;
    tensor moments = vae_describe_encoder(g, &m->vae, graph_input(g, "picture", type, shape), &options);
    graph_output(g, graph_slice(g, moments, 0, c), "mean");
    graph_output(g, graph_slice(g, moments, c, c), "logvar");
}

static void describe_denoiser(graph *g, const model *m, dtype type, const part_spec *s) {
    const uint32_t repeat = s->guided ? 2 : 1, rows = repeat * s->n;
    const shape4 latent = {s->n, s->h, s->w, s->c};
    tensor slots =
        graph_state(g, "slots", DTYPE_F32, (shape4){SAMPLER_SLOTS * latent.n, latent.h, latent.w, latent.c});
    tensor step = graph_state(g, "step", DTYPE_U32, (shape4){1, 1, 1, 1});
    tensor table = graph_input(g, "table", DTYPE_F32, (shape4){s->calls, 1, 1, SAMPLER_ROW_FLOATS});
    tensor noise = TENSOR_NONE, extra = TENSOR_NONE;
    if (s->noises)
        noise =
            graph_input(g, "noise", DTYPE_F32, (shape4){s->noises * latent.n, latent.h, latent.w, latent.c});
    if (s->extra_channels)
        extra = graph_input(g, "extra", DTYPE_F32, (shape4){latent.n, latent.h, latent.w, s->extra_channels});
    unet_inputs inputs = {.step = step};
    inputs.timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){s->calls * rows, 1, 1, 1});
    inputs.context = graph_input(g, "context", type, (shape4){rows, s->text_length, 1, s->channels});
    if (m->unet.text_time) {
        inputs.text_embeds = graph_input(g, "text_embeds", type, (shape4){rows, 1, 1, s->pooled});
        inputs.time_ids = graph_input(g, "time_ids", DTYPE_F32, (shape4){rows * 6, 1, 1, 1});
    }
    if (m->unet.guidance_channels)
        inputs.guidance = graph_input(g, "guidance", DTYPE_F32, (shape4){1, 1, 1, 1});
    inputs.sample = graph_sampler_input(g, slots, table, step, extra, latent, repeat);
    unet_options options = {.wrap = {s->wrap_x != 0, s->wrap_y != 0}};
    tensor output = graph_cast(g, unet_describe(g, &m->unet, &inputs, &options), DTYPE_F32);
    uint32_t halves = repeat;
    if (s->known || s->rescale > 0) {
        tensor known = s->known ? graph_input(g, "known", DTYPE_F32, latent) : TENSOR_NONE;
        tensor mask = s->known ? graph_input(g, "mask", DTYPE_F32, latent) : TENSOR_NONE;
        output = graph_guidance(g, slots, output, table, step, known, mask, latent, repeat, s->rescale);
        halves = 1;
    }
    graph_sampler_update(g, slots, output, table, step, noise, latent, halves);
    graph_step_advance(g, step);
}

graph *part_describe(const model *m, dtype type, const part_spec *spec, mzt_error *error) {
    graph *g = model_graph(m, part_component((part_kind)spec->kind), type);
    if (!g) {
        error_memory(error, "graph", 0);
        return NULL;
    }
    if (spec->kind == PART_DENOISER)
        describe_denoiser(g, m, type, spec);
    else if (spec->kind == PART_TEXT || spec->kind == PART_TEXT_2)
        describe_text(g, m, spec);
    else
        describe_autoencoder(g, m, type, spec);
    return g;
}

static mzt_status named(mzt_status status, const part_spec *spec, mzt_error *error) {
    return status < 0 ? error_prefix(error, "%s: ", part_name((part_kind)spec->kind)) : status;
}

mzt_status part_estimate(const model *m, const executor_limits *limits, precision p, const part_spec *spec,
                         uint64_t *weights, uint64_t *activations, mzt_error *error) {
    dtype type;
    TRY(part_type(m, limits, p, (part_kind)spec->kind, &type, error));
    graph *g = part_describe(m, type, spec, error);
    if (!g) return MZT_ERROR_OUT_OF_MEMORY;
    return named(network_measure(limits, g, weights, activations, error), spec, error);
}

mzt_status part_begin(const model *m, executor *e, precision p, const part_spec *spec, network *out,
                      network_maker *maker, mzt_error *error) {
    dtype type;
    *out = (network){0};
    *maker = (network_maker){.e = NULL};
    TRY(part_type(m, &e->limits, p, (part_kind)spec->kind, &type, error));
    graph *g = part_describe(m, type, spec, error);
    if (!g) return MZT_ERROR_OUT_OF_MEMORY;
    const weights_set *weights = m->weights[part_component((part_kind)spec->kind)];
    return named(network_make_begin(e, g, weights, out, maker, error), spec, error);
}

mzt_status part_create(const model *m, executor *e, precision p, const part_spec *spec, network *out,
                       mzt_error *error) {
    network_maker maker;
    mzt_status status = part_begin(m, e, p, spec, out, &maker, error);
    if (status >= 0) status = named(network_make_advance(&maker, out, BUDGET_UNLIMITED, error), spec, error);
    network_make_end(&maker);
    if (status < 0) network_destroy(out);
    return status;
}
