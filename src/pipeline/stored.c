/* How weights are stored on devices; see stored.h. */
#include "pipeline/stored.h"

#include <string.h>

static const char *const names[] = {"auto", "f32", "f16", "bf16", "q8", "q4"};

mzt_status weight_choice_parse(const char *text, weight_choice *out, mzt_error *error) {
    char shown[40];
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (weight_choice)i;
        return MZT_OK;
    }
    return error_set(error, MZT_ERROR_INVALID,
                     "unknown type of weights '%s': expected auto, f32, f16, bf16, q8 or q4",
                     error_text(shown, sizeof shown, text));
}

const char *weight_choice_name(weight_choice choice) {
    return names[choice];
}

static dtype store_q8(const void *user, const graph_tensor *matrix) {
    (void)user;
    (void)matrix;
    return DTYPE_Q8;
}

static dtype store_q4(const void *user, const graph_tensor *matrix) {
    (void)user;
    (void)matrix;
    return DTYPE_Q4;
}

/* `user`: the set. Blocks like the file's; stacked pieces share the one with more bits, and have f16 if one
 * has none. */
static dtype store_as_file(const void *user, const graph_tensor *matrix) {
    dtype type = DTYPE_Q4;
    for (uint32_t i = 0; i < matrix->piece_count; i++) {
        const weights_tensor *piece = weights_find(user, matrix->pieces[i].name);
        if (!piece || weights_dtype_block(piece->dtype) == 1) return DTYPE_F16;
        if (weights_natural_type(piece->dtype) == DTYPE_Q8) type = DTYPE_Q8;
    }
    return type;
}

static bool has_blocks(const weights_set *set) {
    for (uint32_t i = 0; set && i < weights_count(set); i++)
        if (weights_dtype_block(weights_at(set, i)->dtype) > 1) return true;
    return false;
}

graph *model_graph(const model *m, model_component component, dtype activation) {
    static const dtype types[] = {DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F16, DTYPE_F16};
    const weights_set *set = m->weights[component];
    const bool as_file = m->stored == WEIGHT_AUTO && has_blocks(set);
    dtype weight = types[m->stored];
    if (m->stored == WEIGHT_AUTO) weight = as_file ? DTYPE_F16 : activation;
    graph *g = graph_create(m->host, activation, weight);
    if (!g) return NULL;
    if (as_file) graph_store_as(g, store_as_file, set);
    if (component == MODEL_VAE) return g;
    if (m->stored == WEIGHT_Q8) graph_store_as(g, store_q8, NULL);
    if (m->stored == WEIGHT_Q4) graph_store_as(g, store_q4, NULL);
    return g;
}
