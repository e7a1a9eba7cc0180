/* Little device memory: a picture decoded in windows is the picture decoded whole, in every shape, without
 * seams; and what cannot fit is refused before anything is made. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/memory-test"
#include "tiny_model.h"

#include "pipeline/tiled_decoder.h"
#include "sample/random.h"

typedef struct pictures {
    float *whole, *tiled;
    uint32_t width, height;
    uint64_t memory, limit;
} pictures;

/* Decodes a random latent both ways, the second within a share of the whole decoder's memory. */
static pictures decode_both(uint32_t h, uint32_t w, model_wrap wrap, double fraction) {
    const shape4 latent = {1, h, w, 4};
    const uint64_t count = (uint64_t)h * w * 4, pixels = count / 4 * 64 * 3;
    pictures p = {calloc(pixels, sizeof(float)), calloc(pixels, sizeof(float)), 8 * w, 8 * h, 0, 0};
    float *values = calloc(count, sizeof *values);
    assert_true(p.whole && p.tiled && values);
    random_normals(5, 1, 0, count, values);
    must(autoencoder_decode(tiny, cpu, PRECISION_F32, latent, wrap, values, p.whole, NULL, &error));
    uint64_t bytes;
    must(decoder_estimate(tiny, &cpu->limits, PRECISION_F32, latent, wrap, &bytes, &error));
    p.limit = (uint64_t)((double)bytes * fraction);
    tiled_decoder *d;
    must(tiled_decoder_create(tiny, cpu, PRECISION_F32, latent, wrap, p.limit, &d, &error));
    for (int again = 0; again < 2; again++) { /* the second time as well */
        double share = 0, before = 0;
        mzt_status status = tiled_decoder_begin(d, values, &error);
        if (status >= 0) status = MZT_PENDING;
        while (status == MZT_PENDING) {
            status = tiled_decoder_advance(d, &share, &error);
            assert_true(share >= before);
            before = share;
            if (again == 0 && h < 64 && share > 0.4) break; /* given up half-way */
        }
        must(status);
        if (again) assert_true(fabs(share - 1) < 1e-9);
    }
    tiled_decoder_picture(d, p.tiled);
    p.memory = tiled_decoder_memory(d);
    tiled_decoder_destroy(d);
    free(values);
    return p;
}

/* Of pictures in -1...1. */
static double decibels(const pictures *p) {
    double squares = 0, count = (double)p->width * p->height * 3;
    for (uint64_t i = 0; i < (uint64_t)count; i++)
        squares += pow((double)p->whole[i] - (double)p->tiled[i], 2);
    return squares > 0 ? 10 * log10(4 * count / squares) : INFINITY;
}

/* The largest step between neighbours of the difference picture, along either axis: a seam would be one. */
static double largest_step(const pictures *p) {
    double largest = 0;
    for (uint32_t y = 1; y < p->height; y++)
        for (uint32_t x = 1; x < p->width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                const uint64_t i = ((uint64_t)y * p->width + x) * 3 + c;
                const uint64_t near[2] = {i - 3, i - 3ull * p->width};
                for (int k = 0; k < 2; k++) {
                    double here = (double)p->tiled[i] - (double)p->whole[i];
                    double there = (double)p->tiled[near[k]] - (double)p->whole[near[k]];
                    largest = fmax(largest, fabs(here - there));
                }
            }
    return largest;
}

static void release(pictures *p) {
    free(p->whole);
    free(p->tiled);
}

static void test_shapes(void **state) {
    (void)state;
    static const struct {
        uint32_t h, w;
        model_wrap wrap;
        double fraction;
    } cases[] = {{12, 20, {false, false}, 0.3},
                 {17, 9, {false, false}, 0.25},
                 {12, 16, {true, true}, 0.3},
                 {9, 21, {true, false}, 0.3},
                 {8, 8, {false, true}, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pictures p = decode_both(cases[i].h, cases[i].w, cases[i].wrap, cases[i].fraction);
        const double db = decibels(&p), step = largest_step(&p);
        print_message("%u x %u within %.2f of the memory: %.1f dB, largest step of the difference %.1e\n",
                      p.width, p.height, cases[i].fraction, db, step);
        assert_true(db >= 100);
        assert_true(step < 1e-3);
        release(&p);
    }
}

static void test_large(void **state) {
    (void)state;
    pictures p = decode_both(128, 128, (model_wrap){false, false}, 0.1);
    const double db = decibels(&p), step = largest_step(&p);
    print_message("1024 x 1024 within %.1f MB: %.1f MB held, %.1f dB, largest step of the difference %.1e\n",
                  (double)p.limit * 1e-6, (double)p.memory * 1e-6, db, step);
    assert_true(db >= 100);
    assert_true(step < 1e-3);
    release(&p);
}

static void test_too_little(void **state) {
    (void)state;
    tiled_decoder *d = NULL;
    const mzt_status status = tiled_decoder_create(tiny, cpu, PRECISION_F32, (shape4){1, 16, 16, 4},
                                                   (model_wrap){false, false}, 1000, &d, &error);
    assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
    assert_null(d);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_too_little),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
