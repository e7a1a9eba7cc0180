/* The networks that are timed: those of published models, by their configurations alone, and of a model
 * folder. Weights are made up on the fly, since neither time nor memory depends on their values. */
#ifndef BENCH_NETWORKS_H
#define BENCH_NETWORKS_H

#include "graph/graph.h"
#include "model/clip_config.h"
#include "model/unet_config.h"
#include "model/vae_config.h"

typedef enum bench_part { BENCH_UNET, BENCH_VAE_DECODER, BENCH_TEXT_ENCODER } bench_part;

typedef struct bench_model {
    const char *name; /* "sd15" */
    uint32_t size;    /* pixels of a side that it was made for */
    unet_config unet;
    vae_config vae;
    clip_config text;
} bench_model;

typedef struct bench_network {
    const bench_model *model;
    bench_part part;
    uint32_t batch, size; /* samples of one evaluation; pixels of a side */
} bench_network;

const char *bench_part_name(bench_part part); /* "unet" */

/* A published model, "sd15" or "sdxl"; or "tiny", one of our own that runs anywhere in a moment. NOT_FOUND lists the names. */
mzt_status bench_model_published(const base_host *host, const char *name, bench_model *out, mzt_error *error);

/* Describes one evaluation: for a UNet one step of a denoising loop, with what all steps share in phase
 * "setup". NULL with the error set when out of memory; other errors stick to the graph. */
graph *bench_network_describe(const base_host *host, const bench_network *n, dtype activation, dtype weight,
                              mzt_error *error);

#endif
