/* Within-class whitening; see metric.h. */
#include "score/metric.h"

#include <math.h>
#include <string.h>

typedef struct work {
    const float *examples;
    size_t stride;
    const uint32_t *classes;
    uint32_t count, size;
    const float *means; /* [class_count][size] */
    double *covariance; /* [size][size] */
    uint64_t used;
} work;

/* Rows first ... last - 1 of the covariance, its lower triangle. */
static void covariance_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const work *w = argument;
    (void)worker;
    for (uint32_t e = 0; e < w->count; e++) {
        if (w->classes[e] == UINT32_MAX) continue;
        const float *x = w->examples + e * w->stride, *mean = w->means + (size_t)w->classes[e] * w->size;
        for (uint64_t i = first; i < last; i++) {
            const float at = x[i] - mean[i];
            double *row = w->covariance + i * w->size;
            if (at == 0) continue;
            for (uint64_t j = 0; j <= i; j++)
                row[j] += (double)at * (x[j] - mean[j]);
        }
    }
}

/* Class means; classes of one example add nothing to the spread. */
static void class_means(const work *w, float *means, uint32_t *members, float *mean) {
    for (uint32_t e = 0; e < w->count; e++) {
        const float *x = w->examples + e * w->stride;
        if (w->classes[e] == UINT32_MAX) continue;
        members[w->classes[e]]++;
        for (uint32_t i = 0; i < w->size; i++)
            means[(size_t)w->classes[e] * w->size + i] += x[i];
    }
    uint64_t total = 0;
    for (uint32_t e = 0; e < w->count; e++)
        total += w->classes[e] != UINT32_MAX;
    for (uint32_t i = 0; i < w->size; i++) {
        double sum = 0;
        for (uint32_t e = 0; e < w->count; e++)
            if (w->classes[e] != UINT32_MAX) sum += w->examples[e * w->stride + i];
        mean[i] = (float)(sum / (double)total);
    }
}

/* The Cholesky factor of the lower triangle, in place. The ridge keeps every pivot above 0. */
static void factor(double *a, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            double sum = a[(size_t)i * n + j];
            for (uint32_t k = 0; k < j; k++)
                sum -= a[(size_t)i * n + k] * a[(size_t)j * n + k];
            a[(size_t)i * n + j] = i == j ? sqrt(sum) : sum / a[(size_t)j * n + j];
        }
    }
}

/* The inverse of a lower triangle, column by column. */
static void invert(const double *l, uint32_t n, float *out, double *column) {
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t i = j; i < n; i++) {
            double sum = i == j ? 1 : 0;
            for (uint32_t k = j; k < i; k++)
                sum -= l[(size_t)i * n + k] * column[k];
            column[i] = sum / l[(size_t)i * n + i];
            out[(size_t)j * n + i] = (float)column[i];
        }
    }
}

mzt_status score_metric_make(const base_host *host, const float *examples, size_t stride, uint32_t size,
                             const uint32_t *classes, uint32_t count, uint32_t class_count, double ridge,
                             thread_pool *pool, score_metric *out, mzt_error *error) {
    work w = {.examples = examples, .stride = stride, .classes = classes, .count = count, .size = size};
    *out = (score_metric){.host = host, .size = size};
    float *means = host_calloc(host, (size_t)class_count * size + 1, sizeof *means);
    uint32_t *members = host_calloc(host, (size_t)class_count + 1, sizeof *members);
    double *column = host_calloc(host, size, sizeof *column);
    w.covariance = host_calloc(host, (size_t)size * size, sizeof *w.covariance);
    out->inverse = host_calloc(host, (size_t)size * size, sizeof *out->inverse);
    out->mean = host_calloc(host, size, sizeof *out->mean);
    mzt_status status = MZT_OK;
    uint64_t freedom = 0;
    if (!means || !members || !column || !w.covariance || !out->inverse || !out->mean) {
        status = error_memory(error, "metric", (uint64_t)size * size * 12);
        goto done;
    }
    class_means(&w, means, members, out->mean);
    for (uint32_t c = 0; c < class_count; c++) {
        freedom += members[c] > 1 ? members[c] - 1 : 0;
        for (uint32_t i = 0; i < size && members[c]; i++)
            means[(size_t)c * size + i] /= (float)members[c];
    }
    if (freedom == 0) {
        status = error_set(error, MZT_ERROR_INVALID,
                           "no two of %u pictures show the same: nothing to compare by", (unsigned)count);
        goto done;
    }
    w.means = means;
    thread_pool_for(pool, size, 16, covariance_rows, &w);
    double trace = 0;
    for (uint32_t i = 0; i < size; i++)
        trace += w.covariance[(size_t)i * size + i];
    for (size_t i = 0; i < (size_t)size * size; i++)
        w.covariance[i] /= (double)freedom;
    for (uint32_t i = 0; i < size; i++)
        w.covariance[(size_t)i * size + i] += ridge * trace / (double)freedom / size + 1e-9;
    factor(w.covariance, size);
    invert(w.covariance, size, out->inverse, column);
done:
    host_free(host, means);
    host_free(host, members);
    host_free(host, column);
    host_free(host, w.covariance);
    if (status < 0) score_metric_free(out);
    return status;
}

void score_metric_free(score_metric *metric) {
    if (metric->host) {
        host_free(metric->host, metric->inverse);
        host_free(metric->host, metric->mean);
    }
    *metric = (score_metric){0};
}

void score_metric_map(const score_metric *metric, const float *in, float *out) {
    const uint32_t n = metric->size;
    memset(out, 0, n * sizeof *out);
    for (uint32_t j = 0; j < n; j++) {
        const float *column = metric->inverse + (size_t)j * n, value = in[j] - metric->mean[j];
        for (uint32_t i = j; i < n; i++)
            out[i] += column[i] * value;
    }
}
