/* The text encoder's description; see clip.h. The order of layers follows transformers' CLIPTextModel. */
#include "model/clip.h"

/* Pre-norm transformer layer inside the open scope: causal self-attention, then a feed-forward network. */
static tensor encoder_layer(graph *g, const clip_config *config, tensor x) {
    const uint32_t c = config->channels;
    tensor y = graph_layer_norm(g, x, "layer_norm1", config->eps);
    tensor q = graph_linear(g, y, "self_attn.q_proj", c, true);
    tensor k = graph_linear(g, y, "self_attn.k_proj", c, true);
    tensor v = graph_linear(g, y, "self_attn.v_proj", c, true);
    y = graph_attention(g, q, k, v, config->heads, true, 0);
    x = graph_add(g, graph_linear(g, y, "self_attn.out_proj", c, true), x);

    y = graph_layer_norm(g, x, "layer_norm2", config->eps);
    y = graph_linear(g, y, "mlp.fc1", config->intermediate, true);
    y = graph_activation(g, y, config->quick_gelu ? UNARY_QUICK_GELU : UNARY_GELU);
    return graph_add(g, graph_linear(g, y, "mlp.fc2", c, true), x);
}

clip_outputs clip_describe(graph *g, const clip_config *config, const clip_inputs *inputs, uint32_t skip) {
    clip_outputs out = {0};
    const shape4 ids = graph_shape(g, inputs->ids);
    if (skip > config->layers)
        graph_fail(g, MZT_ERROR_INVALID, "clip: cannot skip %u of %u layers", (unsigned)skip,
                   (unsigned)config->layers);
    if (ids.h > config->positions)
        graph_fail(g, MZT_ERROR_INVALID, "clip: %u tokens, max_position_embeddings is %u", (unsigned)ids.h,
                   (unsigned)config->positions);
    graph_scope_begin(g, "text_model");
    tensor x = graph_embedding(g, inputs->ids, "embeddings.token_embedding", config->vocabulary,
                               config->channels, "embeddings.position_embedding", config->positions);
    for (uint32_t i = 0; i < config->layers; i++) {
        if (i + skip == config->layers) out.hidden_state = x;
        graph_scope_begin(g, "encoder.layers.%u", (unsigned)i);
        x = encoder_layer(g, config, x);
        graph_scope_end(g);
    }
    if (skip == 0) out.hidden_state = x;
    out.last_hidden_state = graph_layer_norm(g, x, "final_layer_norm", config->eps);
    out.hidden_normed = out.last_hidden_state;
    if (skip > 0) out.hidden_normed = graph_layer_norm(g, out.hidden_state, "final_layer_norm", config->eps);
    graph_scope_end(g);
    if (inputs->eos_rows == TENSOR_NONE) return out;
    out.pooler_output = graph_gather_rows(g, out.last_hidden_state, inputs->eos_rows, 1);
    if (config->projection)
        out.text_embeds =
            graph_linear(g, out.pooler_output, "text_projection", config->projection_channels, false);
    return out;
}
