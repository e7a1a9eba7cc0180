/* The step loop's own ops for cpu-reference: one row of a sampler program, as src/sample/program.h defines
 * it. */
#include "cpu/reference.h"
#include "sampler_row.h"

#include <math.h>

/* The row of this call; a step beyond the `calls` rows of the table reads the last one. */
static const float *current_row(const cpu_operand *table, const cpu_operand *step, uint32_t calls) {
    uint64_t index = ((const uint32_t *)step->data)[0];
    if (index >= calls) index = calls - 1;
    return (const float *)table->data + index * SAMPLER_ROW_FLOATS;
}

/* sum_j weights[j] * slot_j[i] */
static double combine_slots(const float *weights, const float *const *slots, uint32_t slot_count,
                            uint64_t i) {
    double sum = 0;
    for (uint32_t j = 0; j < slot_count; j++)
        sum += (double)weights[j] * (double)slots[j][i];
    return sum;
}

/* Items are pixels. */
bool reference_sampler_input(const cpu_call *call, uint64_t first, uint64_t last) {
    const sampler_input_params *p = &call->params->sampler_input;
    const cpu_operand *o = call->operands;
    const float *row = current_row(&o[SAMPLER_INPUT_TABLE], &o[SAMPLER_INPUT_STEP], p->calls);
    const float *slots[SAMPLER_SLOTS] = {NULL};
    uint64_t width = (uint64_t)p->c + p->extra_c;
    for (uint32_t j = 0; j < p->slots; j++)
        slots[j] = (const float *)o[SAMPLER_INPUT_SLOTS].data + (uint64_t)j * p->pixels * p->c;
    for (uint64_t pixel = first; pixel < last; pixel++) {
        for (uint32_t copy = 0; copy < p->repeat; copy++) {
            uint64_t at = (copy * (uint64_t)p->pixels + pixel) * width;
            for (uint32_t c = 0; c < p->c; c++)
                operand_store(&o[SAMPLER_INPUT_OUT], at + c,
                              combine_slots(row + SAMPLER_ROW_INPUT, slots, p->slots, pixel * p->c + c));
            for (uint32_t c = 0; c < p->extra_c; c++)
                operand_store(&o[SAMPLER_INPUT_OUT], at + p->c + c,
                              operand_load(&o[SAMPLER_INPUT_EXTRA], pixel * p->extra_c + c));
        }
    }
    return true;
}

/* Element i of the noise array that a row names; -1, or an array that is not there, is no noise. */
static double load_noise(const cpu_operand *noise, float index, const sampler_update_params *p, uint64_t i) {
    if (!(index >= 0 && (double)index < (double)p->noise_rows)) return 0;
    return operand_load(noise, (uint64_t)index * p->count + i);
}

/* Items are elements of one slot. */
bool reference_sampler_update(const cpu_call *call, uint64_t first, uint64_t last) {
    const sampler_update_params *p = &call->params->sampler_update;
    const cpu_operand *o = call->operands, *noise = &o[SAMPLER_UPDATE_NOISE];
    const float *row = current_row(&o[SAMPLER_UPDATE_TABLE], &o[SAMPLER_UPDATE_STEP], p->calls);
    const float *slots[SAMPLER_SLOTS] = {NULL};
    for (uint32_t j = 0; j < p->slots; j++)
        slots[j] = (const float *)o[SAMPLER_UPDATE_SLOTS].data + (uint64_t)j * p->count;
    for (uint64_t i = first; i < last; i++) {
        double m = operand_load(&o[SAMPLER_UPDATE_OUTPUT], i);
        if (p->repeat == 2)
            m += (double)row[SAMPLER_ROW_GUIDANCE] *
                 (operand_load(&o[SAMPLER_UPDATE_OUTPUT], p->count + i) - m);
        double d =
            combine_slots(row + SAMPLER_ROW_PREDICTION, slots, p->slots, i) + (double)row[SAMPLER_ROW_Q] * m;
        double clip = (double)row[SAMPLER_ROW_CLIP];
        if (clip > 0) d = d < -clip ? -clip : d > clip ? clip : d;
        double noise1 = load_noise(noise, row[SAMPLER_ROW_NOISE1], p, i);
        double noise2 = load_noise(noise, row[SAMPLER_ROW_NOISE2], p, i), updated[SAMPLER_SLOTS];
        for (uint32_t j = 0; j < p->slots; j++) {
            const float *form = row + SAMPLER_ROW_UPDATE + SAMPLER_FORM_SIZE * j;
            updated[j] = combine_slots(form + SAMPLER_COLUMN_SLOT, slots, p->slots, i);
            updated[j] += (double)form[SAMPLER_COLUMN_DENOISED] * d + (double)form[SAMPLER_COLUMN_OUTPUT] * m;
            updated[j] +=
                (double)form[SAMPLER_COLUMN_NOISE1] * noise1 + (double)form[SAMPLER_COLUMN_NOISE2] * noise2;
        }
        for (uint32_t j = 0; j < p->slots; j++)
            operand_store(&o[SAMPLER_UPDATE_SLOTS], j * (uint64_t)p->count + i, updated[j]);
    }
    return true;
}

/* Standard deviation of `count` values, up to a factor that a ratio does not see. */
static double deviation(const double *values, uint64_t count) {
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += values[i];
    for (uint64_t i = 0; i < count; i++)
        squares += (values[i] - sum / (double)count) * (values[i] - sum / (double)count);
    return sqrt(squares);
}

/* The guided output of one sample into m [count]; c [count] is scratch. */
static void guide(const cpu_call *call, const float *row, uint64_t sample, double *m, double *c) {
    const guidance_params *p = &call->params->guidance;
    const cpu_operand *output = &call->operands[GUIDANCE_OUTPUT];
    uint64_t base = sample * p->count, conditional = (p->repeat - 1) * (uint64_t)p->samples * p->count + base;
    operand_load_row(output, base, p->count, m, 1);
    operand_load_row(output, conditional, p->count, c, 1);
    for (uint64_t i = 0; p->repeat == 2 && i < p->count; i++)
        m[i] += (double)row[SAMPLER_ROW_GUIDANCE] * (c[i] - m[i]);
    double found = p->rescale > 0 ? deviation(m, p->count) : 0;
    if (!(found > 0)) return;
    double factor = (double)p->rescale * deviation(c, p->count) / found + 1 - (double)p->rescale;
    for (uint64_t i = 0; i < p->count; i++)
        m[i] *= factor;
}

/* Items are samples. */
bool reference_guidance(const cpu_call *call, uint64_t first, uint64_t last) {
    const guidance_params *p = &call->params->guidance;
    const cpu_operand *o = call->operands;
    const float *row = current_row(&o[GUIDANCE_TABLE], &o[GUIDANCE_STEP], p->calls);
    const uint64_t all = (uint64_t)p->samples * p->count;
    const double q = (double)row[SAMPLER_ROW_Q];
    double *m = host_calloc(call->host, 2 * (size_t)p->count, sizeof *m);
    if (!m) return false;
    const float *slots[SAMPLER_SLOTS] = {NULL};
    for (uint32_t j = 0; p->masked && j < p->slots; j++)
        slots[j] = (const float *)o[GUIDANCE_SLOTS].data + j * all;
    for (uint64_t sample = first; sample < last; sample++) {
        guide(call, row, sample, m, m + p->count);
        for (uint64_t i = 0; i < p->count; i++) {
            uint64_t at = sample * p->count + i;
            if (p->masked && q != 0) {
                double rest = combine_slots(row + SAMPLER_ROW_PREDICTION, slots, p->slots, at);
                double mask = operand_load(&o[GUIDANCE_MASK], at);
                m[i] = mask * m[i] + (1 - mask) * (operand_load(&o[GUIDANCE_KNOWN], at) - rest) / q;
            }
            operand_store(&o[GUIDANCE_OUT], at, m[i]);
        }
    }
    host_free(call->host, m);
    return true;
}
