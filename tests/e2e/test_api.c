/* The C API from a host's side: pictures equal those of the inner interface byte for byte; a job can be
 * cancelled at every segment boundary and leaves the pipeline usable and memory where it was; every
 * allocation may fail; structures of other ages are taken; two contexts in two threads share nothing. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/api-test"
#include "tiny_model.h"

#include <pthread.h>

#include "alloc_count.h"
#include "mezzotint.h"
#include "mezzotint_sampler.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE * 4 };

static mzt_job_params small_job(const char *prompt) {
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = prompt;
    p.steps = 3;
    p.seed = 11;
    return p;
}

/* All that stands between a host and a job. */
typedef struct stack {
    mzt_context *context;
    mzt_model *model;
    mzt_device *device;
    mzt_pipeline *pipeline;
    mzt_job *job;
} stack;

static mzt_status open_stack(stack *s, const mzt_hooks *hooks, const mzt_pipeline_params *params,
                             mzt_error *e) {
    *s = (stack){NULL, NULL, NULL, NULL, NULL};
    mzt_status status = mzt_context_create(hooks, &s->context, e);
    if (status >= 0) status = mzt_model_open(s->context, TINY, NULL, &s->model, e);
    if (status >= 0) status = mzt_device_open_cpu(s->context, 1, &s->device, e);
    if (status >= 0) status = mzt_pipeline_create(s->model, s->device, params, &s->pipeline, e);
    return status;
}

static void close_stack(stack *s) {
    mzt_job_destroy(s->job);
    mzt_pipeline_destroy(s->pipeline);
    mzt_device_destroy(s->device);
    mzt_model_close(s->model);
    mzt_context_destroy(s->context);
}

static void make_job(stack *s, const mzt_job_params *p) {
    must(mzt_job_create(s->pipeline, p, &s->job, &error));
}

static void drop_job(stack *s) {
    mzt_job_destroy(s->job);
    s->job = NULL;
}

/* Runs a job and reads its first picture. */
static void picture_of(stack *s, const mzt_job_params *p, uint8_t pixels[PIXELS]) {
    make_job(s, p);
    must(mzt_job_run(s->job, &error));
    must(mzt_job_read_rgba8(s->job, 0, pixels, 0, &error));
    drop_job(s);
}

/* The same picture from src/pipeline, as RGBA. */
static void expect_inner(const generate_request *r, const uint8_t *pixels) {
    generate_result result;
    must(pipeline_generate(tiny, cpu, r, &result, &error));
    const image *p = &result.images[0];
    for (uint32_t i = 0; i < p->width * p->height; i++)
        for (uint32_t c = 0; c < 4; c++)
            assert_int_equal(pixels[i * 4 + c], c < p->channels ? p->pixels[i * p->channels + c] : 255);
    generate_result_destroy(&result);
}

static int watch(void *user, mzt_job *job, const mzt_progress *p) {
    uint32_t *seen = user, step;
    uint8_t pixels[16 * 16 * 4];
    assert_true(p->share >= 0 && p->share <= 1 && p->step <= p->steps);
    if (p->step > seen[0] && p->phase == MZT_PHASE_DENOISE) {
        must(mzt_job_preview(job, 0, pixels, 0, &step, &error));
        assert_int_equal(step, p->step);
        seen[0] = p->step;
    }
    seen[1]++;
    return 0;
}

static void test_equal(void **state) {
    (void)state;
    stack s;
    uint8_t pixels[PIXELS], again[PIXELS];
    uint32_t seen[2] = {0, 0};
    must(open_stack(&s, NULL, NULL, &error));
    mzt_job_params p = small_job("a red (apple:1.3)");
    generate_request r = generate_request_default();
    r.prompt = p.prompt;
    r.steps = 3;
    r.seed = 11;
    picture_of(&s, &p, pixels);
    expect_inner(&r, pixels);
    picture_of(&s, &p, again); /* from networks that are there */
    assert_memory_equal(pixels, again, PIXELS);
    p.preview = 1; /* watching changes nothing */
    p.progress = watch;
    p.user = seen;
    picture_of(&s, &p, again);
    assert_memory_equal(pixels, again, PIXELS);
    assert_int_equal(seen[0], 3);
    p = small_job("x"); /* another shape, and back to a job in small slices */
    p.sampler = "euler_a";
    p.schedule = "karras";
    p.negative = "y";
    r.prompt = "x";
    r.negative = "y";
    r.sampler = "euler_a";
    r.schedule = "karras";
    make_job(&s, &p);
    mzt_status status;
    uint32_t slices = 0;
    assert_int_equal(mzt_job_read_rgba8(s.job, 0, pixels, 0, &error), MZT_PENDING);
    while ((status = mzt_job_step(s.job, 100, &error)) == MZT_PENDING)
        slices++;
    must(status);
    assert_true(slices > 20);
    must(mzt_job_read_rgba8(s.job, 0, pixels, 0, &error));
    expect_inner(&r, pixels);
    mzt_progress progress = {.struct_size = sizeof progress};
    must(mzt_job_progress(s.job, &progress, &error));
    assert_int_equal(progress.phase, MZT_PHASE_DONE);
    assert_int_equal(mzt_job_step(s.job, 100, &error), MZT_OK);
    mzt_job_cancel(s.job); /* a finished job stays finished */
    assert_int_equal(mzt_job_run(s.job, &error), MZT_OK);
    close_stack(&s);
}

/* -- cancelling -- */

typedef struct countdown {
    uint32_t left, count;
    bool through_flag;
} countdown;

static int count_down(void *user, mzt_job *job, const mzt_progress *p) {
    countdown *c = user;
    (void)p;
    c->count++;
    if (!c->left || --c->left) return 0;
    if (!c->through_flag) return 1;
    mzt_job_cancel(job);
    mzt_job_cancel(job);
    return 0;
}

static void test_cancel_everywhere(void **state) {
    (void)state;
    stack s;
    alloc_count counts = {0};
    base_host counted = alloc_count_host(&counts);
    mzt_hooks hooks = counted.hooks;
    hooks.struct_size = sizeof hooks;
    must(open_stack(&s, &hooks, NULL, &error));
    uint8_t expected[PIXELS], found[PIXELS];
    mzt_job_params p = small_job("x");
    p.steps = 2;
    p.preview = 1;
    picture_of(&s, &p, expected);
    countdown c = {0, 0, false};
    p.progress = count_down;
    p.user = &c;
    make_job(&s, &p); /* how many boundaries there are, in slices as small as they get */
    while (mzt_job_step(s.job, 1, &error) == MZT_PENDING) {
    }
    drop_job(&s);
    const uint32_t boundaries = c.count;
    const long live = counts.live;
    print_message("%u boundaries\n", boundaries);
    assert_true(boundaries > 30);
    for (uint32_t at = 1; at < boundaries; at += 1 + boundaries / 150) {
        c = (countdown){at, 0, at % 2 == 0};
        make_job(&s, &p);
        mzt_status status = MZT_PENDING;
        while (status == MZT_PENDING)
            status = mzt_job_step(s.job, 1, &error);
        if (status == MZT_OK) assert_true(at + 3 > boundaries); /* the last slices may fall together */
        if (status != MZT_OK) {
            assert_int_equal(status, MZT_CANCELLED);
            assert_int_equal(error.status, MZT_CANCELLED);
            assert_true(c.count <= at + 1);
            assert_int_equal(mzt_job_step(s.job, 1, &error), MZT_CANCELLED);
            assert_int_equal(mzt_job_read_rgba8(s.job, 0, found, 0, &error), MZT_CANCELLED);
        }
        drop_job(&s);
        assert_int_equal(counts.live, live);
    }
    p.progress = NULL;
    picture_of(&s, &p, found);
    assert_memory_equal(expected, found, PIXELS);
    mzt_memory_info memory = {.struct_size = sizeof memory};
    must(mzt_device_memory(s.device, &memory, &error));
    assert_true(memory.used > 0 && memory.peak >= memory.used);
    must(mzt_pipeline_release(s.pipeline, &error));
    must(mzt_device_memory(s.device, &memory, &error));
    assert_int_equal(memory.used, 0);
    close_stack(&s);
    assert_int_equal(counts.live, 0);
}

/* -- allocations -- */

/* Opens, makes a picture, closes; with the given allocation failing. */
static mzt_status whole_life(alloc_count *counts, mzt_error *e) {
    stack s;
    base_host counted = alloc_count_host(counts);
    mzt_hooks hooks = counted.hooks;
    hooks.struct_size = sizeof hooks;
    mzt_job_params p = small_job("x");
    p.steps = 1;
    p.preview = 1;
    uint8_t pixels[PIXELS];
    mzt_status status = open_stack(&s, &hooks, NULL, e);
    if (status >= 0) status = mzt_pipeline_prepare(s.pipeline, 0, e);
    if (status >= 0) status = mzt_job_create(s.pipeline, &p, &s.job, e);
    if (status >= 0) status = mzt_job_run(s.job, e);
    if (status >= 0) status = mzt_job_read_rgba8(s.job, 0, pixels, 0, e);
    close_stack(&s);
    return status;
}

static void test_allocations(void **state) {
    (void)state;
    alloc_count counts = {0};
    must(whole_life(&counts, &error));
    assert_int_equal(counts.live, 0);
    const long all = counts.calls;
    const long stride = getenv("MZT_SLOW") ? 1 : all / 250 + 1;
    print_message("%ld allocations, every %ldth fails once\n", all, stride);
    for (long at = 1; at <= all; at += stride) {
        counts = (alloc_count){.fail_at = at};
        error = (mzt_error){MZT_OK, ""};
        mzt_status status = whole_life(&counts, &error);
        if (status >= 0) continue; /* something that can be done without */
        if (status != MZT_ERROR_OUT_OF_MEMORY) fail_msg("allocation %ld: %d, %s", at, status, error.message);
        assert_true(error.message[0] != '\0' && !strchr(error.message, '\n'));
        if (counts.live) fail_msg("allocation %ld: %ld blocks are left", at, counts.live);
    }
}

/* What mzt_job_create reserves is enough. */
static void test_reserved(void **state) {
    (void)state;
    stack s;
    alloc_count counts = {0};
    base_host counted = alloc_count_host(&counts);
    mzt_hooks hooks = counted.hooks;
    hooks.struct_size = sizeof hooks;
    must(open_stack(&s, &hooks, NULL, &error));
    mzt_job_params p = small_job("x");
    p.preview = p.trajectory = 1;
    make_job(&s, &p);
    const long calls = counts.calls;
    must(mzt_job_run(s.job, &error));
    enum { RUNS = 1 + 1 + 1 + 3 + 1 + 3 }; /* text, colours, setup, steps, picture, trajectory */
    print_message("%ld allocations while a job runs\n", counts.calls - calls);
    assert_true(counts.calls - calls <= RUNS); /* what an executor asks for at the start of a run */
    close_stack(&s);
}

/* -- arguments -- */

static void expect(mzt_status expected, mzt_status found, const char *word) {
    if (expected != found || !strstr(error.message, word))
        fail_msg("%d \"%s\", expected %d and \"%s\"", found, error.message, expected, word);
}

static void test_arguments(void **state) {
    (void)state;
    stack s;
    must(open_stack(&s, NULL, NULL, &error));
    mzt_job *job;
    mzt_job_params p = small_job("x");
    p.struct_size = 3;
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &p, &job, &error), "struct_size");
    struct { /* of a later header */
        mzt_job_params p;
        uint64_t more;
    } newer = {small_job("x"), 0};
    newer.p.struct_size = sizeof newer;
    must(mzt_job_create(s.pipeline, &newer.p, &job, &error));
    mzt_job *second;
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &newer.p, &second, &error), "has a job");
    expect(MZT_ERROR_INVALID, mzt_pipeline_release(s.pipeline, &error), "has a job");
    mzt_job_destroy(job);
    newer.more = 1;
    expect(MZT_ERROR_UNSUPPORTED, mzt_job_create(s.pipeline, &newer.p, &job, &error), "ABI");
    p = small_job("x"); /* of an earlier one: the rest are defaults */
    p.struct_size = offsetof(mzt_job_params, steps);
    p.steps = 9;
    must(mzt_job_create(s.pipeline, &p, &job, &error));
    mzt_job_info info = {.struct_size = sizeof info};
    must(mzt_job_get_info(job, &info, &error));
    assert_int_equal(info.steps, 20);
    mzt_job_destroy(job);
    p = small_job("x");
    p.sampler = "nope";
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &p, &job, &error), "euler_a");
    p = small_job("x\xff");
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &p, &job, &error), "UTF-8");
    p = small_job("x");
    p.rng = (mzt_rng)9;
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &p, &job, &error), "rng 9");
    const uint8_t grey[4] = {1, 2, 3, 4};
    const mzt_image bad = {.struct_size = sizeof bad, .pixels = grey, .width = 2, .height = 1, .channels = 2};
    p = small_job("x");
    p.init_image = &bad;
    expect(MZT_ERROR_INVALID, mzt_job_create(s.pipeline, &p, &job, &error), "init_image");
    assert_null(job);
    mzt_model *none;
    expect(MZT_ERROR_INVALID, mzt_model_open(s.context, NULL, NULL, &none, &error), "path");
    close_stack(&s);
}

static void test_limits(void **state) {
    (void)state;
    stack s;
    must(open_stack(&s, NULL, NULL, &error));
    mzt_estimate all = {.struct_size = sizeof all}, turns = all;
    must(mzt_model_estimate(s.model, s.device, NULL, NULL, &all, &error));
    mzt_pipeline_params params;
    mzt_pipeline_params_init(&params, sizeof params);
    params.residency = MZT_RESIDENCY_TURNS;
    must(mzt_model_estimate(s.model, s.device, &params, NULL, &turns, &error));
    assert_true(turns.peak < all.peak && turns.weights == all.weights && all.flops > 1000000);
    uint32_t slices = 0;
    mzt_status status;
    while ((status = mzt_pipeline_prepare(s.pipeline, 100, &error)) == MZT_PENDING)
        slices++;
    must(status);
    assert_true(slices > 6);
    mzt_memory_info memory = {.struct_size = sizeof memory};
    must(mzt_device_memory(s.device, &memory, &error));
    print_message("estimated %llu bytes, held %llu\n", (unsigned long long)all.peak,
                  (unsigned long long)memory.used);
    assert_true(memory.used >= all.peak && memory.used < 2 * all.peak);
    mzt_pipeline *limited;
    params.residency = MZT_RESIDENCY_ALL;
    params.memory_limit = all.peak / 2;
    must(mzt_pipeline_release(s.pipeline, &error));
    must(mzt_pipeline_create(s.model, s.device, &params, &limited, &error));
    must(mzt_pipeline_prepare(limited, 0, &error)); /* networks take turns, or are streamed */
    must(mzt_device_memory(s.device, &memory, &error));
    assert_true(memory.used <= params.memory_limit);
    mzt_pipeline_destroy(limited);
    params.memory_limit = 1000;
    status = mzt_pipeline_create(s.model, s.device, &params, &limited, &error);
    if (status >= 0) status = mzt_pipeline_prepare(limited, 0, &error);
    expect(MZT_ERROR_OUT_OF_MEMORY, status, "1000");
    mzt_pipeline_destroy(limited);
    close_stack(&s);
}

/* -- two contexts -- */

typedef struct worker {
    const char *prompt;
    uint32_t lines;
    uint8_t pixels[PIXELS];
    mzt_status status;
    mzt_error error;
} worker;

static void count_line(void *user, mzt_log_level level, const char *line) {
    (void)level;
    (void)line;
    ((worker *)user)->lines++;
}

static void *work(void *argument) {
    worker *w = argument;
    stack s;
    const mzt_hooks hooks = {.struct_size = sizeof hooks, .user = w, .log = count_line};
    const mzt_job_params p = small_job(w->prompt);
    w->status = open_stack(&s, &hooks, NULL, &w->error);
    if (w->status >= 0) w->status = mzt_job_create(s.pipeline, &p, &s.job, &w->error);
    if (w->status >= 0) w->status = mzt_job_run(s.job, &w->error);
    if (w->status >= 0) w->status = mzt_job_read_rgba8(s.job, 0, w->pixels, 0, &w->error);
    close_stack(&s);
    return NULL;
}

static void test_two_contexts_in_threads(void **state) {
    (void)state;
    static worker alone[2], together[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        alone[i].prompt = together[i].prompt = i ? "a green pear" : "a red apple";
        work(&alone[i]);
        if (alone[i].status < 0) fail_msg("%s", alone[i].error.message);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 2; i++) {
        if (together[i].status < 0) fail_msg("%s", together[i].error.message);
        assert_memory_equal(alone[i].pixels, together[i].pixels, PIXELS);
        assert_int_equal(alone[i].lines, together[i].lines);
    }
    assert_memory_not_equal(alone[0].pixels, alone[1].pixels, PIXELS);
}

static void *cancel_later(void *argument) {
    mzt_progress p = {.struct_size = sizeof p};
    do
        mzt_job_progress(argument, &p, NULL);
    while (p.step < 2);
    mzt_job_cancel(argument);
    return NULL;
}

static void test_cancel_from_another_thread(void **state) {
    (void)state;
    stack s;
    pthread_t thread;
    must(open_stack(&s, NULL, NULL, &error));
    mzt_job_params p = small_job("x");
    p.steps = 1000;
    make_job(&s, &p);
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, s.job), 0);
    assert_int_equal(mzt_job_run(s.job, &error), MZT_CANCELLED);
    pthread_join(thread, NULL);
    mzt_progress reached = {.struct_size = sizeof reached};
    must(mzt_job_progress(s.job, &reached, &error));
    print_message("cancelled at step %u of %u\n", reached.step, reached.steps);
    assert_true(reached.step >= 2 && reached.step < reached.steps);
    close_stack(&s);
}

/* -- samplers -- */

/* A network that knows the answer: the solver must find it. */
static void test_sampler(void **state) {
    (void)state;
    enum { COUNT = 5 };
    static const float clean[COUNT] = {0.5f, -0.9f, 0.25f, 0.75f, 0};
    mzt_context *context;
    must(mzt_context_create(NULL, &context, &error));
    uint32_t names = 0;
    while (mzt_sampler_name(names))
        assert_non_null(mzt_sampler_label(names++));
    assert_true(names > 15 && mzt_schedule_name(0) && !mzt_schedule_name(100));
    static const char *const tried[] = {"euler", "dpmpp_2m", "heun"};
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        mzt_sampler *sampler;
        mzt_sampler_params p;
        mzt_sampler_params_init(&p, sizeof p);
        p.sampler = tried[i];
        p.prediction = MZT_PREDICTION_SAMPLE;
        must(mzt_sampler_create(context, NULL, &p, &sampler, &error));
        mzt_sampler_info info = {.struct_size = sizeof info};
        must(mzt_sampler_get_info(sampler, &info, &error));
        float values[6][COUNT] = {{0}}, input[COUNT], noise[COUNT], latent[COUNT];
        float *slots[6];
        for (int k = 0; k < 6; k++)
            slots[k] = values[k];
        must(mzt_noise(MZT_RNG_PHILOX, 7, 0, noise, COUNT, &error));
        mzt_sampler_start(sampler, NULL, noise, values[0], COUNT);
        for (uint32_t call = 0; call < info.calls; call++) {
            mzt_sampler_call c = {.struct_size = sizeof c};
            must(mzt_sampler_get_call(sampler, call, &c, &error));
            assert_true(c.step < info.steps && c.timestep >= 0);
            mzt_sampler_input(sampler, call, (const float *const *)slots, input, COUNT);
            mzt_sampler_update(sampler, call, slots, clean, NULL, NULL, NULL, COUNT);
        }
        mzt_sampler_finish(sampler, values[0], latent, COUNT);
        for (int k = 0; k < COUNT; k++)
            assert_true(fabs(latent[k] - clean[k]) < 1e-6);
        expect(MZT_ERROR_INVALID, mzt_sampler_get_call(sampler, info.calls, NULL, &error), "call");
        mzt_sampler_destroy(sampler);
    }
    mzt_context_destroy(context);
}

int main(void) {
    cmocka_set_test_filter(getenv("MZT_TEST_FILTER")); /* NULL: all of them */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal),
                                       cmocka_unit_test(test_cancel_everywhere),
                                       cmocka_unit_test(test_allocations),
                                       cmocka_unit_test(test_reserved),
                                       cmocka_unit_test(test_arguments),
                                       cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_two_contexts_in_threads),
                                       cmocka_unit_test(test_cancel_from_another_thread),
                                       cmocka_unit_test(test_sampler)};
    host = host_make(NULL);
    return cmocka_run_group_tests(tests, begin, end);
}
