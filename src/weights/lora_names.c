/* The names that LoRA files give to a network's modules: diffusers', with underscores, and for UNets also
 * those of the original implementation, whose blocks are counted through:
 *
 *   input_blocks_0_0                     conv_in
 *   input_blocks_K_0, _K_1               down_blocks.B.resnets.R, .attentions.R      (K counts residual
 * blocks and downsamplers) input_blocks_K_0_op                  down_blocks.B.downsamplers.0.conv
 *   middle_block_0, _1, _2               mid_block.resnets.0, .attentions.0, .resnets.1
 *   output_blocks_K_0, _K_1              up_blocks.B.resnets.R, .attentions.R
 *   output_blocks_K_1_conv, _K_2_conv    up_blocks.B.upsamplers.0.conv, behind the block's last residual
 * block */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/lora_internal.h"

enum { LEVELS = 16, NAME_SIZE = 256 };

/* What the counting needs to know of the blocks of one direction. */
typedef struct levels {
    uint32_t layers[LEVELS];
    bool attention[LEVELS], resampled[LEVELS];
} levels;

typedef struct layout {
    levels down, up;
} layout;

/* Reads "down_blocks.B.PART.R.rest": false when it is not of this form. */
static bool parse_block(const char *name, const char *direction, uint32_t *block, char part[16],
                        uint32_t *index, const char **rest) {
    const size_t n = strlen(direction);
    int end = 0;
    unsigned b, r;
    if (strncmp(name, direction, n) != 0 ||
        sscanf(name + n, "%2u.%15[a-z].%2u.%n", &b, part, &r, &end) != 3 || end == 0)
        return false;
    *block = b;
    *index = r;
    *rest = name + n + end;
    return b < LEVELS;
}

static void look(levels *l, const char *name, const char *direction) {
    uint32_t block, index;
    const char *rest;
    char part[16];
    if (!parse_block(name, direction, &block, part, &index, &rest)) return;
    if (strcmp(part, "resnets") == 0 && index >= l->layers[block]) l->layers[block] = index + 1;
    l->attention[block] |= strcmp(part, "attentions") == 0;
    l->resampled[block] |= strcmp(part, "downsamplers") == 0 || strcmp(part, "upsamplers") == 0;
}

/* The place of a block's first residual block among all of them. */
static uint32_t first_of(const levels *l, uint32_t block, bool count_resampling) {
    uint32_t first = 0;
    for (uint32_t i = 0; i < block; i++)
        first += l->layers[i] + (count_resampling && l->resampled[i]);
    return first;
}

/* The original names of a residual block's layers. */
static const char *inner_name(const char *rest) {
    static const char *const pairs[][2] = {
        {"norm1", "in_layers_0"},  {"conv1", "in_layers_2"},  {"time_emb_proj", "emb_layers_1"},
        {"norm2", "out_layers_0"}, {"conv2", "out_layers_3"}, {"conv_shortcut", "skip_connection"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(rest, pairs[i][0]) == 0) return pairs[i][1];
    return NULL;
}

static bool block_name(const levels *l, const char *name, bool down, char *out) {
    uint32_t block, index;
    const char *rest;
    char part[16];
    if (!parse_block(name, down ? "down_blocks." : "up_blocks.", &block, part, &index, &rest)) return false;
    const char *blocks = down ? "input_blocks" : "output_blocks", *inner = inner_name(rest);
    const uint32_t first = first_of(l, block, down) + down;
    if (strcmp(part, "resnets") == 0 && inner)
        snprintf(out, NAME_SIZE, "%s_%u_0_%s", blocks, (unsigned)(first + index), inner);
    else if (strcmp(part, "attentions") == 0)
        snprintf(out, NAME_SIZE, "%s_%u_1_%s", blocks, (unsigned)(first + index), rest);
    else if (strcmp(part, "downsamplers") == 0)
        snprintf(out, NAME_SIZE, "%s_%u_0_op", blocks, (unsigned)(first + l->layers[block]));
    else if (strcmp(part, "upsamplers") == 0 && l->layers[block])
        snprintf(out, NAME_SIZE, "%s_%u_%u_conv", blocks, (unsigned)(first + l->layers[block] - 1),
                 l->attention[block] ? 2u : 1u);
    else
        return false;
    return true;
}

/* The original name of a UNet's module, dots still in it. */
static bool original_name(const layout *l, const char *name, char *out) {
    static const char *const fixed[][2] = {{"conv_in", "input_blocks_0_0"},
                                           {"time_embedding.linear_1", "time_embed_0"},
                                           {"time_embedding.linear_2", "time_embed_2"},
                                           {"add_embedding.linear_1", "label_emb_0_0"},
                                           {"add_embedding.linear_2", "label_emb_0_2"},
                                           {"conv_norm_out", "out_0"},
                                           {"conv_out", "out_2"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (strcmp(name, fixed[i][0]) != 0) continue;
        snprintf(out, NAME_SIZE, "%s", fixed[i][1]);
        return true;
    }
    unsigned index;
    int end = 0;
    if (sscanf(name, "mid_block.attentions.%2u.%n", &index, &end) == 1 && end) {
        snprintf(out, NAME_SIZE, "middle_block_%u_%s", 2 * index + 1, name + end);
        return true;
    }
    if (sscanf(name, "mid_block.resnets.%2u.%n", &index, &end) == 1 && end && inner_name(name + end)) {
        snprintf(out, NAME_SIZE, "middle_block_%u_%s", 2 * index, inner_name(name + end));
        return true;
    }
    return block_name(&l->down, name, true, out) || block_name(&l->up, name, false, out);
}

static mzt_status add(lora_names *names, const char *module, bool bias, const weights_tensor *tensor,
                      mzt_error *error) {
    if (!HOST_GROW(names->host, names->items, names->count, names->capacity))
        return error_memory(error, "names", names->count);
    const size_t size = strlen(module) + sizeof "_bias";
    char *text = host_calloc(names->host, size, 1);
    if (!text) return error_memory(error, "names", size);
    snprintf(text, size, "%s%s", module, bias ? "_bias" : "");
    for (char *c = text; *c; c++)
        if (*c == '.') *c = '_';
    names->items[names->count++] = (lora_name){text, tensor};
    return MZT_OK;
}

static int compare_names(const void *a, const void *b) {
    const lora_name *x = a, *y = b;
    return strcmp(x->text, y->text);
}

mzt_status lora_names_create(const base_host *host, const weights_set *set, lora_network network,
                             lora_names *out, mzt_error *error) {
    layout l = {.down = {.layers = {0}}};
    *out = (lora_names){.host = host};
    for (uint32_t i = 0; i < weights_count(set); i++) {
        look(&l.down, weights_at(set, i)->name, "down_blocks.");
        look(&l.up, weights_at(set, i)->name, "up_blocks.");
    }
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < weights_count(set) && status >= 0; i++) {
        const weights_tensor *t = weights_at(set, i);
        const char *dot = strrchr(t->name, '.');
        const bool bias = dot && strcmp(dot, ".bias") == 0;
        char module[NAME_SIZE], original[NAME_SIZE];
        if (!dot || (!bias && strcmp(dot, ".weight") != 0) || dot - t->name >= NAME_SIZE - 8) continue;
        memcpy(module, t->name, (size_t)(dot - t->name));
        module[dot - t->name] = 0;
        const bool two = network == LORA_UNET && original_name(&l, module, original);
        status = add(out, module, bias, t, error);
        if (status >= 0 && two) status = add(out, original, bias, t, error);
    }
    if (status < 0)
        lora_names_destroy(out);
    else if (out->count)
        qsort(out->items, out->count, sizeof *out->items, compare_names);
    return status;
}

void lora_names_destroy(lora_names *names) {
    for (uint32_t i = 0; i < names->count; i++)
        host_free(names->host, names->items[i].text);
    if (names->host) host_free(names->host, names->items);
    *names = (lora_names){0};
}

const weights_tensor *lora_names_find(const lora_names *names, const char *module) {
    uint32_t low = 0, high = names->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = strcmp(module, names->items[middle].text);
        if (order == 0) return names->items[middle].tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
