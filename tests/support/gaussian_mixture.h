/* A 2-D mixture of Gaussians: a distribution whose clean estimate E[x0 | x], probability-flow path and
 * moments are known, so that samplers can be judged without a trained network. `sigma` is the noise-to-signal
 * ratio, and x is in the variance-exploding variable x0 + sigma n. */
#ifndef GAUSSIAN_MIXTURE_H
#define GAUSSIAN_MIXTURE_H

#include <stddef.h>
#include <stdint.h>

/* E[x0 | x0 + sigma n = x] */
void mixture_clean(const double x[2], double sigma, double out[2]);

/* Moves x along the probability-flow ODE dx/dlog(sigma) = x - E[x0 | x], by Runge-Kutta of order 4 in `steps`
 * steps even in log sigma. Both sigmas are above 0. */
void mixture_path(double x[2], double from, double to, uint32_t steps);

/* The consistency function: the end of x's path at sigma 0. The last stretch, from sigma 0.005, is E[x0 | x].
 */
void mixture_end(double x[2], double sigma);

/* Unit normals: xorshift64* and Box-Muller. `state` is not 0. */
double mixture_normal(uint64_t *state);

/* A draw of x0 + sigma n. */
void mixture_draw(double sigma, double x[2], uint64_t *state);

typedef struct mixture_moments {
    double mean[2], covariance[3]; /* xx, xy, yy */
} mixture_moments;

/* Of x0 + sigma n. `error`: standard deviations of the same moments estimated from `count` independent draws.
 */
void mixture_exact_moments(double sigma, size_t count, mixture_moments *exact, mixture_moments *error);

/* Of x [count][2]. */
mixture_moments mixture_sample_moments(const double *x, size_t count);

#endif
