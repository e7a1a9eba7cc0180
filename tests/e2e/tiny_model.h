/* What the end-to-end tests of generation share: a small model with random weights in FOLDER (defined before,
 * one for each program), the cpu device, and a few short forms. */
#ifndef E2E_TINY_MODEL_H
#define E2E_TINY_MODEL_H

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "image/image.h"
#include "pipeline/generate.h"
#include "synthetic.h"

#define TINY FOLDER "/tiny"

static base_host host;
static mzt_error error;
static model *tiny;
static executor *cpu;

static inline void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *level) {
    (void)info;
    (void)kind;
    (void)level;
    return remove(path);
}

static inline int begin(void **state) {
    (void)state;
    const synthetic_options options = {.type = DTYPE_F32, .seed = 3};
    nftw(FOLDER, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return synthetic_model_write(&host, "tiny", TINY, &options, &error) < 0 ||
           model_open(&host, TINY, &tiny, &error) < 0 || cpu_create(&host, 0, &cpu, &error) < 0;
}

static inline int end(void **state) {
    (void)state;
    model_close(tiny);
    executor_destroy(cpu);
    return nftw(FOLDER, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline generate_request small_request(const char *prompt) {
    generate_request r = generate_request_default();
    r.prompt = prompt;
    r.steps = 5;
    r.seed = 11;
    return r;
}

static inline void generate(const generate_request *r, generate_result *result) {
    must(pipeline_generate(tiny, cpu, r, result, &error));
}

static inline double psnr(const image *a, const image *b) {
    double db;
    must(image_psnr(a, b, &db, &error));
    return db;
}

/* A picture with some structure. */
static inline void make_picture(uint32_t width, uint32_t height, image *out) {
    must(image_create(&host, width, height, 4, out, &error));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *p = image_pixel(out, x, y);
            p[0] = (uint8_t)(x * 255 / width);
            p[1] = (uint8_t)(y * 255 / height);
            p[2] = (x / 8 + y / 8) % 2 ? 200 : 40;
            p[3] = 255;
        }
}

/* Replaces the one occurrence of `from` in a file. */
static inline void edit_file(const char *path, const char *from, const char *to) {
    char *text, *edited;
    uint64_t size;
    must(file_read(&host, path, 1u << 20, &text, &size, &error));
    char *at = strstr(text, from);
    if (!at) fail_msg("%s does not hold %s", path, from);
    edited = calloc((size_t)size + strlen(to) + 1, 1);
    assert_non_null(edited);
    sprintf(edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    must(file_write(&host, path, edited, strlen(edited), &error));
    host_free(&host, text);
    free(edited);
}

#endif
