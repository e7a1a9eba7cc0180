/* Normal random numbers for latents: our own counter-based generator, and the two streams of PyTorch that
 * users of other programs know their seeds from.
 *
 * Every value is computed in IEEE arithmetic with functions of our own (no libm), so the same seed gives the
 * same bits on every machine. PyTorch's own last bits depend on its vector library and on the device; ours
 * lie within a few units of the sixth decimal of them.
 *
 * All streams number the elements as PyTorch does, that is in the order [N,C,H,W]; permute for channels-last
 * tensors. Thread-safety: the functions of (seed, draw, index) are pure; a random_stream belongs to one
 * thread. */
#ifndef SAMPLE_RANDOM_H
#define SAMPLE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a bijection of a
 * 128-bit counter chosen by a 64-bit key. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Our default stream. Element i of draw d for seed s depends on nothing but (s, d, i):
 *   key     = { low(s), high(s) }
 *   counter = { low(i / 4), high(i / 4), low(d), high(d) }      gives words w0..w3
 *   u = (w + 1/2) / 2^32
 *   elements 4k and 4k + 1: r cos(t) and r sin(t), where r = sqrt(-2 ln u0), t = 2 pi u1;
 *   elements 4k + 2 and 4k + 3: the same of u2, u3.
 * Evaluated in double, rounded once to float. Writes elements [first, first + count) to `out`. */
void random_normals(uint64_t seed, uint64_t draw, uint64_t first, uint64_t count, float *out);

/* The same stream's raw words w[i % 4] of block i / 4, for whatever is not normal (shuffles, timesteps,
 * crops). Use other draw numbers than those given to random_normals, as both read the same words. */
void random_words(uint64_t seed, uint64_t draw, uint64_t first, uint64_t count, uint32_t *out);

typedef enum random_kind {
    RANDOM_PHILOX = 0,    /* the default stream above; each call of random_next is the next draw */
    RANDOM_TORCH_CPU = 1, /* torch.Generator("cpu").manual_seed(seed) and torch.randn(count), f32 */
    RANDOM_TORCH_CUDA =
        2, /* torch.Generator("cuda"), in the form other programs reproduce: one Philox subsequence per
              element, the first normal of each block, the offset raised by one per call. Equal to
              PyTorch while a tensor has no more elements than the GPU runs threads. */
    RANDOM_KIND_COUNT
} random_kind;

/* "philox", "torch-cpu", "torch-cuda". */
const char *random_kind_name(random_kind kind);
/* The kind of that name; false (and *kind untouched) when there is none. */
bool random_kind_find(const char *name, random_kind *kind);

/* A seeded stream of draws. Value type: no allocation, copying it copies the position. */
typedef struct random_stream {
    random_kind kind;
    uint64_t seed, draw;
    uint32_t state[624]; /* MT19937 (torch-cpu only) */
    uint32_t position;
    bool has_cached; /* the second normal of the pair that a short draw of odd length left over */
    double cached;
} random_stream;

void random_start(random_stream *stream, random_kind kind, uint64_t seed);

/* Fills `out` with the next draw: `count` standard normals. */
void random_next(random_stream *stream, uint64_t count, float *out);

#endif
