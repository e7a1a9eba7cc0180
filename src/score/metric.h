/* Metrics learned from examples of classes: a linear map in which the spread within classes is the same in
 * all directions, so that distances there say how unlikely two are to be of one class (Hatch et al. 2006; the
 * same map is linear discriminant analysis's). Everything is computed in a fixed order: the same examples
 * give the same map. Thread-safety: pure functions; a metric is immutable once made. */
#ifndef SCORE_METRIC_H
#define SCORE_METRIC_H

#include "base/threads.h"

typedef struct score_metric {
    const base_host *host;
    uint32_t size;
    float *inverse; /* [size][size]: the inverse of the covariance's Cholesky factor, by columns */
    float *mean;    /* [size], of all examples */
} score_metric;

/* From `count` examples of `size` values, `stride` values apart, and their classes 0 ... classes - 1,
 * examples with class UINT32_MAX left out. `ridge`, a part of the mean variance, is added to every variance.
 * INVALID without two examples of one class. */
mzt_status score_metric_make(const base_host *host, const float *examples, size_t stride, uint32_t size,
                             const uint32_t *classes, uint32_t count, uint32_t class_count, double ridge,
                             thread_pool *pool, score_metric *out, mzt_error *error);
void score_metric_free(score_metric *metric); /* zeroed is accepted */

/* Maps one vector of `size` values; `out` is not `in`. */
void score_metric_map(const score_metric *metric, const float *in, float *out);

#endif
