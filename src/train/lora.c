/* Training low-rank adapters; see lora.h. */
#include "train/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sample/random.h"
#include "train/draws.h"
#include "train/initial.h"
#include "weights/lora.h"

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool ends_with_any(const char *text, const char *const *ends) {
    for (; *ends; ends++)
        if (ends_with(text, *ends)) return true;
    return false;
}

static bool is_text(const char *module) {
    return strncmp(module, "text_model.", 11) == 0;
}

static bool chooses(const void *user, const char *module) {
    static const char *const attention[] = {".to_q", ".to_k", ".to_v", ".to_out.0", NULL};
    static const char *const feed_forward[] = {".ff.net.0.proj", ".ff.net.2", NULL};
    static const char *const projections[] = {".proj_in", ".proj_out", NULL};
    static const char *const convolutions[] = {
        ".conv1", ".conv2", ".conv_shortcut", ".downsamplers.0.conv", ".upsamplers.0.conv", NULL};
    static const char *const text_attention[] = {".q_proj", ".k_proj", ".v_proj", ".out_proj", NULL};
    static const char *const text_feed_forward[] = {".mlp.fc1", ".mlp.fc2", NULL};
    const lora_options *o = user;
    if (is_text(module))
        return o->text_encoder && ((o->attention && ends_with_any(module, text_attention)) ||
                                   (o->feed_forward && ends_with_any(module, text_feed_forward)));
    return (o->attention && ends_with_any(module, attention)) ||
           (o->feed_forward && ends_with_any(module, feed_forward)) ||
           (o->projections && ends_with_any(module, projections)) ||
           (o->convolutions && ends_with_any(module, convolutions));
}

graph_adapters train_lora_adapters(const lora_options *options) {
    if (options->rank == 0) return (graph_adapters){.rank = 0};
    return (graph_adapters){.rank = options->rank,
                            .scale = (float)(options->alpha / options->rank),
                            .chooses = chooses,
                            .user = options};
}

void train_lora_initial(const char *parameter, const plan_piece *piece, uint64_t seed, float *values) {
    const uint64_t count = initial_count(piece);
    memset(values, 0, (size_t)count * sizeof *values);
    if (ends_with(parameter, ".lora_up.weight")) return;
    const double scale = 1 / sqrt((double)count / piece->shape[0]);
    random_normals(seed, draws_number(DRAW_ADAPTER, draws_hash(parameter)), 0, count, values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)(scale * (double)values[i]);
}

/* -------------------------------------------------------------------------------------------------------------
 * saving -- */

enum { NAME_SIZE = 600 };

/* "X.lora_down.weight": the length of X. */
static size_t module_length(const char *parameter) {
    return strlen(parameter) -
           strlen(ends_with(parameter, ".lora_up.weight") ? ".lora_up.weight" : ".lora_down.weight");
}

static bool file_name(const lora_options *o, const char *parameter, char name[NAME_SIZE]) {
    char module[NAME_SIZE];
    const bool up = ends_with(parameter, ".lora_up.weight");
    snprintf(module, sizeof module, "%.*s", (int)module_length(parameter), parameter);
    if (o->diffusers) {
        const int length = snprintf(name, NAME_SIZE, "%s.%s.lora_%s.weight",
                                    is_text(module) ? "text_encoder" : "unet", module, up ? "B" : "A");
        return length > 0 && length < NAME_SIZE;
    }
    if (!lora_kohya_name(is_text(module) ? LORA_TEXT : LORA_UNET, module, name, NAME_SIZE - 24)) return false;
    strcat(name, up ? ".lora_up.weight" : ".lora_down.weight");
    return true;
}

/* Gives tensors[i] its name in the file; diffusers' files have alpha / rank in `up`. */
static mzt_status rename_tensor(const base_host *host, const lora_options *o, weights_tensor *t, char **name,
                                mzt_error *error) {
    char text[NAME_SIZE];
    if (!file_name(o, t->name, text))
        return error_set(error, MZT_ERROR_INTERNAL, "%s: a name too long for a file", t->name);
    const bool scaled = o->diffusers && ends_with(t->name, ".lora_up.weight");
    float *values = (float *)(uintptr_t)t->data;
    for (uint64_t i = 0; scaled && i < t->count; i++)
        values[i] = (float)((double)values[i] * o->alpha / o->rank);
    *name = host_strdup(host, text);
    if (!*name) return error_memory(error, text, strlen(text));
    t->name = *name;
    return MZT_OK;
}

/* The alpha of the module whose renamed `up` this is. */
static mzt_status make_alpha(const base_host *host, const weights_tensor *up, const float *alpha,
                             weights_tensor *out, char **name, mzt_error *error) {
    char text[NAME_SIZE];
    snprintf(text, sizeof text, "%.*s.alpha", (int)module_length(up->name), up->name);
    *name = host_strdup(host, text);
    if (!*name) return error_memory(error, text, strlen(text));
    *out = (weights_tensor){
        .name = *name, .file = up->file, .dtype = WEIGHTS_F32, .count = 1, .data = (const uint8_t *)alpha};
    return MZT_OK;
}

mzt_status train_lora_save(checkpoint_writer *c, const base_host *host, const lora_options *options,
                           weights_tensor *tensors, uint32_t count, mzt_error *error) {
    const float alpha = (float)options->alpha;
    char rank_text[16], alpha_text[32];
    snprintf(rank_text, sizeof rank_text, "%u", (unsigned)options->rank);
    snprintf(alpha_text, sizeof alpha_text, "%g", options->alpha);
    /* What kohya's own files say of themselves; programs show it. */
    const char *const metadata[] = {"format",         "pt",      "ss_network_module", "networks.lora",
                                    "ss_network_dim", rank_text, "ss_network_alpha",  alpha_text};
    weights_tensor *all = host_calloc(host, (size_t)count * 2, sizeof *all);
    char **names = host_calloc(host, (size_t)count * 2, sizeof *names);
    uint32_t total = 0;
    mzt_status status = all && names ? MZT_OK : error_memory(error, TRAIN_LORA_FILE, count * 2 * sizeof *all);
    for (uint32_t i = 0; i < count && status >= 0; i++) {
        all[total] = tensors[i];
        status = rename_tensor(host, options, &all[total], &names[total], error);
        total++;
        if (status < 0 || options->diffusers || !ends_with(tensors[i].name, ".lora_up.weight")) continue;
        status = make_alpha(host, &all[total - 1], &alpha, &all[total], &names[total], error);
        total++;
    }
    if (status >= 0)
        status =
            checkpoint_tensors(c, TRAIN_LORA_FILE, all, total, metadata, options->diffusers ? 1 : 4, error);
    for (uint32_t i = 0; names && i < total; i++)
        host_free(host, names[i]);
    host_free(host, names);
    host_free(host, all);
    return status;
}
