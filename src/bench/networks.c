/* The networks that are timed; see networks.h. */
#include "bench/networks.h"

#include <string.h>

#include "model/clip.h"
#include "model/presets.h"
#include "model/unet.h"
#include "model/vae.h"

static const struct {
    const char *name;
    uint32_t size;
} published[] = {{"sd15", 512}, {"sdxl", 1024}, {"tiny", 64}};

enum { PUBLISHED_COUNT = sizeof published / sizeof *published };

const char *bench_part_name(bench_part part) {
    static const char *const names[] = {"unet", "vae_decoder", "text_encoder"};
    return names[part];
}

typedef mzt_status config_reader(json_value root, void *config, mzt_error *error);

static mzt_status read_unet(json_value root, void *config, mzt_error *error) {
    return unet_config_read(root, config, error);
}

static mzt_status read_vae(json_value root, void *config, mzt_error *error) {
    return vae_config_read(root, config, error);
}

static mzt_status read_text(json_value root, void *config, mzt_error *error) {
    return clip_config_read(root, config, error);
}

static mzt_status read_preset(const base_host *host, const char *preset, const char *path,
                              config_reader *reader, void *config, mzt_error *error) {
    const char *text = model_preset_file(preset, path);
    json_doc *doc = NULL;
    if (!text) return error_set(error, MZT_ERROR_INTERNAL, "no preset %s of %s", path, preset);
    TRY(json_parse(host, path, text, strlen(text), &doc, error));
    mzt_status status = reader(json_root(doc), config, error);
    json_destroy(doc);
    return status;
}

mzt_status bench_model_published(const base_host *host, const char *name, bench_model *out,
                                 mzt_error *error) {
    *out = (bench_model){0};
    for (int i = 0; i < PUBLISHED_COUNT; i++) {
        if (strcmp(published[i].name, name) != 0) continue;
        out->name = published[i].name;
        out->size = published[i].size;
        TRY(read_preset(host, name, "unet/config.json", read_unet, &out->unet, error));
        TRY(read_preset(host, name, "vae/config.json", read_vae, &out->vae, error));
        return read_preset(host, name, "text_encoder/config.json", read_text, &out->text, error);
    }
    return error_set(error, MZT_ERROR_NOT_FOUND, "no model is called \"%s\": there are sd15, sdxl and tiny",
                     name);
}

static void describe_unet(graph *g, const bench_network *n) {
    const unet_config *c = &n->model->unet;
    const uint32_t side = n->size / vae_factor(&n->model->vae), b = n->batch;
    unet_inputs inputs = {
        .sample = graph_varying_input(g, "sample", g->activation, (shape4){b, side, side, c->in_channels}),
        .timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){b, 1, 1, 1}),
        .context = graph_input(g, "context", g->activation, (shape4){b, 77, 1, c->context_channels})};
    if (c->text_time) {
        const uint32_t pooled = c->addition_input_channels - 6 * c->addition_time_channels;
        inputs.text_embeds = graph_input(g, "text_embeds", g->activation, (shape4){b, 1, 1, pooled});
        inputs.time_ids = graph_input(g, "time_ids", DTYPE_F32, (shape4){6 * b, 1, 1, 1});
    }
    graph_output(g, unet_describe(g, c, &inputs, NULL), "output");
}

static void describe_decoder(graph *g, const bench_network *n) {
    const vae_config *c = &n->model->vae;
    const uint32_t side = n->size / vae_factor(c);
    tensor latent =
        graph_input(g, "latent", g->activation, (shape4){n->batch, side, side, c->latent_channels});
    graph_output(g, vae_describe_decoder(g, c, latent, NULL), "picture");
}

static void describe_text(graph *g, const bench_network *n) {
    const clip_config *c = &n->model->text;
    const clip_inputs inputs = {.ids =
                                    graph_input(g, "ids", DTYPE_U32, (shape4){n->batch, c->positions, 1, 1})};
    graph_output(g, clip_describe(g, c, &inputs, 0).last_hidden_state, "states");
}

graph *bench_network_describe(const base_host *host, const bench_network *n, dtype activation, dtype weight,
                              mzt_error *error) {
    static void (*const describe[])(graph *, const bench_network *) = {describe_unet, describe_decoder,
                                                                       describe_text};
    graph *g = graph_create(host, activation, weight);
    if (!g) {
        error_memory(error, "graph", sizeof *g);
        return NULL;
    }
    describe[n->part](g, n);
    return g;
}
