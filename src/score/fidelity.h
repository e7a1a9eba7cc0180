/* How well an autoencoder keeps pictures that training was kept from. Thread-safety: uses the executor alone.
 */
#ifndef SCORE_FIDELITY_H
#define SCORE_FIDELITY_H

#include "pipeline/autoencoder.h"
#include "train/dataset.h"

typedef struct score_fidelity {
    uint32_t pictures, side; /* side: of the square pictures, in pixels */
    double mean, lowest;     /* of the pictures' score_psnr, dB */
    double pooled;           /* dB of all pictures' mean square error together */
} score_fidelity;

/* Encodes and decodes (without sampling) the held-out pictures of a dataset, on squares of `side` pixels; 0:
 * the model's own size, or 256 where it does not say. INVALID where the autoencoder is not RGBA or no picture
 * is held out; CANCELLED when `progress` (may be NULL) returns false. */
mzt_status score_fidelity_measure(const model *m, executor *e, precision p, const dataset *data,
                                  uint32_t side, bool (*progress)(void *user, uint32_t done, uint32_t count),
                                  void *user, score_fidelity *out, mzt_error *error);

#endif
