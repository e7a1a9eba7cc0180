/* The networks that generating takes, each described by plain numbers: two equal descriptions make the same
 * plan of a model for a device, so that one that is there already can be used again, or found in a file. */
#ifndef PIPELINE_PART_H
#define PIPELINE_PART_H

#include <string.h>

#include "model/blocks.h"
#include "pipeline/model.h"
#include "pipeline/network.h"

typedef enum part_kind {
    PART_TEXT,     /* "ids", "eos" to what `outputs` asks for */
    PART_TEXT_2,   /* likewise */
    PART_ENCODER,  /* "picture" to "mean" and "logvar" */
    PART_PREVIEW,  /* a small decoder, to learn latents' colours from */
    PART_DENOISER, /* the step loop: see denoise.h */
    PART_DECODER,  /* "latent" to "picture" */
    PART_KIND_COUNT
} part_kind;

/* Which of a text encoder's results are wanted. */
enum { TEXT_LAST = 1, TEXT_HIDDEN = 2, TEXT_POOLED = 4, TEXT_EMBEDS = 8, TEXT_NORMED = 16 };

/* Without padding, compared as bytes: zeroed, then filled. */
typedef struct part_spec {
    uint32_t kind;
    /* text: [rows, length]; encoder: the picture; others: the latent, its n the pictures of the batch */
    uint32_t n, h, w, c;
    uint32_t wrap_x, wrap_y;
    uint32_t skip, outputs;    /* text: layers left out at the end; TEXT_ bits */
    uint32_t calls, noises;    /* denoiser: of the sampler */
    uint32_t guided, known;    /* denoiser: 1: both halves; 1: inpainting with an ordinary UNet */
    uint32_t extra_channels;   /* denoiser: further input channels */
    uint32_t text_length;      /* denoiser: tokens of the conditioning */
    uint32_t channels, pooled; /* denoiser: of the conditioning, and of its text embeddings (0: none) */
    float rescale;             /* denoiser: of guidance; 0: none */
} part_spec;

static inline bool part_spec_equal(const part_spec *a, const part_spec *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* "text_encoder", "vae decoder", ...: for messages. */
const char *part_name(part_kind kind);

/* The component whose weights it has. */
model_component part_component(part_kind kind);

/* The element type of a part's activations on a device. NOT_FOUND where the model lacks the component. */
mzt_status part_type(const model *m, const executor_limits *limits, precision p, part_kind kind, dtype *type,
                     mzt_error *error);

/* Describes the part's graph. */
graph *part_describe(const model *m, dtype type, const part_spec *spec, mzt_error *error);

/* Bytes of its weights and activations on a device, without making it. */
mzt_status part_estimate(const model *m, const executor_limits *limits, precision p, const part_spec *spec,
                         uint64_t *weights, uint64_t *activations, mzt_error *error);

/* Describes, compiles, prepares and loads; in slices, with network_make_advance. Errors begin with the part's
 * name. */
mzt_status part_begin(const model *m, executor *e, precision p, const part_spec *spec, network *out,
                      network_maker *maker, mzt_error *error);
mzt_status part_create(const model *m, executor *e, precision p, const part_spec *spec, network *out,
                       mzt_error *error);

#endif
