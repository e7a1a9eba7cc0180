/* Time embedding; see unet_embed.h.
 *
 *   e = linear_2(silu(linear_1(sinusoid(t) [+ cond_proj(sinusoid(guidance))])))
 *   e += add_embedding([text_embeds | sinusoid(time_ids)])        (text_time)
 *   all blocks' time_emb_proj(silu(e)) as one stacked linear layer
 *
 * None of it depends on the latent, so in a denoising loop it is done once for all calls. */
#include "model/unet_embed.h"

#include <stdio.h>

#define MAX_PERIOD 10000.0f /* of the sinusoids, "Attention Is All You Need" */

enum { NAME_SIZE = 64 };

/* The names of all time_emb_proj, in running order. */
typedef struct projections {
    char (*names)[NAME_SIZE];
    const char **leaves;
    uint32_t *outs;
    uint32_t count, capacity;
} projections;

static void add_projection(projections *p, const char *block, uint32_t level, uint32_t index,
                           uint32_t channels) {
    if (p->count == p->capacity) return;
    char *name = p->names[p->count];
    if (level == UINT32_MAX)
        snprintf(name, NAME_SIZE, "%s.resnets.%u.time_emb_proj", block, (unsigned)index);
    else
        snprintf(name, NAME_SIZE, "%s.%u.resnets.%u.time_emb_proj", block, (unsigned)level, (unsigned)index);
    p->leaves[p->count] = name;
    p->outs[p->count++] = channels;
}

static void list_projections(projections *p, const unet_config *c) {
    const uint32_t last = c->levels - 1;
    for (uint32_t level = 0; level < c->levels; level++)
        for (uint32_t i = 0; i < c->layers[level]; i++)
            add_projection(p, "down_blocks", level, i, c->channels[level]);
    const uint32_t middle = c->mid == UNET_MID_CROSS ? 2 : c->mid == UNET_MID_RESNET ? 1 : 0;
    for (uint32_t i = 0; i < middle; i++)
        add_projection(p, "mid_block", UINT32_MAX, i, c->channels[last]);
    for (uint32_t level = c->levels; level-- > 0;)
        for (uint32_t i = 0; i <= c->layers[level]; i++)
            add_projection(p, "up_blocks", last - level, i, c->channels[level]);
}

static tensor project(graph *g, const unet_config *config, tensor embedding) {
    projections p = {.capacity = unet_resnet_count(config)};
    tensor out = TENSOR_NONE;
    p.names = host_calloc(g->host, p.capacity, sizeof *p.names);
    p.leaves = host_calloc(g->host, p.capacity, sizeof *p.leaves);
    p.outs = host_calloc(g->host, p.capacity, sizeof *p.outs);
    if (p.names && p.leaves && p.outs) {
        list_projections(&p, config);
        tensor x = graph_silu(g, embedding);
        out = graph_linear_stack(g, x, "time_emb_proj", p.count, p.leaves, p.outs, true);
    } else {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "unet: out of memory for %u names", (unsigned)p.capacity);
    }
    host_free(g->host, p.names);
    host_free(g->host, p.leaves);
    host_free(g->host, p.outs);
    return out;
}

/* linear_2(silu(linear_1(x))): TimestepEmbedding. */
static tensor embed_mlp(graph *g, tensor x, const char *scope, uint32_t channels) {
    graph_scope_begin(g, "%s", scope);
    x = graph_silu(g, graph_linear(g, x, "linear_1", channels, true));
    x = graph_linear(g, x, "linear_2", channels, true);
    graph_scope_end(g);
    return x;
}

/* LCM: the guidance scale goes in beside the timestep. Its sinusoid is sine first, with f_i =
 * max_period^(-i / (half - 1)), whatever flip_sin_to_cos says. */
static tensor add_guidance(graph *g, const unet_config *config, tensor x, tensor guidance) {
    if (config->guidance_channels == 0) {
        graph_fail(g, MZT_ERROR_INVALID,
                   "unet: a guidance embedding was given, but time_cond_proj_dim is null");
        return TENSOR_NONE;
    }
    tensor w = graph_timestep_embedding(g, guidance, config->guidance_channels, false, 1, MAX_PERIOD, 1);
    w = graph_linear(g, w, "time_embedding.cond_proj", config->channels[0], false);
    return graph_add(g, x, w);
}

/* SDXL: pooled text and picture sizes. [B,1,1,time_channels] */
static tensor embed_text_time(graph *g, const unet_config *config, const unet_inputs *inputs) {
    const uint32_t width = config->addition_time_channels;
    shape4 text = graph_shape(g, inputs->text_embeds), ids = graph_shape(g, inputs->time_ids);
    uint32_t each = text.n ? ids.n / text.n : 0; /* time ids per sample */
    if (inputs->text_embeds == TENSOR_NONE || inputs->time_ids == TENSOR_NONE || each == 0 ||
        each * text.n != ids.n || (uint64_t)each * width + text.c != config->addition_input_channels) {
        graph_fail(g, MZT_ERROR_INVALID,
                   "unet: text_embeds %u wide and %u time_ids for %u samples do not fill "
                   "projection_class_embeddings_input_dim = %u with addition_time_embed_dim = %u",
                   (unsigned)text.c, (unsigned)ids.n, (unsigned)text.n,
                   (unsigned)config->addition_input_channels, (unsigned)width);
        return TENSOR_NONE;
    }
    tensor t = graph_timestep_embedding(g, inputs->time_ids, width, config->flip_sin_to_cos,
                                        config->freq_shift, MAX_PERIOD, 1);
    t = graph_view(g, t, (shape4){text.n, 1, 1, each * width});
    return embed_mlp(g, graph_concat(g, inputs->text_embeds, t), "add_embedding", config->time_channels);
}

tensor unet_embed(graph *g, const unet_config *config, const unet_inputs *inputs) {
    const uint32_t batch = graph_shape(g, inputs->sample).n, rows = graph_shape(g, inputs->timesteps).n;
    if (batch == 0 || rows % batch != 0 || (inputs->step == TENSOR_NONE && rows != batch)) {
        graph_fail(g, MZT_ERROR_INVALID, "unet: %u timesteps for %u samples", (unsigned)rows,
                   (unsigned)batch);
        return TENSOR_NONE;
    }
    tensor x = graph_timestep_embedding(g, inputs->timesteps, config->channels[0], config->flip_sin_to_cos,
                                        config->freq_shift, MAX_PERIOD, 1);
    if (inputs->guidance != TENSOR_NONE) x = add_guidance(g, config, x, inputs->guidance);
    x = embed_mlp(g, x, "time_embedding", config->time_channels);
    if (config->text_time) {
        if (graph_shape(g, inputs->text_embeds).n != batch)
            graph_fail(g, MZT_ERROR_INVALID, "unet: %u text_embeds for %u samples",
                       (unsigned)graph_shape(g, inputs->text_embeds).n, (unsigned)batch);
        x = graph_add(g, x, embed_text_time(g, config, inputs)); /* the samples' rows repeat for every call */
    }
    x = project(g, config, x);
    return inputs->step == TENSOR_NONE ? x : graph_gather_rows(g, x, inputs->step, batch);
}
