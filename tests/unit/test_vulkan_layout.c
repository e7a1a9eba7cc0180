/* Where the Vulkan executor places a plan's buffers: nothing leaves its shard, nothing that the plan keeps
 * apart comes together, and shards respect the limit. Needs no device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tiny_plan.h"
#include "vulkan/layout.h"

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end) {
    return a < b_end && b < a_end;
}

/* Checks every pair of buffers. */
static void check_layout(const plan *p, const vulkan_layout *layout, uint64_t limit) {
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *x = &p->buffers[i];
        const vulkan_place *at = &layout->places[i];
        assert_true(at->shard < layout->shard_count);
        assert_true(x->kind == PLAN_WEIGHT ? at->shard >= layout->arena_shards
                                           : at->shard < layout->arena_shards);
        assert_true(at->offset % PLAN_ALIGNMENT == 0 && layout->shard_bytes[at->shard] <= limit);
        assert_true(at->offset + align_up(x->bytes, 4) <= layout->shard_bytes[at->shard]);
        for (uint32_t j = 0; j < i; j++) {
            const plan_buffer *y = &p->buffers[j];
            const vulkan_place *other = &layout->places[j];
            bool meet = at->shard == other->shard &&
                        overlap(at->offset, at->offset + x->bytes, other->offset, other->offset + y->bytes);
            bool may_meet = x->kind != PLAN_WEIGHT && y->kind != PLAN_WEIGHT &&
                            overlap(x->offset, x->offset + x->bytes, y->offset, y->offset + y->bytes);
            assert_int_equal(meet, may_meet);
        }
    }
}

/* Random arenas with and without overlaps, and random weights, under limits that force many shards or one. */
static void test_random(void **state) {
    (void)state;
    uint32_t seed = 1, refused = 0, split = 0;
    base_host host = host_make(NULL);
    for (uint32_t round = 0; round < 400; round++) {
        tiny_plan t;
        tiny_begin(&t, &host, DTYPE_F32, DTYPE_F32);
        for (uint32_t i = 0; i < 24; i++) {
            seed = seed * 1664525u + 1013904223u;
            uint32_t index =
                tiny_buffer(&t, seed >> 20 & 1 ? PLAN_WEIGHT : PLAN_ARENA, DTYPE_F32, (seed >> 8) % 900);
            plan_buffer *b = &t.buffers[index];
            if (b->kind == PLAN_ARENA && (seed >> 24) % 4 == 0 && b->offset >= 1024) b->offset -= 1024;
        }
        uint64_t limit = 256u << (round % 10);
        vulkan_layout layout;
        mzt_error error;
        mzt_status status = vulkan_layout_create(&host, &t.plan, limit, &layout, &error);
        if (status == MZT_OK) {
            check_layout(&t.plan, &layout, limit);
            split += layout.shard_count > 2;
        } else {
            assert_int_equal(status, MZT_ERROR_UNSUPPORTED);
            assert_non_null(strstr(error.message, "in one piece"));
            refused++;
        }
        vulkan_layout_destroy(&host, &layout);
    }
    assert_true(refused > 40 && split > 40);
}

/* Weights share shards of 1 GiB; one that is larger has its own. Sizes that overflow are refused. */
static void test_weights(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    tiny_plan t;
    vulkan_layout layout;
    mzt_error error;
    const uint32_t million = 1u << 20;
    tiny_begin(&t, &host, DTYPE_F32, DTYPE_F32);
    for (uint32_t i = 0; i < 4; i++)
        tiny_buffer(&t, PLAN_WEIGHT, DTYPE_F32, 100 * million); /* two of these fit */
    uint32_t large = tiny_buffer(&t, PLAN_WEIGHT, DTYPE_F32, 400 * million);
    assert_int_equal(vulkan_layout_create(&host, &t.plan, (uint64_t)1 << 31, &layout, &error), MZT_OK);
    check_layout(&t.plan, &layout, (uint64_t)1 << 31);
    assert_int_equal(layout.shard_count, 3);
    assert_int_equal(layout.places[large].shard, 2);
    vulkan_layout_destroy(&host, &layout);
    assert_int_equal(vulkan_layout_create(&host, &t.plan, (uint64_t)1 << 30, &layout, &error),
                     MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "b4"));
    t.buffers[large].bytes = UINT64_MAX - 3;
    assert_int_equal(vulkan_layout_create(&host, &t.plan, UINT64_MAX, &layout, &error), MZT_ERROR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
