/* Random numbers of a training run. Every draw is a pure function of (seed, stream, major, minor), so that
 * what a step sees depends on its number alone: neither on threads nor on how often the run was stopped.
 * Thread-safety: a train_draws belongs to one thread. */
#ifndef TRAIN_DRAWS_H
#define TRAIN_DRAWS_H

#include <stdint.h>

/* What a number is for; each reads words of its own. */
typedef enum train_stream {
    DRAW_ORDER = 1,  /* which sample comes when: major epoch */
    DRAW_PICTURE,    /* augmentation: major epoch or variant, minor item */
    DRAW_CAPTION,    /* wording: major epoch, minor item */
    DRAW_POSTERIOR,  /* the autoencoder's latent noise: major step, normals */
    DRAW_NOISE,      /* the noise to be predicted: major step, normals */
    DRAW_TIMESTEP,   /* major step, minor sample of the batch */
    DRAW_PARAMETER,  /* initial values: major hash of the name, normals */
    DRAW_VALIDATION, /* timestep and noise of the held-out pictures */
    DRAW_ADAPTER     /* initial values of low-rank adapters */
} train_stream;

/* The generator's draw number for a stream: see sample/random.h. `major` keeps its low 56 bits. */
uint64_t draws_number(train_stream stream, uint64_t major);

typedef struct train_draws {
    uint64_t seed, draw, next;
    uint32_t words[4]; /* block next / 4, once next % 4 is not 0 */
} train_draws;

/* At most 2^20 words may be taken for one `minor`. */
train_draws draws_begin(uint64_t seed, train_stream stream, uint64_t major, uint64_t minor);

uint32_t draws_word(train_draws *d);
double draws_uniform(train_draws *d);                          /* [0, 1), 32 bits */
double draws_between(train_draws *d, double low, double high); /* [low, high) */
uint32_t draws_below(train_draws *d, uint32_t count);          /* 0 ... count - 1; count > 0 */

/* FNV-1a of a string, 64 bits: for hold-out splits and parameter streams. */
uint64_t draws_hash(const char *text);

#endif
