/* Random weights for a described network; see synthetic.h. */
#include "synthetic.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "sample/random.h"
#include "weights/safetensors.h"

#define CHUNK_VALUES (1u << 20) /* made and written at a time */

/* ------------------------------------------------------------------------------------------- descriptions --
 */

/* Inputs are as small as the network allows: only the parameters matter. */
static mzt_status describe_unet(graph *g, json_value root, mzt_error *error) {
    unet_config c;
    TRY(unet_config_read(root, &c, error));
    const uint32_t size = unet_multiple(&c);
    unet_inputs inputs = {
        .sample = graph_input(g, "sample", DTYPE_F32, (shape4){1, size, size, c.in_channels}),
        .timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){1, 1, 1, 1}),
        .context = graph_input(g, "context", DTYPE_F32, (shape4){1, 1, 1, c.context_channels}),
    };
    if (c.text_time) {
        const uint32_t ids = 6, width = c.addition_input_channels - ids * c.addition_time_channels;
        inputs.text_embeds = graph_input(g, "text_embeds", DTYPE_F32, (shape4){1, 1, 1, width});
        inputs.time_ids = graph_input(g, "time_ids", DTYPE_F32, (shape4){ids, 1, 1, 1});
    }
    if (c.guidance_channels) inputs.guidance = graph_input(g, "guidance", DTYPE_F32, (shape4){1, 1, 1, 1});
    unet_describe(g, &c, &inputs, NULL);
    return graph_check(g, error);
}

static mzt_status describe_vae(graph *g, json_value root, mzt_error *error) {
    vae_config c;
    TRY(vae_config_read(root, &c, error));
    const uint32_t size = vae_factor(&c);
    vae_describe_encoder(g, &c, graph_input(g, "picture", DTYPE_F32, (shape4){1, size, size, c.in_channels}),
                         NULL);
    vae_describe_decoder(g, &c, graph_input(g, "latent", DTYPE_F32, (shape4){1, 1, 1, c.latent_channels}),
                         NULL);
    return graph_check(g, error);
}

static mzt_status describe_clip(graph *g, json_value root, mzt_error *error) {
    clip_config c;
    TRY(clip_config_read(root, &c, error));
    clip_inputs inputs = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){1, 1, 1, 1}),
                          .eos_rows = graph_input(g, "eos", DTYPE_U32, (shape4){1, 1, 1, 1})};
    clip_describe(g, &c, &inputs, 0);
    return graph_check(g, error);
}

static mzt_status describe(graph *g, model_component component, json_value root, mzt_error *error) {
    switch (component) {
    case MODEL_UNET:
        return describe_unet(g, root, error);
    case MODEL_VAE:
        return describe_vae(g, root, error);
    case MODEL_TEXT_ENCODER:
    case MODEL_TEXT_ENCODER_2:
        return describe_clip(g, root, error);
    default:
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s has no weights", model_component_name(component));
    }
}

/* ------------------------------------------------------------------------------------------------- values --
 */

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* 64-bit FNV-1a. */
static uint64_t hash_name(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

/* value = offset + scale * normal */
typedef struct values {
    uint64_t seed, draw, first; /* element that out[0] is */
    float offset, scale;
    float *out;
} values;

static values values_of(const graph_piece *piece, uint64_t seed) {
    values v = {.seed = seed, .draw = hash_name(piece->name)};
    if (piece->rank == 1) {
        bool norm = ends_with(piece->name, ".weight");
        v.offset = norm ? 1 : 0;
        v.scale = norm ? 0.1f : 0.05f;
        return v;
    }
    double inputs = 1;
    for (uint32_t i = 1; i < piece->rank; i++)
        inputs *= piece->shape[i];
    v.scale = (float)((ends_with(piece->name, "conv_out.weight") ? 0.5 : 1.0) / sqrt(inputs));
    return v;
}

static void make_values(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const values *v = argument;
    (void)worker;
    random_normals(v->seed, v->draw, v->first + first, last - first, v->out + first);
    for (uint64_t i = first; i < last; i++)
        v->out[i] = v->offset + v->scale * v->out[i];
}

/* ------------------------------------------------------------------------------------------------ writing --
 */

typedef struct weight_writer {
    safetensors_writer *file;
    thread_pool *pool;
    float *made;     /* [CHUNK_VALUES] */
    uint8_t *stored; /* [CHUNK_VALUES] of `type` */
    const synthetic_options *options;
} weight_writer;

typedef mzt_status piece_function(weight_writer *w, const graph_piece *piece, mzt_error *error);

static mzt_status declare(weight_writer *w, const graph_piece *piece, mzt_error *error) {
    uint64_t shape[4];
    for (uint32_t i = 0; i < piece->rank; i++)
        shape[i] = piece->shape[i];
    return safetensors_writer_declare(w->file, piece->name, weights_dtype_of(w->options->type), shape,
                                      piece->rank, error);
}

static mzt_status write_values(weight_writer *w, const graph_piece *piece, mzt_error *error) {
    values v = values_of(piece, w->options->seed);
    v.out = w->made;
    uint64_t total = 1;
    for (uint32_t i = 0; i < piece->rank; i++)
        total *= piece->shape[i];
    for (; v.first < total; v.first += CHUNK_VALUES) {
        uint64_t count = total - v.first < CHUNK_VALUES ? total - v.first : CHUNK_VALUES;
        thread_pool_for(w->pool, count, 1u << 14, make_values, &v);
        dtype_convert(w->options->type, w->stored, DTYPE_F32, w->made, (size_t)count);
        TRY(safetensors_writer_write(w->file, w->stored, count * dtype_size(w->options->type), error));
    }
    return MZT_OK;
}

static mzt_status for_pieces(weight_writer *w, const graph *g, piece_function *function, mzt_error *error) {
    for (tensor t = 1; t < g->tensor_count; t++) {
        const graph_tensor *x = &g->tensors[t];
        if (x->kind != GRAPH_PARAM) continue;
        for (uint32_t i = 0; i < x->piece_count; i++)
            TRY(function(w, &x->pieces[i], error));
    }
    return MZT_OK;
}

static mzt_status write_graph(const base_host *host, const graph *g, const char *path,
                              const synthetic_options *options, mzt_error *error) {
    weight_writer w = {.options = options};
    w.made = host_calloc(host, CHUNK_VALUES, sizeof *w.made);
    w.stored = host_calloc(host, CHUNK_VALUES, sizeof *w.made);
    mzt_status status = w.made && w.stored ? MZT_OK : error_memory(error, path, CHUNK_VALUES);
    if (status >= 0) status = thread_pool_create(host, 0, &w.pool, error);
    if (status >= 0) status = safetensors_writer_open(host, path, &w.file, error);
    if (status >= 0) status = safetensors_writer_metadata(w.file, "format", "pt", error);
    if (status >= 0) status = for_pieces(&w, g, declare, error);
    if (status >= 0) status = for_pieces(&w, g, write_values, error);
    if (status >= 0)
        status = safetensors_writer_finish(w.file, error);
    else
        safetensors_writer_abandon(w.file);
    thread_pool_destroy(w.pool);
    host_free(host, w.made);
    host_free(host, w.stored);
    return status;
}

mzt_status synthetic_weights_write(const base_host *host, model_component component, const char *folder,
                                   const synthetic_options *options, mzt_error *error) {
    const bool text = component == MODEL_TEXT_ENCODER || component == MODEL_TEXT_ENCODER_2;
    json_doc *doc = NULL;
    graph *g = graph_create(host, DTYPE_F32, DTYPE_F32);
    char *config = path_join(host, folder, "config.json");
    char *path = path_join(host, folder, text ? "model.safetensors" : "diffusion_pytorch_model.safetensors");
    mzt_status status = g && config && path ? MZT_OK : error_memory(error, folder, 0);
    if (status >= 0) status = json_read(host, config, &doc, error);
    if (status >= 0) status = describe(g, component, json_root(doc), error);
    if (status >= 0) status = write_graph(host, g, path, options, error);
    json_destroy(doc);
    graph_destroy(g);
    host_free(host, config);
    host_free(host, path);
    return status;
}
