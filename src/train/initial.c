/* Initial parameters; see initial.h. */
#include "train/initial.h"

#include <math.h>
#include <string.h>

#include "sample/random.h"
#include "train/draws.h"

uint64_t initial_count(const plan_piece *piece) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < piece->rank && i < 4; i++)
        count *= piece->shape[i];
    return count;
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* The last layer of a residual branch, or of the UNet. */
static bool begins_at_zero(const char *name) {
    if (strcmp(name, "conv_out.weight") == 0) return true;
    if (ends_with(name, ".conv2.weight") || ends_with(name, ".proj_out.weight")) return true;
    const bool autoencoder = strncmp(name, "encoder.", 8) == 0 || strncmp(name, "decoder.", 8) == 0;
    return autoencoder && (ends_with(name, ".to_out.0.weight") || ends_with(name, ".proj_attn.weight"));
}

static double deviation(const char *name, const plan_piece *piece) {
    if (strstr(name, "embedding.weight")) return 0.02;
    double inputs = 1;
    for (uint32_t i = 1; i < piece->rank && i < 4; i++)
        inputs *= piece->shape[i];
    const bool text = strncmp(name, "text_model.", 11) == 0;
    const bool last = ends_with(name, ".fc2.weight") || ends_with(name, ".out_proj.weight");
    return (text && last ? 1 / sqrt(24.0) : 1) / sqrt(inputs);
}

void initial_values(const char *name, const plan_piece *piece, uint64_t seed, float *values) {
    const uint64_t count = initial_count(piece);
    const bool bias = ends_with(name, ".bias");
    if (bias || piece->rank == 1 || begins_at_zero(name)) {
        const float value = !bias && piece->rank == 1 ? 1.0f : 0.0f;
        for (uint64_t i = 0; i < count; i++)
            values[i] = value;
        return;
    }
    const double scale = deviation(name, piece);
    random_normals(seed, draws_number(DRAW_PARAMETER, draws_hash(name)), 0, count, values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)(scale * (double)values[i]);
}
