/* Compiler passes must not change results: seeded random networks are compiled with and without fusion, whole
 * and cut to a small binding range, and run on cpu-reference.
 *  - Cutting changes no operation: results are bit-equal.
 *  - Fusion saves roundings to storage in between: results agree within a few of those roundings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "executor.h"
#include "graph/graph.h"

static base_host host;

/* -------------------------------------------------------------------------------------------------- networks
 * -- */

static uint32_t draw(uint64_t *seed, uint32_t limit) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % limit;
}

#define POOL 64

typedef struct network {
    graph *g;
    uint64_t seed;
    tensor vec; /* {2, 1, 1, 8} */
    tensor pool[POOL];
    uint32_t count;
} network;

static tensor pick(network *n) {
    return n->pool[draw(&n->seed, n->count)];
}

/* Prefers recent values, so that chains grow and values are often read only once. */
static tensor recent(network *n) {
    return draw(&n->seed, 3) ? n->pool[n->count - 1] : pick(n);
}

/* Another value of the same shape (with `channels` false: of the same picture size), or TENSOR_NONE. */
static tensor partner(network *n, tensor x, bool channels) {
    shape4 s = graph_shape(n->g, x);
    uint32_t start = draw(&n->seed, n->count);
    for (uint32_t i = 0; i < n->count; i++) {
        tensor y = n->pool[(start + i) % n->count];
        shape4 t = graph_shape(n->g, y);
        if (y != x && s.n == t.n && s.h == t.h && s.w == t.w && (!channels || s.c == t.c)) return y;
    }
    return TENSOR_NONE;
}

static tensor random_conv(network *n, tensor x) {
    shape4 s = graph_shape(n->g, x);
    graph_conv conv = {
        .cout = 8 + 4 * draw(&n->seed, 4), .kernel = 3, .stride = 1, .pad = 1, .bias = draw(&n->seed, 2)};
    switch (draw(&n->seed, 5)) {
    case 0:
        conv.kernel = 1, conv.pad = 0;
        break;
    case 1:
        conv.wrap_x = true, conv.wrap_y = draw(&n->seed, 3) == 0;
        break;
    case 2: /* smaller pictures only while there is something left */
        if (s.h >= 6 && s.w >= 6) conv.stride = 2, conv.pad_after_only = draw(&n->seed, 2);
        break;
    default:
        break;
    }
    if (draw(&n->seed, 3) == 0) {
        conv.vec = graph_linear(n->g, n->vec, "vec", conv.cout + 4, true);
        conv.vec_offset = 4;
    }
    return graph_conv2d(n->g, x, "conv", &conv);
}

static tensor random_attention(network *n, tensor x) {
    uint32_t c = graph_shape(n->g, x).c & ~3u, mode = draw(&n->seed, 3);
    tensor y = graph_layer_norm(n->g, x, "norm", 1e-5f), q, k, v;
    if (mode == 0) { /* one stacked layer, taken apart */
        tensor all = graph_linear_stack(n->g, y, "qkv", 3, (const char *const[]){"sq", "sk", "sv"},
                                        (const uint32_t[]){c, c, c}, true);
        q = graph_slice(n->g, all, 0, c), k = graph_slice(n->g, all, c, c),
        v = graph_slice(n->g, all, 2 * c, c);
    } else {
        q = graph_linear(n->g, y, "q", c, mode == 1), k = graph_linear(n->g, y, "k", c, mode == 1);
        v = graph_linear(n->g, y, "v", c, mode == 1);
    }
    return graph_linear(n->g, graph_attention(n->g, q, k, v, 2, draw(&n->seed, 2), 0), "out",
                        graph_shape(n->g, x).c, true);
}

static tensor random_step(network *n) {
    graph *g = n->g;
    tensor x = recent(n), y;
    shape4 s = graph_shape(g, x);
    switch (draw(&n->seed, 12)) {
    case 0:
        y = graph_group_norm(g, x, "gn", 4, 1e-5f);
        return draw(&n->seed, 2) ? graph_silu(g, y) : y;
    case 1:
        return graph_activation(g, x, UNARY_SILU + draw(&n->seed, 3));
    case 2:
        return (y = partner(n, x, true)) ? graph_add(g, x, y) : x;
    case 3:
        return s.c <= 24 && (y = partner(n, x, false)) && graph_shape(g, y).c <= 24 ? graph_concat(g, x, y)
                                                                                    : x;
    case 4:
        return s.h * s.w <= 200 ? random_conv(n, graph_upsample(g, x)) : x;
    case 5:
        return s.h * s.w <= 150 ? random_attention(n, x) : x;
    case 6:
        return graph_linear(g, graph_geglu(g, graph_linear(g, x, "up", 32, true)), "down", s.c, true);
    case 7:
        return graph_activation(g, graph_linear(g, x, "fc", 12, true), UNARY_SILU + draw(&n->seed, 3));
    case 8:
        y = graph_view(g, x, (shape4){s.n, s.h * s.w, 1, s.c});
        return graph_view(g, graph_linear(g, y, "view", s.c, false), s);
    case 9:
        return s.c > 8 ? graph_slice(g, x, s.c - 8, 8) : x;
    case 10:
        if (s.h % 2 == 0 && s.w % 2 == 0 && s.c <= 8) return graph_pixel_unshuffle(g, x, 2);
        return s.c % 16 == 0 && s.h * s.w <= 200 ? graph_pixel_shuffle(g, x, 2) : x;
    default:
        return random_conv(n, x);
    }
}

static graph *describe(uint64_t seed, dtype type) {
    network n = {.g = graph_create(&host, type, type), .seed = seed};
    graph *g = n.g;
    for (int i = 0; i < 5; i++)
        draw(&n.seed, 2);
    uint32_t h = 7 + draw(&n.seed, 12), w = 6 + draw(&n.seed, 12), c = 8 + 4 * draw(&n.seed, 3);
    n.vec = graph_varying_input(g, "vec", type, (shape4){2, 1, 1, 8});
    n.pool[n.count++] = graph_input(g, "x", type, (shape4){2, h, w, c});
    n.pool[n.count++] = graph_varying_input(g, "z", type, (shape4){2, h, w, c});
    for (uint32_t i = 0; i < 14; i++) {
        graph_scope_begin(g, "s%u", i);
        tensor y = random_step(&n);
        graph_scope_end(g);
        if (y != n.pool[n.count - 1]) n.pool[n.count++] = y;
    }
    graph_output(g, n.pool[n.count - 1], "last");
    graph_output(g, n.pool[n.count / 2], "middle");
    return g;
}

/* --------------------------------------------------------------------------------------------------- running
 * -- */

static float value_of(uint64_t *seed) {
    return (float)draw(seed, 2001) / 1000.0f - 1.0f;
}

static void upload(program *prog, uint32_t buffer, uint64_t first, uint64_t count, const char *name,
                   float scale, float shift) {
    const plan_buffer *b = &prog->plan->buffers[buffer];
    size_t size = dtype_size((dtype)b->dtype);
    void *data = host_calloc(&host, count, size);
    mzt_error error;
    uint64_t seed = 5381;
    for (; *name; name++)
        seed = seed * 33 + (unsigned char)*name;
    for (uint64_t i = 0; i < count; i++)
        dtype_store((dtype)b->dtype, data, i, (double)(value_of(&seed) * scale + shift));
    if (program_write(prog, buffer, first * size, data, count * size, &error) != MZT_OK)
        fail_msg("%s", error.message);
    host_free(&host, data);
}

/* Inputs and weights by name, so that every plan of a network computes the same thing. */
static void fill(program *prog) {
    const plan *p = prog->plan;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].role == PLAN_ROLE_INPUT)
            upload(prog, i, 0, p->buffers[i].bytes / dtype_size((dtype)p->buffers[i].dtype),
                   plan_string(p, p->buffers[i].name), 1, 0);
    for (uint32_t i = 0; i < p->piece_count; i++) {
        const plan_piece *piece = &p->pieces[i];
        uint64_t count = 1, inputs = 1;
        for (uint32_t r = 0; r < piece->rank; r++)
            count *= piece->shape[r];
        for (uint32_t r = 1; r < piece->rank; r++)
            inputs *= piece->shape[r];
        upload(prog, piece->buffer, piece->element, count, plan_string(p, piece->name),
               piece->rank == 1 ? 0.5f : 1.5f / sqrtf((float)inputs), piece->rank == 1 ? 0.7f : 0);
    }
}

typedef struct result {
    float *values;
    uint64_t count;
    uint32_t dispatches, pieces;
    uint64_t largest; /* bytes of the largest weight or partial result, which cannot be cut */
    uint64_t bound;   /* the largest range bound */
} result;

/* False if the graph cannot be cut to this range, which must be said as UNSUPPORTED. */
static bool run_graph(graph *g, uint64_t seed, bool no_fusion, uint64_t max_range, result *out) {
    mzt_error error;
    executor *e;
    program *prog;
    plan *p;
    *out = (result){0};
    mzt_status status =
        graph_compile(g, &(graph_options){.no_fusion = no_fusion, .max_range = max_range}, &p, &error);
    graph_destroy(g);
    if (status == MZT_ERROR_UNSUPPORTED && max_range) return false;
    if (status != MZT_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
    if (plan_check(p, &error) != MZT_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
    assert_int_equal(cpu_reference_create(&host, &e, &error), MZT_OK);
    if (executor_prepare(e, p, &prog, &error) != MZT_OK) fail_msg("%s", error.message);
    fill(prog);
    assert_int_equal(program_seal(prog, &error), MZT_OK);
    for (uint32_t i = 0; i < p->phase_count; i++)
        if (program_run(prog, p->phases[i].first, p->phases[i].count, NULL, &error) != MZT_OK)
            fail_msg("%s", error.message);
    const char *const names[2] = {"last", "middle"};
    for (int i = 0; i < 2; i++) {
        uint32_t buffer = plan_find_buffer(p, names[i]);
        if (buffer == PLAN_NONE) continue;
        uint64_t count = p->buffers[buffer].bytes / 4;
        out->values = host_realloc(&host, out->values, out->count + count, sizeof *out->values);
        assert_int_equal(program_read(prog, buffer, 0, out->values + out->count, count * 4, &error), MZT_OK);
        out->count += count;
    }
    out->dispatches = p->dispatch_count;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        out->pieces += p->dispatches[i].piece > 0;
        for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++)
            if (p->dispatches[i].bindings[b].buffer != PLAN_NONE &&
                p->dispatches[i].bindings[b].range > out->bound)
                out->bound = p->dispatches[i].bindings[b].range;
    }
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == PLAN_WEIGHT && p->buffers[i].bytes > out->largest)
            out->largest = p->buffers[i].bytes;
    program_destroy(prog);
    executor_destroy(e);
    plan_destroy(p);
    return true;
}

static bool run(uint64_t seed, dtype type, bool no_fusion, uint64_t max_range, result *out) {
    return run_graph(describe(seed, type), seed, no_fusion, max_range, out);
}

static double distance(const result *a, const result *b) {
    double difference = 0, size = 0;
    assert_int_equal(a->count, b->count);
    for (uint64_t i = 0; i < a->count; i++) {
        double d = (double)a->values[i] - (double)b->values[i];
        if (!isfinite(a->values[i]) || !isfinite(b->values[i])) fail_msg("a value is not finite");
        difference += d * d;
        size += (double)b->values[i] * (double)b->values[i];
    }
    return sqrt(difference / (size + 1e-30));
}

/* ----------------------------------------------------------------------------------------------------- tests
 * -- */

static void compare_fusion(dtype type, uint64_t seeds, double limit) {
    uint32_t saved = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        result plain, fused;
        run(seed, type, true, 0, &plain);
        run(seed, type, false, 0, &fused);
        double d = distance(&fused, &plain);
        if (!(d <= limit))
            fail_msg("seed %llu: fusion changes the result by %g", (unsigned long long)seed, d);
        assert_true(fused.dispatches <= plain.dispatches);
        saved += plain.dispatches - fused.dispatches;
        host_free(&host, plain.values);
        host_free(&host, fused.values);
    }
    assert_true(saved > 2 * seeds); /* otherwise nothing was tested */
}

static void test_fusion_f32(void **state) {
    (void)state;
    compare_fusion(DTYPE_F32, 60, 2e-5);
}

/* Half precision: at most a few dozen roundings of 2^-11 in a row. */
static void test_fusion_f16(void **state) {
    (void)state;
    compare_fusion(DTYPE_F16, 20, 2e-2);
}

static void compare_cuts(dtype type, uint64_t seeds, bool no_fusion) {
    uint32_t pieces = 0, refused = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        result whole, cut;
        run(seed, type, no_fusion, 0, &whole);
        uint64_t range = whole.largest > whole.bound / 4 ? whole.largest : whole.bound / 4;
        range = (range + 255) / 256 * 256;
        if (run(seed, type, no_fusion, range, &cut)) {
            assert_true(cut.bound <= range);
            if (memcmp(whole.values, cut.values, whole.count * sizeof *whole.values) != 0)
                fail_msg("seed %llu: cutting to %llu bytes changes the result by %g",
                         (unsigned long long)seed, (unsigned long long)range, distance(&cut, &whole));
            pieces += cut.pieces;
        } else {
            refused++;
        }
        host_free(&host, whole.values);
        host_free(&host, cut.values);
    }
    print_message("%u pieces; %u of %u networks cannot be cut so small\n", pieces, refused, (unsigned)seeds);
    assert_true(pieces > 2 * seeds);
    assert_true(refused * 2 <=
                seeds); /* odd sizes are hard to align, and circular rows need a whole sample */
}

static void test_cuts(void **state) {
    (void)state;
    compare_cuts(DTYPE_F32, 40, false);
    compare_cuts(DTYPE_F32, 40, true);
    compare_cuts(DTYPE_BF16, 20, false);
}

/* A 1x1 convolution whose vec changes with the sample, and attention, which is cut between samples. */
static graph *describe_samples(bool attention) {
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){5, 16, 8, 32}),
           vec = graph_input(g, "vec", DTYPE_F32, (shape4){5, 1, 1, 40});
    graph_conv conv = {.cout = 32, .kernel = 1, .stride = 1, .vec = vec, .vec_offset = 8};
    x = graph_conv2d(g, x, "conv", &conv);
    graph_output(g, attention ? graph_attention(g, x, x, x, 4, false, 0) : x, "last");
    return g;
}

/* Ranges of half a sample's rows, one sample, and two and a half. */
static void test_cut_samples(void **state) {
    (void)state;
    const uint64_t sample = 16 * 8 * 32 * 4;
    const struct {
        uint64_t range;
        bool attention;
        uint32_t pieces; /* beyond the first of each node */
    } cases[] = {
        {sample / 2, false, 9}, {sample * 5 / 2, false, 2}, {sample, true, 8}, {sample * 5 / 2, true, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        result whole, cut;
        run_graph(describe_samples(cases[i].attention), i, false, 0, &whole);
        assert_true(run_graph(describe_samples(cases[i].attention), i, false, cases[i].range, &cut));
        assert_int_equal(cut.pieces, cases[i].pieces);
        assert_true(cut.bound <= cases[i].range);
        assert_memory_equal(whole.values, cut.values, whole.count * sizeof *whole.values);
        host_free(&host, cut.values);
        host_free(&host, whole.values);
    }
    result refused; /* attention needs whole samples */
    assert_false(run_graph(describe_samples(true), 0, false, sample / 2, &refused));
}

/* CLIP's way into a device with small bindings: a table larger than the range is read in windows. */
static void test_table_windows(void **state) {
    (void)state;
    float *values[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        mzt_error error;
        executor *e;
        program *prog;
        plan *p;
        graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
        tensor ids = graph_input(g, "ids", DTYPE_U32, (shape4){2, 11, 1, 1});
        graph_output(g, graph_embedding(g, ids, "table", 1000, 12, "positions", 16), "y");
        assert_int_equal(graph_compile(g, &(graph_options){.max_range = i ? 8192 : 0}, &p, &error), MZT_OK);
        graph_destroy(g);
        assert_int_equal(p->dispatch_count,
                         i ? 7
                           : 1); /* 8192 bytes hold 170 rows of 48, of which 160 end at a multiple of 256 */
        assert_int_equal(cpu_reference_create(&host, &e, &error), MZT_OK);
        assert_int_equal(executor_prepare(e, p, &prog, &error), MZT_OK);
        fill(prog);
        uint32_t list[22];
        for (uint32_t k = 0; k < 22; k++)
            list[k] = k * 47;
        list[21] = 5000; /* beyond the vocabulary: reads row 0 */
        assert_int_equal(program_write(prog, plan_find_buffer(p, "ids"), 0, list, sizeof list, &error),
                         MZT_OK);
        assert_int_equal(program_seal(prog, &error), MZT_OK);
        assert_int_equal(program_run_phase(prog, "main", NULL, &error), MZT_OK);
        values[i] = host_calloc(&host, 22 * 12, sizeof *values[i]);
        assert_int_equal(program_read(prog, plan_find_buffer(p, "y"), 0, values[i], 22 * 12 * 4, &error),
                         MZT_OK);
        program_destroy(prog);
        executor_destroy(e);
        plan_destroy(p);
    }
    assert_memory_equal(values[0], values[1], 22 * 12 * sizeof *values[0]);
    host_free(&host, values[0]);
    host_free(&host, values[1]);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fusion_f32),  cmocka_unit_test(test_fusion_f16),    cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_cut_samples), cmocka_unit_test(test_table_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
