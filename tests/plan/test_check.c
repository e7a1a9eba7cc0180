/* The plan checker: a sound plan passes; each planted fault is caught, and its message names what is at
 * fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "plan/plan.h"

/* A small plan by hand: main = scale x -> a; scale a -> b; add a, b -> c; linear c, weight -> y. 64 rows of
 * 16 f32, 4096 bytes a buffer; c lies where nothing else lives. */
enum { X, A, B, C, Y, WEIGHT, BUFFERS };
enum { SCALE_A, SCALE_B, ADD, LINEAR, DISPATCHES };
#define BYTES 4096u

static const char strings[] = "\0x\0a\0b\0c\0y\0weight\0scale_a\0scale_b\0add\0linear\0main";
enum {
    S_X = 1,
    S_A = 3,
    S_B = 5,
    S_C = 7,
    S_Y = 9,
    S_WEIGHT = 11,
    S_SCALE_A = 18,
    S_SCALE_B = 26,
    S_ADD = 34,
    S_LINEAR = 38,
    S_MAIN = 45
};

typedef struct fixture {
    base_host host;
    plan p;
    plan_buffer buffers[BUFFERS];
    plan_piece piece;
    plan_dispatch dispatches[DISPATCHES];
    plan_phase phase;
    char text[sizeof strings];
} fixture;

static plan_binding bound(uint32_t buffer) {
    return (plan_binding){.buffer = buffer, .range = buffer == WEIGHT ? 1024 : BYTES};
}

static void make_dispatch(plan_dispatch *d, op o, uint32_t node, uint32_t count, const uint32_t *buffers) {
    *d = (plan_dispatch){.op = o, .node = node, .barrier = 1};
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++) {
        d->bindings[i] = (plan_binding){.buffer = PLAN_NONE};
        if (i < count && buffers[i] != PLAN_NONE) d->bindings[i] = bound(buffers[i]);
    }
}

static int make(void **state) {
    static fixture f;
    memset(&f, 0, sizeof f);
    f.host = host_make(NULL);
    memcpy(f.text, strings, sizeof strings);
    const uint32_t names[] = {S_X, S_A, S_B, S_C, S_Y};
    for (uint32_t i = X; i <= Y; i++)
        f.buffers[i] = (plan_buffer){.name = names[i],
                                     .kind = PLAN_ARENA,
                                     .shape = {1, 64, 1, 16},
                                     .bytes = BYTES,
                                     .offset = i * BYTES};
    f.buffers[X].kind = f.buffers[Y].kind = PLAN_PERSISTENT;
    f.buffers[X].role = PLAN_ROLE_INPUT;
    f.buffers[Y].role = PLAN_ROLE_OUTPUT;
    f.buffers[WEIGHT] =
        (plan_buffer){.name = S_WEIGHT, .kind = PLAN_WEIGHT, .shape = {1, 1, 16, 16}, .bytes = 1024};
    f.piece = (plan_piece){.buffer = WEIGHT, .name = S_WEIGHT, .rank = 2, .shape = {16, 16}};
    make_dispatch(&f.dispatches[SCALE_A], OP_UNARY, S_SCALE_A, 2, (uint32_t[]){X, A});
    make_dispatch(&f.dispatches[SCALE_B], OP_UNARY, S_SCALE_B, 2, (uint32_t[]){A, B});
    f.dispatches[SCALE_A].params.unary = f.dispatches[SCALE_B].params.unary =
        (unary_params){.count = 1024, .scale = 2};
    make_dispatch(&f.dispatches[ADD], OP_BINARY, S_ADD, 3, (uint32_t[]){A, B, C});
    f.dispatches[ADD].params.binary =
        (binary_params){.count = 1024, .b_count = 1024, .a_scale = 1, .b_scale = 1};
    make_dispatch(&f.dispatches[LINEAR], OP_LINEAR, S_LINEAR, 7,
                  (uint32_t[]){C, PLAN_NONE, WEIGHT, PLAN_NONE, PLAN_NONE, PLAN_NONE, Y});
    f.dispatches[LINEAR].params.linear = (linear_params){.m = 64, .n = 16, .k0 = 16};
    f.phase = (plan_phase){.name = S_MAIN, .first = 0, .count = DISPATCHES};
    f.p = (plan){.host = &f.host,
                 .arena_bytes = 5 * BYTES,
                 .weight_bytes = 1024,
                 .buffers = f.buffers,
                 .buffer_count = BUFFERS,
                 .pieces = &f.piece,
                 .piece_count = 1,
                 .dispatches = f.dispatches,
                 .dispatch_count = DISPATCHES,
                 .phases = &f.phase,
                 .phase_count = 1,
                 .strings = f.text,
                 .string_bytes = sizeof strings};
    *state = &f;
    return 0;
}

/* The checker must refuse the plan with a message that contains all the given words. */
static void refuse(const fixture *f, const char *first, const char *second, const char *third) {
    mzt_error error = {0};
    mzt_status status = plan_check(&f->p, &error);
    if (status == MZT_OK) fail_msg("the fault went unnoticed: %s", first);
    assert_int_equal(status, error.status);
    const char *const words[] = {first, second, third};
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(error.message, words[i]))
            fail_msg("\"%s\" does not name %s", error.message, words[i]);
    assert_null(strchr(error.message, '\n'));
}

static void accept(const fixture *f) {
    mzt_error error = {0};
    if (plan_check(&f->p, &error) != MZT_OK) fail_msg("%s", error.message);
}

static void test_sound(void **state) {
    accept(*state);
}

/* ---------------------------------------------------------------------------------------------------- values
 * -- */

/* c over b: the addition reads b while it writes c. */
static void test_shared_bytes(void **state) {
    fixture *f = *state;
    f->buffers[C].offset = f->buffers[B].offset;
    refuse(f, "add", "share bytes", "b");
}

/* b over a: a is overwritten by scale_b and still read by the addition. First moved apart by half, then
 * fully. */
static void test_overlapping_lives(void **state) {
    fixture *f = *state;
    f->dispatches[SCALE_B].bindings[0] = bound(X); /* b no longer reads a itself */
    accept(f);
    f->buffers[B].offset = f->buffers[A].offset + BYTES / 2;
    f->buffers[C].offset = 3 * BYTES;
    refuse(f, "add", "(a)", "overwritten");
    f->buffers[B].offset = f->buffers[A].offset;
    refuse(f, "add", "overwritten", "dispatch 1");
}

/* Bytes may be used again when nobody reads the old value any more. */
static void test_reuse_is_fine(void **state) {
    fixture *f = *state;
    f->dispatches[ADD].bindings[0] = bound(X);
    f->buffers[C].offset = f->buffers[A].offset; /* a is last read by scale_b */
    accept(f);
}

static void test_persistent_overlap(void **state) {
    fixture *f = *state;
    f->buffers[C].offset = f->buffers[X].offset; /* x is not read after its first use, but it is persistent */
    refuse(f, "(c)", "(x)", "persistent");
}

static void test_unwritten(void **state) {
    fixture *f = *state;
    f->dispatches[SCALE_A].params.unary.count = 1000; /* the last 24 elements of a are missing */
    refuse(f, "scale_b", "(a)", "not written");
}

static void test_unwritten_output(void **state) {
    fixture *f = *state;
    f->dispatches[LINEAR].params.linear.m = 63;
    refuse(f, "(y)", "output", "not written");
}

/* The second phase may not rely on arena bytes of the first; it may on persistent ones. */
static void test_phases(void **state) {
    fixture *f = *state;
    plan_phase phases[2] = {{S_A, 0, 2}, {S_MAIN, 2, 2}};
    f->p.phases = phases;
    f->p.phase_count = 2;
    refuse(f, "add", "(a)", "not written");
    f->buffers[A].kind = f->buffers[B].kind = PLAN_PERSISTENT;
    accept(f);
    phases[1].first = 3;
    refuse(f, "phase 1", NULL, NULL);
}

/* ---------------------------------------------------------------------------------------------------
 * barriers -- */

static void test_missing_barriers(void **state) {
    fixture *f = *state;
    f->dispatches[SCALE_B].barrier = 0;
    refuse(f, "scale_b", "read after write", "(a)");
    f->dispatches[SCALE_B].barrier = 1;
    f->dispatches[0].barrier = 0;
    refuse(f, "phase 0", "barrier", NULL);
}

static void test_write_after_read(void **state) {
    fixture *f = *state;
    f->dispatches[ADD].bindings[0] = f->dispatches[ADD].bindings[1] = bound(X);
    f->buffers[C].offset = f->buffers[A].offset; /* c over a, which scale_b may still be reading */
    f->dispatches[ADD].barrier = 0;
    refuse(f, "add", "write after read", "scale_b");
    f->dispatches[ADD].barrier = 1;
    accept(f);
}

static void test_write_after_write(void **state) {
    fixture *f = *state;
    f->dispatches[SCALE_B].bindings[0] = f->dispatches[ADD].bindings[0] = f->dispatches[ADD].bindings[1] =
        bound(X);
    f->buffers[B].offset = f->buffers[A].offset;
    f->dispatches[SCALE_B].barrier = 0;
    refuse(f, "scale_b", "write after write", "scale_a");
    f->dispatches[SCALE_B].barrier = 1;
    accept(f);
}

/* Barriers are placed exactly where needed: here two independent dispatches run side by side. */
static void test_place(void **state) {
    fixture *f = *state;
    mzt_error error;
    f->dispatches[SCALE_B].bindings[0] = bound(X);
    for (int i = 0; i < DISPATCHES; i++)
        f->dispatches[i].barrier = 0;
    assert_int_equal(plan_place_barriers(&f->p, &error), MZT_OK);
    const uint32_t expected[DISPATCHES] = {1, 0, 1, 1};
    for (int i = 0; i < DISPATCHES; i++)
        assert_int_equal(f->dispatches[i].barrier, expected[i]);
    accept(f);
}

/* -----------------------------------------------------------------------------------------------------
 * bounds -- */

static void test_ranges(void **state) {
    fixture *f = *state;
    f->dispatches[ADD].bindings[1].range = BYTES + 256;
    refuse(f, "add", "(b)", "outside");
    f->dispatches[ADD].bindings[1].range = UINT64_MAX;
    refuse(f, "add", "(b)", "outside");
    f->dispatches[ADD].bindings[1] = (plan_binding){B, 0, 256, BYTES};
    refuse(f, "add", "(b)", "outside");
    f->dispatches[ADD].bindings[1] = (plan_binding){B, 0, 100, BYTES - 256};
    refuse(f, "add", "(b)", "multiple");
    f->dispatches[ADD].bindings[1] = (plan_binding){B, 0, 0, BYTES - 256};
    refuse(f, "add", "(b)", "elements");
    f->dispatches[ADD].bindings[1] = (plan_binding){BUFFERS, 0, 0, BYTES};
    refuse(f, "add", "buffer 6", NULL);
}

static void test_bindings(void **state) {
    fixture *f = *state;
    f->dispatches[ADD].bindings[1].buffer = PLAN_NONE;
    refuse(f, "add", "b is missing", NULL);
    f->dispatches[ADD].bindings[1] = bound(B);
    f->dispatches[ADD].bindings[4] = bound(B);
    refuse(f, "add", "binding 4", NULL);
    f->dispatches[ADD].bindings[4].buffer = PLAN_NONE;
    f->dispatches[LINEAR].params.linear.flags = EPILOGUE_BIAS; /* announces a bias that is not bound */
    refuse(f, "linear", "bias is missing", NULL);
    f->dispatches[LINEAR].params.linear.flags = 0;
    f->dispatches[LINEAR].bindings[6] = bound(WEIGHT);
    refuse(f, "linear", "must not be written", "(weight)");
    f->dispatches[LINEAR].bindings[6] = bound(X);
    refuse(f, "linear", "must not be written", "(x)");
}

static void test_types(void **state) {
    fixture *f = *state;
    f->buffers[B].dtype = DTYPE_U32;
    refuse(f, "scale_b", "(b)", "u32");
    f->buffers[B].dtype = DTYPE_F32;
    f->p.weight = DTYPE_F16;
    refuse(f, "linear", "weight", "f32");
    f->p.weight = DTYPE_U32;
    refuse(f, "weight type", NULL, NULL);
}

static void test_parameters(void **state) {
    fixture *f = *state;
    f->dispatches[ADD].params.binary.b_count = 0;
    refuse(f, "add", "b_count", NULL);
    f->dispatches[ADD].params.binary.b_count = 1000;
    refuse(f, "add", "b_count", "divisor");
    f->dispatches[ADD].params.binary.b_count = 1024;
    f->dispatches[LINEAR].params.linear.flags = EPILOGUE_SILU | EPILOGUE_GELU;
    refuse(f, "linear", "flags", "activation");
    f->dispatches[LINEAR].params.linear.flags = 1u << 20;
    refuse(f, "linear", "flags", "known");
    f->dispatches[LINEAR].params.linear.flags = 0;
    f->dispatches[LINEAR].params.linear.m = UINT32_MAX;
    refuse(f, "linear", "2^32", NULL);
    f->dispatches[LINEAR].params.linear.m = 64;
    f->dispatches[LINEAR].params.first = 1;
    refuse(f, "linear", "first workgroup", NULL);
    f->dispatches[LINEAR].params.first = 0;
    f->dispatches[LINEAR].op = OP_COUNT;
    refuse(f, "dispatch 3", "is unknown", NULL);
}

static void test_buffers(void **state) {
    fixture *f = *state;
    f->buffers[B].bytes = BYTES - 4;
    refuse(f, "(b)", "shape", NULL);
    f->buffers[B].bytes = BYTES;
    f->buffers[B].offset = 4 * BYTES + 256;
    refuse(f, "(b)", "outside", NULL);
    f->buffers[B].offset = UINT64_MAX - 255;
    refuse(f, "(b)", "outside", NULL);
    f->buffers[B].offset = 100;
    refuse(f, "(b)", "multiple", NULL);
    f->buffers[B].offset = 2 * BYTES;
    f->buffers[Y].name = S_X;
    refuse(f, "buffer 4", "same name", NULL);
    f->buffers[Y].name = sizeof strings;
    refuse(f, "buffer 4", NULL, NULL);
    f->buffers[Y].name = S_Y;
    f->p.weight_bytes = 1000;
    refuse(f, "weights", NULL, NULL);
    f->p.weight_bytes = 1024;
    f->text[sizeof strings - 1] = 'x';
    refuse(f, "string table", NULL, NULL);
}

static void test_pieces(void **state) {
    fixture *f = *state;
    f->piece.shape[0] = 15;
    refuse(f, "weight", "gaps", NULL);
    f->piece.shape[0] = 17;
    refuse(f, "weight", "gaps", NULL);
    f->piece.shape[0] = 16;
    f->piece.element = 1;
    refuse(f, "weight", "gaps", NULL);
    f->piece.element = 0;
    f->piece.buffer = A;
    refuse(f, "weight", "buffer 1", NULL);
    f->piece.buffer = WEIGHT;
    f->piece.rank = 5;
    refuse(f, "weight", "rank", NULL);
}

/* A matrix in blocks: rows of 32 elements pass; half rows, windows, and anything but weights do not. */
static void test_blocks(void **state) {
    fixture *f = *state;
    plan_buffer *w = &f->buffers[WEIGHT];
    *w = (plan_buffer){
        .name = S_WEIGHT, .kind = PLAN_WEIGHT, .dtype = DTYPE_Q8, .shape = {1, 1, 32, 32}, .bytes = 1152};
    f->p.weight_bytes = 1152;
    f->piece.shape[0] = f->piece.shape[1] = 32;
    f->dispatches[LINEAR].bindings[2].range = 1152;
    linear_params *p = &f->dispatches[LINEAR].params.linear;
    *p = (linear_params){.m = 32, .n = 32, .k0 = 32};
    accept(f);
    w->bytes = 1024;
    refuse(f, "weight", "1024 bytes", NULL);
    w->bytes = 1152;
    f->dispatches[LINEAR].bindings[2].range = 1151;
    refuse(f, "linear", "1024 elements", "1151");
    f->dispatches[LINEAR].bindings[2].range = 1152;
    *p = (linear_params){.m = 64, .n = 16, .k0 = 16};
    refuse(f, "linear", "whole blocks", "q8");
    *p = (linear_params){.m = 32, .n = 32, .k0 = 32};
    w->dtype = DTYPE_F16; /* a matrix may be stored in another type than the plan's weights */
    w->bytes = f->p.weight_bytes = f->dispatches[LINEAR].bindings[2].range = 2048;
    accept(f);
    f->buffers[C].dtype = DTYPE_Q8;
    f->buffers[C].bytes = 1152;
    refuse(f, "(c)", "only weights", "q8");
}

static void test_finds(void **state) {
    fixture *f = *state;
    assert_int_equal(plan_find_buffer(&f->p, "y"), Y);
    assert_int_equal(plan_find_buffer(&f->p, ""), PLAN_NONE);
    assert_int_equal(plan_find_phase(&f->p, "main"), 0);
    assert_int_equal(plan_find_phase(&f->p, "step"), PLAN_NONE);
    assert_int_equal(plan_find_dispatch(&f->p, "add"), ADD);
    assert_int_equal(plan_find_dispatch(&f->p, "3"), LINEAR);
    assert_int_equal(plan_find_dispatch(&f->p, "4"), PLAN_NONE);
    assert_int_equal(plan_find_dispatch(&f->p, "99999999999999999999"), PLAN_NONE);
    assert_int_equal(plan_find_dispatch(&f->p, "1x"), PLAN_NONE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, make)
    const struct CMUnitTest tests[] = {
        TEST(test_sound),
        TEST(test_shared_bytes),
        TEST(test_overlapping_lives),
        TEST(test_reuse_is_fine),
        TEST(test_persistent_overlap),
        TEST(test_unwritten),
        TEST(test_unwritten_output),
        TEST(test_phases),
        TEST(test_missing_barriers),
        TEST(test_write_after_read),
        TEST(test_write_after_write),
        TEST(test_place),

        TEST(test_ranges),
        TEST(test_bindings),
        TEST(test_types),
        TEST(test_parameters),
        TEST(test_buffers),
        TEST(test_pieces),
        TEST(test_blocks),
        TEST(test_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
