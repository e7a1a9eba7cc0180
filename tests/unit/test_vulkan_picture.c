/* Pictures into the host's own images and buffers: the same bytes as in host memory, from every element type,
 * into every format, behind the host's semaphores; and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "image/image.h"
#include "tiny_plan.h"
#include "vulkan_host.h"

enum { DEVICES = 8, WIDTH = 37, HEIGHT = 29, PIXELS = WIDTH * HEIGHT };

static vulkan_host h;

static void ok(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* What an 8-bit conversion gets wrong first: the middles between two values, and what is no number. */
static float sample(uint32_t i) {
    static const uint32_t odd[] = {0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000, 0x80000000,
                                   1,          0x3f800000, 0xbf800000, 0x3f800001, 0xbf800001,
                                   0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x387fffff,
                                   0x38800000, 0x3a000fff, 0x3f7fffff, 0x42fe0000, 0xc2fe0000};
    float value;
    if (i < sizeof odd / sizeof *odd) {
        memcpy(&value, &odd[i], sizeof value);
        return value;
    }
    uint32_t step = i % 513; /* halves of a 255th, and their neighbours */
    value = ((float)step - 0.5f) / 255 - 1;
    return i % 3 == 0 ? value : i % 3 == 1 ? nextafterf(value, 2) : nextafterf(value, -2);
}

typedef struct picture {
    tiny_plan plan;
    program *program;
    uint32_t channels;
    float values[PIXELS * 4]; /* as the buffer holds them, widened */
} picture;

/* A program whose buffer 0 holds the picture; its one dispatch is never run. */
static void picture_make(picture *p, executor *e, dtype type, uint32_t channels) {
    mzt_error error;
    uint8_t *data = malloc(PIXELS * 4 * sizeof(float));
    assert_non_null(data);
    tiny_begin(&p->plan, e->host, DTYPE_F32, DTYPE_F32);
    tiny_buffer(&p->plan, PLAN_PERSISTENT, DTYPE_F32, 5);
    uint32_t index = tiny_buffer(&p->plan, PLAN_PERSISTENT, type, PIXELS * channels);
    plan_buffer *b = &p->plan.buffers[index];
    b->shape[0] = 1;
    b->shape[1] = HEIGHT;
    b->shape[2] = WIDTH;
    b->shape[3] = p->channels = channels;
    for (uint32_t i = 0; i < PIXELS * channels; i++) {
        float value = sample(i);
        dtype_convert(type, data + i * dtype_size(type), DTYPE_F32, &value, 1);
        dtype_convert(DTYPE_F32, &p->values[i], type, data + i * dtype_size(type), 1);
    }
    ok(executor_prepare(e, &p->plan.plan, &p->program, &error), &error);
    ok(program_write(p->program, index, 0, data, b->bytes, &error), &error);
    free(data);
}

/* What the target should hold, by the host's own conversion. */
static uint32_t expect(const picture *p, VkFormat format, uint8_t *out) {
    image bytes;
    mzt_error error;
    ok(image_from_floats(&h.host, p->values, WIDTH, HEIGHT, p->channels, &bytes, &error), &error);
    uint32_t size = format == VK_FORMAT_R32G32B32A32_SFLOAT   ? 16
                    : format == VK_FORMAT_R16G16B16A16_SFLOAT ? 8
                                                              : 4;
    bool swap = format == VK_FORMAT_B8G8R8A8_UNORM || format == VK_FORMAT_B8G8R8A8_SRGB;
    for (uint32_t i = 0; i < PIXELS; i++) {
        for (uint32_t c = 0; c < 4; c++) {
            bool there = c < p->channels;
            float value = there ? p->values[i * p->channels + c] : 1;
            uint16_t half = f16_from_f32(value);
            uint32_t place = swap && c < 3 ? 2 - c : c;
            if (size == 16) memcpy(out + i * 16 + c * 4, &value, 4);
            if (size == 8) memcpy(out + i * 8 + c * 2, &half, 2);
            if (size == 4) out[i * 4 + place] = there ? bytes.pixels[i * p->channels + c] : 255;
        }
    }
    image_free(&h.host, &bytes);
    return size;
}

/* Halves that are not numbers may differ in bits nobody can see. */
static void compare(const uint8_t *found, const uint8_t *expected, uint32_t size) {
    for (uint32_t i = 0; i < PIXELS * size; i++) {
        if (found[i] == expected[i]) continue;
        fail_msg("byte %u of pixel %u, %u: %02x, expected %02x", i % size, i / size % WIDTH, i / size / WIDTH,
                 found[i], expected[i]);
    }
}

static vulkan_picture_target target_of(const vulkan_host_target *t, VkFormat format) {
    return (vulkan_picture_target){.image = t->image,
                                   .buffer = t->buffer,
                                   .format = format,
                                   .old_layout = VK_IMAGE_LAYOUT_UNDEFINED,
                                   .new_layout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                                   .from_family = VK_QUEUE_FAMILY_IGNORED,
                                   .to_family = VK_QUEUE_FAMILY_IGNORED};
}

static void wait_for_pictures(executor *e) {
    mzt_error error;
    mzt_status status;
    while ((status = vulkan_pictures_done(e, &error)) == MZT_PENDING) {
    }
    ok(status, &error);
}

static executor *import(void) {
    vulkan_import from = vulkan_host_import(&h);
    vulkan_options options = vulkan_host_options();
    executor *e;
    mzt_error error;
    ok(vulkan_executor_import(&h.host, &options, &from, &e, &error), &error);
    return e;
}

static void into_image(executor *e, const picture *p, VkFormat format, bool timeline) {
    static uint8_t found[PIXELS * 16], expected[PIXELS * 16];
    mzt_error error;
    uint32_t size = expect(p, format, expected);
    vulkan_host_target t = vulkan_host_image(&h, format, WIDTH, HEIGHT);
    vulkan_picture_target target = target_of(&t, format);
    target.wait = vulkan_host_semaphore(&h, timeline);
    target.signal = vulkan_host_semaphore(&h, timeline);
    target.wait_value = timeline ? 3 : 0;
    target.signal_value = timeline ? 5 : 0;
    vulkan_host_signal(&h, target.wait, target.wait_value);
    assert_int_equal(vulkan_program_write_picture(p->program, 1, &target, &error), MZT_OK);
    vulkan_host_read(&h, &t, WIDTH, HEIGHT, size, target.signal, target.signal_value, found);
    compare(found, expected, size);
    wait_for_pictures(e);
    vulkan_host_semaphore_destroy(&h, target.wait);
    vulkan_host_semaphore_destroy(&h, target.signal);
    vulkan_host_target_destroy(&h, &t);
}

static void into_buffer(executor *e, const picture *p, VkFormat format, uint64_t offset, uint64_t gap) {
    enum { ROOM = PIXELS * 16 + HEIGHT * 64 + 64 };
    static uint8_t found[PIXELS * 16], expected[PIXELS * 16];
    mzt_error error;
    uint32_t size = expect(p, format, expected);
    vulkan_host_target t = vulkan_host_buffer(&h, ROOM);
    vulkan_picture_target target = target_of(&t, format);
    target.buffer_offset = offset;
    target.buffer_row_bytes = gap ? (uint64_t)WIDTH * size + gap : 0;
    memset(t.mapped, 0xa5, ROOM);
    assert_int_equal(vulkan_program_write_picture(p->program, 1, &target, &error), MZT_OK);
    wait_for_pictures(e);
    uint64_t row = (uint64_t)WIDTH * size;
    for (uint32_t y = 0; y < HEIGHT; y++) {
        const uint8_t *from = t.mapped + offset + y * (row + gap);
        memcpy(found + y * row, from, (size_t)row);
        for (uint64_t i = 0; i < gap && y + 1 < HEIGHT; i++)
            assert_int_equal(from[row + i], 0xa5);
    }
    for (uint64_t i = 0; i < offset; i++)
        assert_int_equal(t.mapped[i], 0xa5);
    compare(found, expected, size);
    vulkan_host_target_destroy(&h, &t);
}

static void test_formats(void **state) {
    (void)state;
    static const VkFormat formats[] = {VK_FORMAT_R8G8B8A8_UNORM,      VK_FORMAT_R8G8B8A8_SRGB,
                                       VK_FORMAT_B8G8R8A8_UNORM,      VK_FORMAT_B8G8R8A8_SRGB,
                                       VK_FORMAT_R16G16B16A16_SFLOAT, VK_FORMAT_R32G32B32A32_SFLOAT};
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        executor *e = import();
        for (uint32_t type = 0; type < 3; type++) {
            for (uint32_t channels = 3; channels <= 4; channels++) {
                static picture p;
                picture_make(&p, e, (dtype)type, channels);
                for (uint32_t f = 0; f < sizeof formats / sizeof *formats; f++) {
                    into_image(e, &p, formats[f], f % 2);
                    into_buffer(e, &p, formats[f], 16 * f, 16 * (f % 3));
                }
                program_destroy(p.program);
            }
        }
        executor_destroy(e);
        vulkan_host_close(&h);
    }
}

/* From host memory, at a place inside an image whose rest stays as it was. */
static void test_bytes(void **state) {
    (void)state;
    enum { SIDE = 64, X = 5, Y = 9 };
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        static uint8_t pixels[PIXELS * 4], found[SIDE * SIDE * 4], large[SIDE * SIDE * 4];
        mzt_error error;
        executor *e = import();
        for (uint32_t n = 0; n < sizeof pixels; n++)
            pixels[n] = (uint8_t)(n * 31 + n / 256);
        memset(large, 77, sizeof large);
        for (int swap = 0; swap < 2; swap++) {
            VkFormat format = swap ? VK_FORMAT_B8G8R8A8_SRGB : VK_FORMAT_R8G8B8A8_UNORM;
            vulkan_host_target t = vulkan_host_image(&h, format, SIDE, SIDE);
            vulkan_picture_target target = target_of(&t, format);
            assert_int_equal(vulkan_write_rgba8(e, large, SIDE, SIDE, &target, &error), MZT_OK);
            target.old_layout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL;
            target.x = X;
            target.y = Y;
            assert_int_equal(vulkan_write_rgba8(e, pixels, WIDTH, HEIGHT, &target, &error), MZT_OK);
            vulkan_host_read(&h, &t, SIDE, SIDE, 4, VK_NULL_HANDLE, 0, found);
            for (uint32_t n = 0; n < sizeof found; n++) {
                uint32_t x = n / 4 % SIDE, y = n / 4 / SIDE, c = swap && n % 4 < 3 ? 2 - n % 4 : n % 4;
                bool inside = x >= X && x < X + WIDTH && y >= Y && y < Y + HEIGHT;
                assert_int_equal(found[n], inside ? pixels[((y - Y) * WIDTH + x - X) * 4 + c] : 77);
            }
            wait_for_pictures(e);
            vulkan_host_target_destroy(&h, &t);
        }
        executor_destroy(e);
        vulkan_host_close(&h);
    }
}

/* The host overwrites the picture at once after handing it over: the copy shows the old one; and destroying
 * the program at once waits for the copy. */
static void test_order(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        static picture p;
        static uint8_t expected[PIXELS * 16];
        mzt_error error;
        executor *e = import();
        picture_make(&p, e, DTYPE_F32, 3);
        uint32_t size = expect(&p, VK_FORMAT_R8G8B8A8_UNORM, expected);
        vulkan_host_target t = vulkan_host_buffer(&h, PIXELS * 4);
        vulkan_picture_target target = target_of(&t, VK_FORMAT_R8G8B8A8_UNORM);
        static const float zeros[PIXELS * 3];
        for (int round = 0; round < 2; round++) {
            assert_int_equal(vulkan_program_write_picture(p.program, 1, &target, &error), MZT_OK);
            if (round == 0) {
                ok(program_write(p.program, 1, 0, zeros, sizeof zeros, &error), &error);
                wait_for_pictures(e);
                compare(t.mapped, expected, size);
            }
        }
        program_destroy(p.program);
        for (uint32_t n = 0; n < PIXELS * 4; n++)
            assert_int_equal(t.mapped[n], n % 4 == 3 ? 255 : 128);
        vulkan_host_target_destroy(&h, &t);
        executor_destroy(e);
        vulkan_host_close(&h);
    }
}

static void expect_refusal(const picture *p, uint32_t buffer, const vulkan_picture_target *target,
                           mzt_status status, const char *reason) {
    mzt_error error;
    assert_int_equal(vulkan_program_write_picture(p->program, buffer, target, &error), status);
    if (!strstr(error.message, reason)) fail_msg("\"%s\" does not say \"%s\"", error.message, reason);
}

static void test_refusals(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        static picture p;
        mzt_error error;
        executor *e = import();
        picture_make(&p, e, DTYPE_F32, 3);
        vulkan_host_target t = vulkan_host_buffer(&h, PIXELS * 4);
        vulkan_picture_target target = target_of(&t, VK_FORMAT_R8G8B8A8_UNORM), wrong = target;
        expect_refusal(&p, 0, &target, MZT_ERROR_INVALID,
                       "[1, 1, 1, 5] of f32, expected");
        expect_refusal(&p, 99, &target, MZT_ERROR_INVALID, "buffer 99 of 2");
        wrong.format = VK_FORMAT_R5G6B5_UNORM_PACK16;
        expect_refusal(&p, 1, &wrong, MZT_ERROR_UNSUPPORTED, "VkFormat 4");
        wrong = target;
        wrong.buffer = VK_NULL_HANDLE;
        expect_refusal(&p, 1, &wrong, MZT_ERROR_INVALID, "an image or a buffer");
        wrong = target;
        wrong.buffer_row_bytes = WIDTH * 4 - 4;
        expect_refusal(&p, 1, &wrong, MZT_ERROR_INVALID, "148 are needed");
        wrong = target;
        wrong.buffer_offset = 2;
        expect_refusal(&p, 1, &wrong, MZT_ERROR_INVALID, "multiples of 4");
        target.format = VK_FORMAT_R32G32B32A32_SFLOAT;
        assert_int_equal(vulkan_write_rgba8(e, t.mapped, 1, 1, &target, &error), MZT_ERROR_UNSUPPORTED);
        assert_int_equal(vulkan_write_rgba8(e, t.mapped, 0, 1, &target, &error), MZT_ERROR_INVALID);
        assert_int_equal(vulkan_pictures_done(e, &error), MZT_OK);
        vulkan_host_target_destroy(&h, &t);
        program_destroy(p.program);
        executor_destroy(e);
        vulkan_host_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
