/* The same plan on a device and on cpu-reference, node by node. Every dispatch runs on both from identical
 * bytes (the reference's), so an error is charged to the node that makes it and not to those behind; then the
 * whole plan runs on the device alone, to see what the errors add up to. */
#ifndef PIPELINE_VALIDATE_H
#define PIPELINE_VALIDATE_H

#include "pipeline/model.h"
#include "pipeline/network.h"

typedef struct validate_row {
    const char *component; /* "unet" */
    const char *node;      /* the graph node, or "(whole)" for the end-to-end row */
    const char *op;        /* "conv2d" */
    uint32_t index;        /* dispatch */
    double error; /* ||device - reference|| / ||reference||; infinite where the device gave NaN or infinity */
    double limit;
    bool passed;
} validate_row;

typedef struct validate_request {
    uint32_t latent_size; /* height and width of the latents that run through; 0: 16, or what the model needs
                             at least */
    const char *perturb;  /* a node's name or a dispatch's index: its result on the device is spoiled on
                             purpose; or NULL */
    /* Called for every row, on the calling thread; returning false stops with CANCELLED. May be NULL. */
    bool (*report)(void *user, const validate_row *row, double share);
    void *user;
} validate_request;

typedef struct validate_summary {
    uint32_t rows, failed;
    char first_component[32], first_node[200], first_op[32]; /* the first failure */
    double first_error, first_limit;
} validate_summary;

/* Validates every network of the model: text encoders, the denoising step loop, the autoencoder both ways.
 * Returns OK also when rows fail (see the summary); errors are for runs that could not be made, such as an
 * unknown --perturb node. */
mzt_status validate_model(const model *m, executor *device, precision p, const validate_request *request,
                          validate_summary *summary, mzt_error *error);

#endif
