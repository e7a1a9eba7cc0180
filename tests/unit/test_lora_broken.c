/* LoRA files that are broken on purpose: one line that says what is wrong, and never a crash. */
#include <math.h>

#define FOLDER MZT_BINARY_DIR "/test_lora_broken"
#include "lora_files.h"

#include "alloc_count.h"

/* Adding (or applying, or reading) the file fails with a line that holds `words`. */
static void expect_error(const char *file, double scale, mzt_status wanted, const char *words) {
    lora_stack *stack;
    weights_set *set = NULL;
    float values[OUT * IN * KERNEL * KERNEL];
    must(lora_stack_create(&host, &stack, &error));
    mzt_status status = lora_stack_add(stack, path_of(file), scale, &error);
    if (status >= 0) status = lora_stack_apply(stack, LORA_UNET, unet, &set, &error);
    if (status >= 0 && set)
        status = weights_convert(weights_find(set, LINEAR ".weight"), 0, OUT * IN, DTYPE_F32, values, &error);
    if (status != wanted) fail_msg("%s: status %d, expected %d (%s)", words, (int)status, (int)wanted, words);
    if (!strstr(error.message, words)) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
    weights_close(set);
    lora_stack_destroy(stack);
}

/* A file with this down and up of the linear layer, and an alpha unless it is 0. */
static void put_pair(uint64_t rank, uint64_t in, uint64_t out, uint64_t up_rank, float alpha) {
    maker m = {.count = 0};
    make(&m, KOHYA ".lora_down.weight", SHAPE(rank, in));
    make(&m, KOHYA ".lora_up.weight", SHAPE(out, up_rank));
    if (alpha != 0) make_scalar(&m, KOHYA ".alpha", alpha);
    save(&m, "broken", NULL, 0);
}

static void test_broken(void **state) {
    (void)state;
    maker m = {.count = 0};
    put_pair(2, IN, OUT, 3, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "different ranks");
    put_pair(0, IN, OUT, 0, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "its rank is 0");
    put_pair(2, IN + 1, OUT, 2, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "make [6,6], which does not fit \"" LINEAR ".weight\" [6,5]");
    put_pair(2, IN, OUT + 1, 2, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "which does not fit");
    put_pair(7, IN, OUT, 7, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "its rank is larger than");
    put_pair(2, IN, OUT, 2, NAN);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "alpha is nan");
    put_pair(2, IN, OUT, 2, 1e30f);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "alpha is 1e+30");
    put_pair(2, IN, OUT, 2, 1);
    expect_error("broken", (double)INFINITY, MZT_ERROR_INVALID, "scale inf");
    expect_error("broken", 1e9, MZT_ERROR_INVALID, "scale 1e+09");
    expect_error("absent", 1, MZT_ERROR_NOT_FOUND, "absent.safetensors");

    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "one of its two matrices (down, up) is missing");
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2))[3] = NAN;
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "makes \"" LINEAR ".weight\" infinite or NaN");
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2));
    make(&m, KOHYA ".alpha", SHAPE(2));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "expected one value");
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2));
    make(&m, KOHYA ".hada_w1_a", SHAPE(OUT, 2));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "several kinds");
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, "unet." LINEAR ".lora_A.weight", SHAPE(2, IN));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "has this matrix twice");
    make(&m, KOHYA ".hada_w1_a", SHAPE(OUT, 2));
    make(&m, KOHYA ".hada_w1_b", SHAPE(3, IN)); /* 2 and 3 */
    make(&m, KOHYA ".hada_w2_a", SHAPE(OUT, 2));
    make(&m, KOHYA ".hada_w2_b", SHAPE(2, IN));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "do not fit each other");
    make(&m, KOHYA ".lokr_w1", SHAPE(2, 1));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "(lokr_...) is missing");
    make(&m, KOHYA ".alpha", SHAPE(1));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "an alpha without matrices");
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2));
    make(&m, KOHYA ".dora_scale", SHAPE(OUT, 1));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_UNSUPPORTED, "dora_scale\": this kind of adapter");
    make(&m, CONV ".lora_down.weight", SHAPE(2, IN, 1, 9)); /* as many elements as 3 x 3 */
    make(&m, CONV ".lora_up.weight", SHAPE(OUT, 2, 1, 1));
    save(&m, "broken", NULL, 0);
    expect_error("broken", 1, MZT_ERROR_FORMAT, "does not fit");
    expect_error("unet", 1, MZT_ERROR_FORMAT, "none of its 12 tensors is a LoRA's");

    put_pair(3, IN, OUT, 3, 0);
    FILE *f = fopen(path_of("broken"), "rb");
    char bytes[4000];
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t cut = 0; cut < size; cut += 13) { /* cut off anywhere: an error, never a crash */
        lora_stack *stack;
        must(lora_stack_create(&host, &stack, &error));
        assert_true(lora_stack_add_memory(stack, "cut", bytes, cut, 1, &error) < 0);
        lora_stack_destroy(stack);
    }
}

/* Every allocation fails once: an error each time, and nothing is left behind. */
static void test_out_of_memory(void **state) {
    (void)state;
    alloc_count counts = {0};
    put_pair(3, IN, OUT, 3, 0);
    const base_host plain = host;
    host = alloc_count_host(&counts);
    for (long fail = 1;; fail++) {
        lora_stack *stack = NULL;
        weights_set *set = NULL;
        float values[OUT * IN];
        counts = (alloc_count){.fail_at = fail};
        mzt_status status = lora_stack_create(&host, &stack, &error);
        if (status >= 0) status = lora_stack_add(stack, path_of("broken"), 1, &error);
        if (status >= 0) status = lora_stack_apply(stack, LORA_UNET, unet, &set, &error);
        if (status >= 0)
            status =
                weights_convert(weights_find(set, LINEAR ".weight"), 0, OUT * IN, DTYPE_F32, values, &error);
        weights_close(set);
        lora_stack_destroy(stack);
        assert_int_equal(counts.live, 0);
        if (status >= 0) break;
        assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
    }
    host = plain;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
