/* A small folder of captioned pictures; see train_data.h. */
#define _XOPEN_SOURCE 700
#include "train_data.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "image/png.h"

static const struct {
    const char *name;
    uint8_t colour[3];
    int shape; /* 0 circle, 1 square, 2 triangle, 3 ring */
} shapes[TRAIN_DATA_SHAPES] = {
    {"red circle", {220, 30, 30}, 0},      {"blue square", {30, 60, 220}, 1},
    {"green triangle", {30, 170, 50}, 2},  {"yellow ring", {250, 210, 40}, 3},
    {"purple circle", {130, 50, 190}, 0},  {"orange square", {250, 150, 30}, 1},
    {"pink triangle", {255, 150, 190}, 2}, {"black ring", {10, 10, 10}, 3},
};

const char *train_data_name(uint32_t index) {
    return shapes[index].name;
}

void train_data_temporary(char path[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%.180s/mezzotint-train-XXXXXX", base && base[0] ? base : "/tmp");
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void train_data_remove(const char *path) {
    if (strstr(path, "/mezzotint-train-")) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static double inside(int shape, double x, double y) {
    const double radius = sqrt(x * x + y * y);
    switch (shape) {
    case 0:
        return 0.75 - radius;
    case 1:
        return 0.65 - (fabs(x) > fabs(y) ? fabs(x) : fabs(y));
    case 2:
        return 0.6 - (y > 2 * fabs(x) - 0.6 ? y : 2 * fabs(x) - 0.6);
    default:
        return 0.2 - fabs(radius - 0.6);
    }
}

void train_data_write(const base_host *host, const char *folder, uint32_t count, uint32_t side) {
    mzt_error error;
    for (uint32_t i = 0; i < count; i++) {
        char path[512], line[512];
        image picture = {0};
        assert_int_equal(image_create(host, side, side, 4, &picture, &error), MZT_OK);
        for (uint32_t y = 0; y < side; y++) {
            for (uint32_t x = 0; x < side; x++) {
                const double d =
                    inside(shapes[i].shape, 2 * (x + 0.5) / side - 1, 2 * (y + 0.5) / side - 1) * side / 2 +
                    0.5;
                uint8_t *p = image_pixel(&picture, x, y);
                memcpy(p, shapes[i].colour, 3);
                p[3] = (uint8_t)(d <= 0 ? 0 : d >= 1 ? 255 : 255 * d);
            }
        }
        snprintf(path, sizeof path, "%s/shape-%u.png", folder, (unsigned)i);
        assert_int_equal(image_png_write(host, path, &picture, NULL, &error), MZT_OK);
        image_free(host, &picture);
        snprintf(line, sizeof line,
                 "{\"file_name\": \"shape-%u.png\", \"text\": \"%s\", \"keywords\": [\"shape\", \"figure\"], "
                 "\"style\": \"flat\"}",
                 (unsigned)i, shapes[i].name);
        train_data_append(folder, line);
    }
}

void train_data_append(const char *folder, const char *line) {
    char path[512];
    snprintf(path, sizeof path, "%s/metadata.jsonl", folder);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", line) > 0);
    assert_int_equal(fclose(file), 0);
}
