/* The interpreter of sampler programs, in float and in double; see run.h. */
#include "sample/run.h"

#include <math.h>

/* One text for both types, so that they cannot drift apart. Every element is read from all slots before any
 * is written. */
#define DEFINE_RUN(input_name, update_name, real)                                                            \
    void input_name(const real *row, uint32_t slot_count, const real *const *slots, real *input,             \
                    size_t count) {                                                                          \
        const real *in = row + SAMPLER_ROW_INPUT;                                                            \
        for (size_t e = 0; e < count; e++) {                                                                 \
            real sum = 0;                                                                                    \
            for (uint32_t j = 0; j < slot_count; j++)                                                        \
                if (in[j] != 0) sum += in[j] * slots[j][e];                                                  \
            input[e] = sum;                                                                                  \
        }                                                                                                    \
    }                                                                                                        \
                                                                                                             \
    void update_name(const real *row, uint32_t slot_count, real *const *slots, const real *output,           \
                     const real *noise1, const real *noise2, real *denoised, size_t count) {                 \
        const real *p = row + SAMPLER_ROW_PREDICTION;                                                        \
        real clip = row[SAMPLER_ROW_CLIP];                                                                   \
        for (size_t e = 0; e < count; e++) {                                                                 \
            real old[SAMPLER_COLUMN_NOISE2 + 1] = {0}, d = row[SAMPLER_ROW_Q] * output[e];                   \
            for (uint32_t j = 0; j < slot_count; j++) {                                                      \
                old[j] = slots[j][e];                                                                        \
                d += p[j] * old[j];                                                                          \
            }                                                                                                \
            if (clip > 0) d = d > clip ? clip : d < -clip ? -clip : d;                                       \
            old[SAMPLER_COLUMN_DENOISED] = d;                                                                \
            old[SAMPLER_COLUMN_OUTPUT] = output[e];                                                          \
            old[SAMPLER_COLUMN_NOISE1] = noise1 ? noise1[e] : 0;                                             \
            old[SAMPLER_COLUMN_NOISE2] = noise2 ? noise2[e] : 0;                                             \
            if (denoised) denoised[e] = d;                                                                   \
            for (uint32_t i = 0; i < slot_count; i++) {                                                      \
                const real *update = row + SAMPLER_ROW_UPDATE + i * SAMPLER_FORM_SIZE;                       \
                real sum = 0;                                                                                \
                for (int c = 0; c <= SAMPLER_COLUMN_NOISE2; c++)                                             \
                    if (update[c] != 0) sum += update[c] * old[c];                                           \
                slots[i][e] = sum;                                                                           \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_RUN(sampler_input, sampler_update, float)
DEFINE_RUN(sampler_input_f64, sampler_update_f64, double)

static double deviation(const float *values, size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    double mean = count ? sum / (double)count : 0;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares);
}

void guidance_apply(const float *uncond, const float *cond, float scale, float rescale, uint32_t batch,
                    size_t count, float *output) {
    for (uint32_t b = 0; b < batch; b++, uncond += count, cond += count, output += count) {
        double wanted =
            rescale > 0 ? deviation(cond, count) : 0; /* before output, which may be cond's array */
        for (size_t i = 0; i < count; i++)
            output[i] = uncond[i] + scale * (cond[i] - uncond[i]);
        double found = rescale > 0 ? deviation(output, count) : 0;
        if (!(found > 0)) continue;
        float factor = (float)(rescale * (wanted / found) + 1 - rescale);
        for (size_t i = 0; i < count; i++)
            output[i] *= factor;
    }
}
