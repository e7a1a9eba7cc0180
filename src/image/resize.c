/* Separable resampling: one weighted sum along rows, then one along columns, each with a table of weights per
 * new pixel. When reducing, the filter is widened by the factor, so that it sees every old pixel. */
#include "image/image.h"

#include <math.h>
#include <string.h>

/* New pixel i is the sum over k < taps of weight[i * taps + k] * old[first[i] + k]. */
typedef struct weight_table {
    uint32_t *first;
    float *weight;
    uint32_t taps;
} weight_table;

static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return x == 0 ? 1 : sin(pi * x) / (pi * x);
}

/* Value at a distance from the centre, in units of old pixels (enlarging) or new ones (reducing). */
static double filter_value(image_filter filter, double x) {
    x = fabs(x);
    if (filter == IMAGE_LANCZOS) return x < 3 ? sinc(x) * sinc(x / 3) : 0;
    return x < 1 ? 1 - x : 0;
}

static void table_free(const base_host *host, weight_table *table) {
    host_free(host, table->first);
    host_free(host, table->weight);
    memset(table, 0, sizeof *table);
}

/* Weights of one new pixel whose centre lies at `centre` and whose cell is [low, high) of the old pixels'
 * axis. */
static void fill_weights(image_filter filter, double centre, double low, double high, double widen,
                         uint32_t first, uint32_t taps, float *weight) {
    double sum = 0, value;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t k = 0; k < taps; k++) {
            double left = first + k;
            if (filter == IMAGE_AREA)
                value = fmax(0, fmin(high, left + 1) - fmax(low, left));
            else
                value = filter_value(filter, (left + 0.5 - centre) / widen);
            if (pass == 0)
                sum += value;
            else
                weight[k] = (float)(value / sum);
        }
    }
}

static mzt_status table_create(const base_host *host, image_filter filter, uint32_t old_size,
                               uint32_t new_size, weight_table *table, mzt_error *error) {
    double scale = (double)old_size / new_size, widen = scale > 1 ? scale : 1;
    double reach = filter == IMAGE_AREA ? scale / 2 : (filter == IMAGE_LANCZOS ? 3 : 1) * widen;
    double taps = ceil(2 * reach) + 2;
    memset(table, 0, sizeof *table);
    table->taps = taps < old_size ? (uint32_t)taps : old_size;
    table->first = host_calloc(host, new_size, sizeof *table->first);
    table->weight = host_calloc(host, new_size, table->taps * sizeof *table->weight);
    if (!table->first || !table->weight) {
        table_free(host, table);
        return error_memory(error, "resampling weights", (uint64_t)new_size * table->taps);
    }
    for (uint32_t i = 0; i < new_size; i++) {
        double centre = (i + 0.5) * scale, low = i * scale, high = (i + 1) * scale;
        double first = floor(centre - reach), last_first = (double)old_size - table->taps;
        if (filter == IMAGE_AREA && scale < 1) { /* square pixels: the old one that holds the centre */
            low = floor(centre);
            high = low + 1;
        }
        first = first < 0 ? 0 : first > last_first ? last_first : first;
        table->first[i] = (uint32_t)first;
        fill_weights(filter, centre, low, high, widen, table->first[i], table->taps,
                     table->weight + (size_t)i * table->taps);
    }
    return MZT_OK;
}

/* One row of old pixels to floats; with alpha, colours are multiplied by it. */
static void load_row(const image *in, uint32_t y, float *row) {
    const uint8_t *from = image_pixel(in, 0, y);
    for (uint32_t x = 0; x < in->width; x++, from += in->channels, row += in->channels) {
        float alpha = in->channels == 4 ? (float)from[3] / 255.0f : 1.0f;
        for (uint32_t c = 0; c < 3; c++)
            row[c] = (float)from[c] * alpha;
        if (in->channels == 4) row[3] = (float)from[3];
    }
}

static uint8_t to_byte(float value) {
    return value >= 255.0f ? 255 : value > 0.0f ? (uint8_t)(value + 0.5f) : 0;
}

static void store_row(const float *row, image *out, uint32_t y) {
    uint8_t *to = image_pixel(out, 0, y);
    for (uint32_t x = 0; x < out->width; x++, to += out->channels, row += out->channels) {
        float factor = 1.0f;
        if (out->channels == 4) {
            to[3] = to_byte(row[3]);
            factor = row[3] > 0.0f ? 255.0f / row[3] : 0.0f;
        }
        for (uint32_t c = 0; c < 3; c++)
            to[c] = to_byte(row[c] * factor);
    }
}

/* Along the row: new [width, channels] of old [in->width, channels]. */
static void resample_row(const weight_table *table, const float *old, uint32_t width, uint32_t channels,
                         float *new_row) {
    for (uint32_t x = 0; x < width; x++) {
        const float *weight = table->weight + (size_t)x * table->taps;
        const float *from = old + (size_t)table->first[x] * channels;
        for (uint32_t c = 0; c < channels; c++) {
            float sum = 0;
            for (uint32_t k = 0; k < table->taps; k++)
                sum += weight[k] * from[k * channels + c];
            new_row[(size_t)x * channels + c] = sum;
        }
    }
}

/* Both directions. Horizontally resampled rows are kept in a ring of as many rows as a column's sum needs:
 * old row y lies at y % taps. `old` is one row of the input, `sum` one of the output. */
static void resample(const image *in, const weight_table *across, const weight_table *down, float *old,
                     float *ring, float *sum, image *out) {
    size_t row = (size_t)out->width * out->channels;
    uint32_t loaded = 0;
    for (uint32_t y = 0; y < out->height; y++) {
        uint32_t first = down->first[y];
        if (loaded < first) loaded = first;
        for (; loaded < first + down->taps; loaded++) {
            load_row(in, loaded, old);
            resample_row(across, old, out->width, out->channels, ring + (loaded % down->taps) * row);
        }
        memset(sum, 0, row * sizeof *sum);
        for (uint32_t k = 0; k < down->taps; k++) {
            float weight = down->weight[(size_t)y * down->taps + k];
            const float *from = ring + ((first + k) % down->taps) * row;
            if (weight == 0.0f) continue;
            for (size_t i = 0; i < row; i++)
                sum[i] += weight * from[i];
        }
        store_row(sum, out, y);
    }
}

mzt_status image_resize(const base_host *host, const image *in, uint32_t width, uint32_t height,
                        image_filter filter, image *out, mzt_error *error) {
    weight_table across = {0}, down = {0};
    float *old = NULL, *ring = NULL, *sum = NULL;
    if (width == in->width && height == in->height) return image_copy(host, in, out, error);
    TRY(image_create(host, width, height, in->channels, out, error));
    mzt_status status = table_create(host, filter, in->width, width, &across, error);
    if (status >= 0) status = table_create(host, filter, in->height, height, &down, error);
    if (status < 0) goto done;
    size_t row = (size_t)width * in->channels;
    old = host_calloc(host, in->width, in->channels * sizeof *old);
    ring = host_calloc(host, down.taps, row * sizeof *ring);
    sum = host_calloc(host, row, sizeof *sum);
    if (!old || !ring || !sum) {
        status = error_memory(error, "resampling", (uint64_t)down.taps * row * sizeof *ring);
        goto done;
    }
    resample(in, &across, &down, old, ring, sum, out);
done:
    table_free(host, &across);
    table_free(host, &down);
    host_free(host, old);
    host_free(host, ring);
    host_free(host, sum);
    if (status < 0) image_free(host, out);
    return status;
}
