/* Little device memory: a picture decoded in windows is the picture decoded whole, in every shape, without
 * seams; and what cannot fit is refused before anything is made. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/memory-test"
#include "tiny_model.h"

#include "pipeline/conditioning.h"
#include "pipeline/generation.h"
#include "pipeline/stored.h"
#include "stream.h"
#include "vulkan_env.h"
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
    uint64_t weights, activations;
    const part_spec spec = autoencoder_spec(PART_DECODER, latent, wrap);
    must(part_estimate(tiny, &cpu->limits, PRECISION_F32, &spec, &weights, &activations, &error));
    p.limit = (uint64_t)((double)(weights + activations) * fraction);
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
    } cases[] = {{24, 40, {false, false}, 0.3},
                 {33, 19, {false, false}, 0.3},
                 {24, 36, {true, true}, 0.3},
                 {17, 45, {true, false}, 0.3},
                 {8, 8, {false, true}, 5}};
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

/* Makes a small picture within a limit; returns what was held on the device while denoising. */
static uint64_t generate_within(executor *device, const generate_request *r, uint64_t limit, image *out) {
    generator owner = generator_make(tiny, device, PRECISION_F32);
    generation *g;
    owner.turns = true;
    owner.memory_limit = limit;
    must(generation_create(&owner, r, &g, &error));
    mzt_status status = MZT_PENDING;
    uint64_t held = 0;
    while (status == MZT_PENDING) {
        status = generation_step(g, 20000, &error);
        const uint64_t now = generator_memory(&owner);
        if (now > held) held = now;
        if (status == MZT_PENDING) generation_wait(g, 20000, &error);
    }
    must(status);
    *out = g->result.images[0];
    g->result.images[0] = (image){0};
    assert_true((g->tiles != NULL) == (limit > 0 && limit < 1000000000));
    generation_destroy(g);
    generator_release(&owner);
    return held;
}

static void compare_within(executor *device) {
    generate_request r = small_request("x");
    r.width = 128;
    r.height = 96;
    r.steps = 3;
    image free_ = {0}, bound = {0};
    const uint64_t most = generate_within(device, &r, 0, &free_);
    for (int part = 2; part <= 4; part += 2) {
        const uint64_t limit = most * 2 / (uint64_t)part / 2 + most / 8;
        const uint64_t held = generate_within(device, &r, limit, &bound);
        const double db = psnr(&free_, &bound);
        print_message("%s: %.2f MB without a limit; within %.2f MB: %.2f MB held, %.1f dB\n",
                      device->limits.name, (double)most * 1e-6, (double)limit * 1e-6, (double)held * 1e-6,
                      db);
        assert_true(held <= limit);
        assert_true(db >= 60);
        image_free(&host, &bound);
    }
    image_free(&host, &free_);
}

static void test_limits(void **state) {
    (void)state;
    compare_within(cpu);
}

static void test_limits_vulkan(void **state) {
    (void)state;
    executor *device;
    vulkan_env_set();
    if (device_open(&host, "vulkan:llvmpipe", &device, &error) < 0) {
        print_message("%s\n", error.message);
        skip();
    }
    compare_within(device);
    executor_destroy(device);
}

/* Every share of the weights on the device, down to one matrix: the same bits, whole and step by step. */
static void test_streaming(void **state) {
    (void)state;
    part_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.kind = PART_TEXT;
    spec.n = 2;
    spec.h = 16;
    spec.outputs = TEXT_LAST;
    uint32_t ids[32];
    float *expected = calloc(32 * 1024, sizeof *expected), *found = calloc(32 * 1024, sizeof *found);
    const uint64_t count = 32ull * tiny->text[0].channels;
    uint64_t weights, activations, streamed = 0;
    network n;
    for (uint32_t i = 0; i < 32; i++)
        ids[i] = i * 7 % tiny->text[0].vocabulary;
    must(part_create(tiny, cpu, PRECISION_F32, &spec, &n, &error));
    must(network_set_u32(&n, "ids", ids, 32, &error));
    must(network_run(&n, &error));
    must(network_get(&n, "last", expected, count, &error));
    network_destroy(&n);
    must(part_estimate(tiny, &cpu->limits, PRECISION_F32, &spec, &weights, &activations, &error));
    bool refused = false;
    for (int tenths = 12; tenths >= 0 && !refused; tenths--) {
        executor *stream;
        must(stream_executor_create(cpu, activations + weights * (uint64_t)tenths / 10, &stream, &error));
        mzt_status status = part_create(tiny, stream, PRECISION_F32, &spec, &n, &error);
        refused = status == MZT_ERROR_OUT_OF_MEMORY;
        if (!refused) {
            must(status);
            const uint64_t bytes = stream_program_bytes(n.program);
            assert_true(tenths >= 11 ? bytes == 0 : bytes >= streamed);
            streamed = bytes;
            must(network_set_u32(&n, "ids", ids, 32, &error));
            for (int again = 0; again < 2; again++) {
                network_task task;
                memset(found, 0, count * sizeof *found);
                must(network_task_phase(&n, "main", 2, &task, &error));
                do
                    status = network_task_advance(&task, 50, &error);
                while (status == MZT_PENDING);
                must(status);
                must(network_get(&n, "last", found, count, &error));
                assert_memory_equal(expected, found, count * sizeof *found);
            }
            must(network_run(&n, &error));
            must(network_get(&n, "last", found, count, &error));
            assert_memory_equal(expected, found, count * sizeof *found);
            network_destroy(&n);
        }
        executor_destroy(stream);
    }
    assert_true(refused && streamed > weights / 3);
    free(expected);
    free(found);
}

/* The text encoder's last state with matrices stored in each way: how far from f32, and how many bytes. */
static void test_stored(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double least, most; /* relative error */
    } ways[] = {
        {"f32", 0, 0}, {"f16", 1e-6, 2e-3}, {"bf16", 1e-5, 2e-2}, {"q8", 1e-4, 3e-2}, {"q4", 3e-3, 0.5}};
    enum { TOKENS = 16 };
    uint32_t ids[TOKENS];
    uint64_t last_bytes = UINT64_MAX;
    const uint64_t count = (uint64_t)TOKENS * tiny->text[0].channels;
    float *expected = calloc(count, sizeof *expected), *found = calloc(count, sizeof *found);
    weight_choice choice;
    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = i * 7 % tiny->text[0].vocabulary;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        model_options options = {.vae = NULL};
        model *m;
        must(weight_choice_parse(ways[i].name, &options.stored, &error));
        must(model_open_with(&host, TINY, &options, &m, &error));
        const text_states states = {.last = i ? found : expected};
        must(text_encoder_run(m, cpu, PRECISION_F32, 0, ids, 1, TOKENS, 0, &states, &error));
        part_spec spec;
        uint64_t weights, activations;
        must(text_encoder_spec(m, 0, 1, TOKENS, 0, &states, &spec, &error));
        must(part_estimate(m, &cpu->limits, PRECISION_F32, &spec, &weights, &activations, &error));
        double difference = 0, norm = 0;
        for (uint64_t k = 0; k < count; k++) {
            difference += pow((double)states.last[k] - (double)expected[k], 2);
            norm += pow((double)expected[k], 2);
        }
        const double distance = sqrt(difference / norm);
        print_message("%-4s %llu bytes, relative error %.2e\n", ways[i].name, (unsigned long long)weights,
                      distance);
        assert_true(distance >= ways[i].least && distance <= ways[i].most);
        assert_true(weights <= last_bytes);
        last_bytes = weights;
        model_close(m);
    }
    assert_int_equal(weight_choice_parse("q5", &choice, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "q5"));
    free(expected);
    free(found);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_large),
        cmocka_unit_test(test_too_little),    cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_stored),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limits_vulkan),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
