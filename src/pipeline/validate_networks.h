/* The networks of a model as validation sees them: one plan each, prepared on two executors, fed with the
 * same random inputs. */
#ifndef PIPELINE_VALIDATE_NETWORKS_H
#define PIPELINE_VALIDATE_NETWORKS_H

#include "pipeline/model.h"
#include "pipeline/network.h"

enum { VALIDATE_NETWORK_COUNT = 5 };

typedef struct validate_network {
    const char *name; /* "text_encoder", "unet", "vae_decoder", ... */
    model_component component;
    uint32_t latent_size;
    uint32_t vocabulary; /* random ids are below it */
    graph *(*describe)(const model *m, dtype type, const struct validate_network *which, mzt_error *error);
} validate_network;

typedef struct network_pair {
    plan *plan;
    program *device, *reference;
} network_pair;

/* Lists the networks that the model has; returns how many. latent_size 0: the smallest sensible one. */
uint32_t validate_networks(const model *m, uint32_t latent_size,
                           validate_network networks[VALIDATE_NETWORK_COUNT]);

mzt_status validate_network_create(const model *m, executor *device, executor *reference, dtype type,
                                   const validate_network *which, network_pair *out, mzt_error *error);
void validate_network_destroy(network_pair *both); /* zeroed or half-built is accepted */

/* Fills every input and state of the program: unit normals, ids, timesteps; always the same for the same
 * plan. */
mzt_status validate_network_inputs(const validate_network *which, program *target, mzt_error *error);

#endif
