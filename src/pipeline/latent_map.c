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

mzt_status latent_map_begin(const model *m, latent_map_fit *out, mzt_error *error) {
    const uint32_t inputs = m->vae.latent_channels, outputs = m->vae.out_channels,
                   factor = vae_factor(&m->vae);
    *out = (latent_map_fit){.host = m->host};
    if (inputs > LATENT_MAP_INPUTS || outputs < 3 || outputs > LATENT_MAP_OUTPUTS)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: no preview of %u latent channels and %u colours",
                         m->path, inputs, outputs);
    const uint64_t count = (uint64_t)SIDE * SIDE * inputs, pixels = (uint64_t)SIDE * SIDE * factor * factor;
    out->spec = autoencoder_spec(PART_PREVIEW, (shape4){1, SIDE, SIDE, inputs}, (model_wrap){0});
    out->latent = host_calloc(m->host, (size_t)count, sizeof *out->latent);
    out->input = host_calloc(m->host, (size_t)count, sizeof *out->input);
    out->picture = host_calloc(m->host, (size_t)pixels * outputs, sizeof *out->picture);
    out->means = host_calloc(m->host, (size_t)SIDE * SIDE * outputs, sizeof *out->means);
    if (!out->latent || !out->input || !out->picture || !out->means) {
        latent_map_end(out);
        return error_memory(error, "preview", pixels * outputs * sizeof *out->picture);
    }
    make_latent(out->latent, inputs);
    memcpy(out->input, out->latent, (size_t)count * sizeof *out->latent);
    latent_to_autoencoder(m, out->input, count);
    return MZT_OK;
}

void latent_map_solve(const model *m, latent_map_fit *f, latent_map *map) {
    *map = (latent_map){.inputs = m->vae.latent_channels, .outputs = m->vae.out_channels};
    average(f->picture, vae_factor(&m->vae), map->outputs, f->means);
    fit(map, f->latent, f->means);
}

void latent_map_end(latent_map_fit *f) {
    if (f->host) {
        host_free(f->host, f->latent);
        host_free(f->host, f->input);
        host_free(f->host, f->picture);
        host_free(f->host, f->means);
    }
    *f = (latent_map_fit){0};
}

void latent_map_apply(const latent_map *map, const float *latent, float *colours, image *out) {
    const uint64_t pixels = (uint64_t)out->width * out->height;
    for (uint64_t i = 0; i < pixels; i++)
        for (uint32_t c = 0; c < map->outputs; c++) {
            float sum = map->weights[c][LATENT_MAP_INPUTS];
            for (uint32_t k = 0; k < map->inputs; k++)
                sum += map->weights[c][k] * latent[i * map->inputs + k];
            colours[i * map->outputs + c] = sum;
        }
    image_set_floats(out, colours);
}
