/* See gaussian_mixture.h. */
#include "gaussian_mixture.h"

#include <math.h>

#define PARTS 3

/* Weights, means, and standard deviations of round components. */
static const double weights[PARTS] = {0.5, 0.3, 0.2};
static const double means[PARTS][2] = {{1.0, 0.5}, {-1.2, 0.8}, {0.2, -1.4}};
static const double deviations[PARTS] = {0.4, 0.6, 0.5};

void mixture_clean(const double x[2], double sigma, double out[2]) {
    double share[PARTS], total = 0;
    for (int k = 0; k < PARTS; k++) {
        double variance = deviations[k] * deviations[k] + sigma * sigma;
        double dx = x[0] - means[k][0], dy = x[1] - means[k][1];
        share[k] = weights[k] / variance * exp(-(dx * dx + dy * dy) / (2 * variance));
        total += share[k];
    }
    out[0] = out[1] = 0;
    for (int k = 0; k < PARTS; k++) {
        double own = deviations[k] * deviations[k], pull = own / (own + sigma * sigma);
        for (int a = 0; a < 2; a++)
            out[a] += share[k] / total * (means[k][a] + pull * (x[a] - means[k][a]));
    }
}

void mixture_path(double x[2], double from, double to, uint32_t steps) {
    static const double reach[4] = {0, 0.5, 0.5, 1}, parts[4] = {1 / 6., 1 / 3., 1 / 3., 1 / 6.};
    double h = log(to / from) / steps;
    for (uint32_t i = 0; i < steps; i++) {
        double slope[2] = {0, 0}, sum[2] = {0, 0};
        for (int k = 0; k < 4; k++) {
            double at[2], d[2];
            for (int a = 0; a < 2; a++)
                at[a] = x[a] + h * reach[k] * slope[a];
            mixture_clean(at, from * exp(h * (i + reach[k])), d);
            for (int a = 0; a < 2; a++) {
                slope[a] = at[a] - d[a];
                sum[a] += parts[k] * slope[a];
            }
        }
        for (int a = 0; a < 2; a++)
            x[a] += h * sum[a];
    }
}

void mixture_end(double x[2], double sigma) {
    static const double last = 0.005;
    double clean[2];
    if (sigma > last) mixture_path(x, sigma, last, 1 + (uint32_t)(6 * log(sigma / last)));
    mixture_clean(x, sigma > last ? last : sigma, clean);
    x[0] = clean[0];
    x[1] = clean[1];
}

double mixture_normal(uint64_t *state) {
    double uniform[2];
    for (int i = 0; i < 2; i++) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        uniform[i] = (double)((*state * 2685821657736338717ull) >> 11) * 0x1p-53;
    }
    return sqrt(-2 * log(1 - uniform[0])) * cos(6.283185307179586 * uniform[1]);
}

void mixture_draw(double sigma, double x[2], uint64_t *state) {
    double u = 0.5 + 0.5 * erf(mixture_normal(state) / sqrt(2)); /* uniform */
    int k = u < weights[0] ? 0 : u < weights[0] + weights[1] ? 1 : 2;
    for (int a = 0; a < 2; a++)
        x[a] = means[k][a] + deviations[k] * mixture_normal(state) + sigma * mixture_normal(state);
}

void mixture_exact_moments(double sigma, size_t count, mixture_moments *exact, mixture_moments *error) {
    mixture_moments m = {{0}, {0}}, fourth = {{0}, {0}};
    for (int k = 0; k < PARTS; k++)
        for (int a = 0; a < 2; a++)
            m.mean[a] += weights[k] * means[k][a];
    for (int k = 0; k < PARTS; k++) {
        double x = means[k][0] - m.mean[0], y = means[k][1] - m.mean[1];
        double v = deviations[k] * deviations[k] + sigma * sigma;
        m.covariance[0] += weights[k] * (x * x + v);
        m.covariance[1] += weights[k] * x * y;
        m.covariance[2] += weights[k] * (y * y + v);
        /* E[dx^4], E[dx^2 dy^2] and E[dy^4] of a round Gaussian around another centre */
        fourth.covariance[0] += weights[k] * (x * x * x * x + 6 * x * x * v + 3 * v * v);
        fourth.covariance[1] += weights[k] * (x * x + v) * (y * y + v);
        fourth.covariance[2] += weights[k] * (y * y * y * y + 6 * y * y * v + 3 * v * v);
    }
    *exact = m;
    error->mean[0] = sqrt(m.covariance[0] / (double)count);
    error->mean[1] = sqrt(m.covariance[2] / (double)count);
    for (int c = 0; c < 3; c++)
        error->covariance[c] =
            sqrt((fourth.covariance[c] - m.covariance[c] * m.covariance[c]) / (double)count);
}

mixture_moments mixture_sample_moments(const double *x, size_t count) {
    mixture_moments m = {{0}, {0}};
    for (size_t e = 0; e < count; e++)
        for (int a = 0; a < 2; a++)
            m.mean[a] += x[2 * e + a] / (double)count;
    for (size_t e = 0; e < count; e++) {
        double dx = x[2 * e] - m.mean[0], dy = x[2 * e + 1] - m.mean[1];
        m.covariance[0] += dx * dx / (double)count;
        m.covariance[1] += dx * dy / (double)count;
        m.covariance[2] += dy * dy / (double)count;
    }
    return m;
}
