/* What the tests of single-file checkpoints share: paths in FOLDER, models opened from there, and pictures of
 * them compared. After tiny_model.h's conditions. */
#ifndef E2E_SINGLE_FILES_H
#define E2E_SINGLE_FILES_H

#include "tiny_model.h"

static inline const char *path_of(const char *kind, const char *more) {
    static char paths[16][1000];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], FOLDER "/%s%s", kind, more);
    return path;
}

static inline model *open_single(const char *kind) {
    const model_options options = {.tokenizer = path_of(kind, "/tokenizer"), .complete = true};
    model *m;
    must(model_open_with(&host, path_of(kind, ".safetensors"), &options, &m, &error));
    return m;
}

static inline image picture_of(const model *m, const char *prompt, uint32_t size) {
    generate_request r = small_request(prompt);
    generate_result result;
    r.steps = 2;
    r.width = r.height = size;
    must(pipeline_generate(m, cpu, &r, &result, &error));
    image picture = result.images[0];
    result.images[0] = (image){0};
    generate_result_destroy(&result);
    return picture;
}

static inline void expect_same_pictures(const model *a, const model *b, const char *prompt, const char *other,
                                        bool same) {
    image x = picture_of(a, prompt, 64), y = picture_of(b, other, 64);
    assert_int_equal(x.width, y.width);
    const int difference = memcmp(x.pixels, y.pixels, (size_t)x.width * x.height * x.channels);
    if ((difference == 0) != same) fail_msg("%s: \"%s\" and \"%s\"", a->path, prompt, other);
    image_free(&host, &x);
    image_free(&host, &y);
}

#endif
