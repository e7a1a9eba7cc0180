/* A model's networks on a device, kept from one generation to the next. Ownership: the generator owns its
 * networks. Thread-safety: belongs to one thread at a time, like its executor. */
#ifndef PIPELINE_GENERATOR_H
#define PIPELINE_GENERATOR_H

#include "pipeline/latent_map.h"
#include "pipeline/part.h"

typedef struct generator {
    const model *m;
    executor *e;
    precision precision;
    bool turns;            /* one network at a time is on the device; otherwise they stay */
    uint64_t memory_limit; /* bytes of all networks at once; 0: none */
    struct {
        bool there; /* ready to be used */
        bool begun; /* `maker` is at work */
        part_spec spec;
        network_maker maker;
        network network;
        executor *stream; /* NULL, or what its weights are streamed by */
    } parts[PART_KIND_COUNT];
    bool map_known; /* `map` is that of this model */
    latent_map map;
} generator;

generator generator_make(const model *m, executor *e, precision p);

/* Makes the network of this description, unless it is there already, in slices of about `budget_us`: PENDING
 * until *out is ready. One of the same kind but another description is given up for it; with `turns`, every
 * other one. With a memory limit, others are given up until it fits, and if it does not fit even alone, its
 * matrices stay with the host and are copied while it runs (runtime/stream.h), which a log line says.
 * OUT_OF_MEMORY, naming the network, where not even that fits. */
mzt_status generator_need(generator *g, const part_spec *spec, uint64_t budget_us, network **out,
                          mzt_error *error);

/* Whether generator_need would have nothing to do. */
bool generator_has(const generator *g, const part_spec *spec);

/* Bytes that the networks hold on the device. */
uint64_t generator_memory(const generator *g);

/* Gives all networks up. What was learned for previews stays. */
void generator_release(generator *g);

#endif
