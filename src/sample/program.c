/* Sampler programs as data; see program.h. */
#include "sample/program.h"

void sampler_program_destroy(const base_host *host, sampler_program *program) {
    if (!program) return;
    host_free(host, program->rows);
    host_free(host, program);
}

void sampler_program_table(const sampler_program *program, float *table) {
    size_t count = (size_t)program->calls * SAMPLER_ROW_FLOATS;
    for (size_t i = 0; i < count; i++)
        table[i] = (float)program->rows[i];
}
