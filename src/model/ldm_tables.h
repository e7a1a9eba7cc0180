/* Parts of names in the original layout and in the engine's, and how names are taken apart. Internal to
 * ldm_names.c and ldm_original.c. */
#ifndef MODEL_LDM_TABLES_H
#define MODEL_LDM_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The beginning of what is left of a name. */
typedef struct name_pair {
    const char *original, *engine;
} name_pair;

/* Inside a residual block of the UNet. */
static const name_pair resnet_names[] = {
    {"in_layers.0.", "norm1."},  {"in_layers.2.", "conv1."},  {"emb_layers.1.", "time_emb_proj."},
    {"out_layers.0.", "norm2."}, {"out_layers.3.", "conv2."}, {"skip_connection.", "conv_shortcut."},
};

static const name_pair unet_names[] = {
    {"time_embed.0.", "time_embedding.linear_1."},
    {"time_embed.2.", "time_embedding.linear_2."},
    {"time_embed.cond_proj.", "time_embedding.cond_proj."},
    {"label_emb.0.0.", "add_embedding.linear_1."},
    {"label_emb.0.2.", "add_embedding.linear_2."},
    {"input_blocks.0.0.", "conv_in."},
    {"out.0.", "conv_norm_out."},
    {"out.2.", "conv_out."},
};

static const name_pair vae_resnet_names[] = {
    {"norm1.", "norm1."},
    {"conv1.", "conv1."},
    {"norm2.", "norm2."},
    {"conv2.", "conv2."},
    {"nin_shortcut.", "conv_shortcut."},
};

static const name_pair vae_attention_names[] = {
    {"norm.", "group_norm."}, {"q.", "to_q."}, {"k.", "to_k."}, {"v.", "to_v."}, {"proj_out.", "to_out.0."},
};

static const name_pair vae_names[] = {
    {"conv_in.", "conv_in."},
    {"norm_out.", "conv_norm_out."},
    {"conv_out.", "conv_out."},
};

static const name_pair open_clip_layer_names[] = {
    {"ln_1.", "layer_norm1."}, {"ln_2.", "layer_norm2."},   {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."}, {"mlp.c_proj.", "mlp.fc2."},
};

#define PAIRS(list) list, sizeof list / sizeof *list

/* The pair whose original (or engine) part `rest` begins with. */
static inline const name_pair *name_pair_find(const name_pair *pairs, size_t count, const char *rest,
                                              bool by_original) {
    for (size_t i = 0; i < count; i++) {
        const char *part = by_original ? pairs[i].original : pairs[i].engine;
        if (strncmp(rest, part, strlen(part)) == 0) return &pairs[i];
    }
    return NULL;
}

/* Goes past `word` if *at begins with it. */
static inline bool name_take(const char **at, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) return false;
    *at += length;
    return true;
}

/* Goes past a number of at most 3 digits, written without leading zeros, and the point behind it. */
static inline bool name_number(const char **at, uint32_t *number) {
    const char *c = *at;
    *number = 0;
    while (*c >= '0' && *c <= '9' && c - *at < 3)
        *number = *number * 10 + (uint32_t)(*c++ - '0');
    if (c == *at || *c != '.' || (**at == '0' && c - *at > 1)) return false;
    *at = c + 1;
    return true;
}

#endif
