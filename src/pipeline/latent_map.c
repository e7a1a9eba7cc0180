/* Latents to colours; see latent_map.h. */
#include "pipeline/latent_map.h"

#include <math.h>
#include <string.h>

#include "pipeline/autoencoder.h"
#include "sample/random.h"

enum { SIDE = 16, PATCH = 4, SIZE = LATENT_MAP_INPUTS + 1 };

/* Squares of PATCH latent pixels of one value each, and a little that differs from pixel to pixel: the colour
 * of a pixel depends on its neighbours too, and in pictures those are alike. */
static void make_latent(float *latent, uint32_t channels) {
    enum { PATCHES = SIDE / PATCH };
    for (uint32_t c = 0; c < channels; c++) {
        float patches[PATCHES * PATCHES], details[SIDE * SIDE];
        random_normals(20, c, 0, PATCHES * PATCHES, patches);
        random_normals(21, c, 0, SIDE * SIDE, details);
        for (uint32_t i = 0; i < SIDE * SIDE; i++) {
            uint32_t y = i / SIDE, x = i % SIDE;
            latent[i * channels + c] = patches[y / PATCH * PATCHES + x / PATCH] + 0.2f * details[i];
        }
    }
}

/* Mean of each square of factor x factor pixels of picture [SIDE * factor][SIDE * factor][channels]. */
static void average(const float *picture, uint32_t factor, uint32_t channels, double *means) {
    const uint32_t width = SIDE * factor;
    memset(means, 0, SIDE * SIDE * channels * sizeof *means);
    for (uint32_t y = 0; y < width; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++)
                means[(y / factor * SIDE + x / factor) * channels + c] +=
                    (double)picture[((size_t)y * width + x) * channels + c] / ((double)factor * factor);
}

/* Solves a x = b for symmetric positive a [n][n] and several b [n][outputs], in place, by Gaussian
 * elimination. */
static void solve(double a[SIZE][SIZE], double b[SIZE][LATENT_MAP_OUTPUTS], uint32_t n) {
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < n; i++) {
            if (i == k) continue;
            double f = a[i][k] / a[k][k];
            for (uint32_t j = k; j < n; j++)
                a[i][j] -= f * a[k][j];
            for (int j = 0; j < LATENT_MAP_OUTPUTS; j++)
                b[i][j] -= f * b[k][j];
        }
    for (uint32_t k = 0; k < n; k++)
        for (int j = 0; j < LATENT_MAP_OUTPUTS; j++)
            b[k][j] /= a[k][k];
}

static void fit(latent_map *map, const float *latent, const double *means) {
    double a[SIZE][SIZE] = {{0}}, b[SIZE][LATENT_MAP_OUTPUTS] = {{0}}, x[SIZE];
    const uint32_t n = map->inputs + 1;
    for (uint32_t i = 0; i < SIDE * SIDE; i++) {
        for (uint32_t k = 0; k < n; k++)
            x[k] = k < map->inputs ? (double)latent[i * map->inputs + k] : 1;
        for (uint32_t k = 0; k < n; k++) {
            for (uint32_t j = 0; j < n; j++)
                a[k][j] += x[k] * x[j];
            for (uint32_t c = 0; c < map->outputs; c++)
                b[k][c] += x[k] * means[i * map->outputs + c];
        }
    }
    for (uint32_t k = 0; k < n; k++)
        a[k][k] += 1e-3; /* keeps it solvable whatever the decoder gives */
    solve(a, b, n);
    for (uint32_t c = 0; c < map->outputs; c++) {
        for (uint32_t k = 0; k < map->inputs; k++)
            map->weights[c][k] = (float)b[k][c];
        map->weights[c][LATENT_MAP_INPUTS] = (float)b[map->inputs][c];
    }
}

mzt_status latent_map_fit(const model *m, executor *e, precision p, latent_map *map, mzt_error *error) {
    const uint32_t inputs = m->vae.latent_channels, outputs = m->vae.out_channels,
                   factor = vae_factor(&m->vae);
    *map = (latent_map){.inputs = inputs, .outputs = outputs};
    if (inputs > LATENT_MAP_INPUTS || outputs < 3 || outputs > LATENT_MAP_OUTPUTS)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: no preview of %u latent channels and %u colours",
                         m->path, inputs, outputs);
    const uint64_t count = (uint64_t)SIDE * SIDE * inputs, pixels = (uint64_t)SIDE * SIDE * factor * factor;
    float *latent = host_calloc(m->host, 2 * (size_t)count, sizeof *latent);
    float *picture = host_calloc(m->host, (size_t)pixels * outputs, sizeof *picture);
    double *means = host_calloc(m->host, (size_t)SIDE * SIDE * outputs, sizeof *means);
    mzt_status status = MZT_OK;
    if (!latent || !picture || !means) {
        status = error_memory(error, "preview", pixels * outputs * sizeof *picture);
    } else {
        float *unscaled = latent + count;
        make_latent(latent, inputs);
        memcpy(unscaled, latent, (size_t)count * sizeof *latent);
        latent_to_autoencoder(m, unscaled, count);
        status = autoencoder_decode(m, e, p, (shape4){1, SIDE, SIDE, inputs}, (model_wrap){0}, unscaled,
                                    picture, NULL, error);
    }
    if (status >= 0) {
        average(picture, factor, outputs, means);
        fit(map, latent, means);
    }
    host_free(m->host, latent);
    host_free(m->host, picture);
    host_free(m->host, means);
    return status;
}

mzt_status latent_map_apply(const base_host *host, const latent_map *map, const float *latent, uint32_t width,
                            uint32_t height, image *out, mzt_error *error) {
    const uint64_t pixels = (uint64_t)width * height;
    float *colours = host_calloc(host, (size_t)pixels * map->outputs, sizeof *colours);
    if (!colours) return error_memory(error, "preview", pixels * map->outputs * sizeof *colours);
    for (uint64_t i = 0; i < pixels; i++)
        for (uint32_t c = 0; c < map->outputs; c++) {
            float sum = map->weights[c][LATENT_MAP_INPUTS];
            for (uint32_t k = 0; k < map->inputs; k++)
                sum += map->weights[c][k] * latent[i * map->inputs + k];
            colours[i * map->outputs + c] = sum;
        }
    mzt_status status = image_from_floats(host, colours, width, height, map->outputs, out, error);
    host_free(host, colours);
    return status;
}
