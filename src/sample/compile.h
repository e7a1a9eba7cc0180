/* Compiling a sampler into a program. */
#ifndef SAMPLE_COMPILE_H
#define SAMPLE_COMPILE_H

#include "sample/config.h"
#include "sample/program.h"

typedef struct sampler_request {
    uint32_t steps;  /* 1 ... SAMPLER_STEPS_MAX */
    double strength; /* share of the steps that run, from an image; 1: all */
    const double
        *sigmas; /* NULL, or steps + 1 sigmas (sigma/alpha; flow: sigma) that descend; the last may be 0 */
    double eta, s_noise; /* negative: the sampler's own */
} sampler_request;

/* A request of `steps` steps with nothing else set. */
sampler_request sampler_request_default(uint32_t steps);

/* Compiles. INVALID naming the value at fault, UNSUPPORTED for combinations that have no meaning (PNDM over
 * Karras sigmas), OUT_OF_MEMORY. The program is the caller's: sampler_program_destroy. */
mzt_status sampler_compile(const base_host *host, const sampler_config *config,
                           const sampler_request *request, sampler_program **program, mzt_error *error);

#endif
