/* The C API on a device that the test has made, under validation, with the host drawing in between: what the
 * host is told to enable, jobs in slices of time, pictures in the host's image and buffer equal to the
 * picture in memory, cancelling, and nothing left behind. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/vulkan-api-test"
#include "tiny_model.h"

#include "base/threads.h"
#include "vulkan_host.h"

#include "mezzotint_vulkan.h"

enum { DEVICES = 8, SIDE = 64, PIXELS = SIDE * SIDE * 4, BUDGET_US = 2000, MOST = 1 << 16 };

static vulkan_host h;

/* What a test works with on one device of the host. */
typedef struct objects {
    mzt_context *context;
    mzt_model *model;
    mzt_device *device;
    mzt_pipeline *pipeline;
    mzt_job *job;
} objects;

static void open_all(objects *o) {
    const vulkan_import from = vulkan_host_import(&h);
    const mzt_vulkan_import import = {.struct_size = sizeof import,
                                      .get_instance_proc_addr = from.get_instance_proc_addr,
                                      .instance = from.instance,
                                      .api_version = from.api_version,
                                      .queue_family = from.queue_family,
                                      .physical_device = from.physical_device,
                                      .device = from.device,
                                      .queue = from.queue,
                                      .features = from.features,
                                      .extensions = from.extensions,
                                      .extension_count = from.extension_count,
                                      .lock_queue = from.lock,
                                      .unlock_queue = from.unlock,
                                      .user = from.user,
                                      .pipeline_cache = from.cache,
                                      .cache_directory = ""};
    must(mzt_context_create(NULL, &o->context, &error));
    must(mzt_model_open(o->context, TINY, NULL, &o->model, &error));
    must(mzt_device_import_vulkan(o->context, &import, &o->device, &error));
    must(mzt_pipeline_create(o->model, o->device, NULL, &o->pipeline, &error));
}

static void close_all(objects *o) {
    mzt_job_destroy(o->job);
    mzt_pipeline_destroy(o->pipeline);
    mzt_device_destroy(o->device);
    mzt_model_close(o->model);
    mzt_context_destroy(o->context);
}

static mzt_job_params small_job(void) {
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = "a red apple";
    p.steps = 4;
    p.count = 2;
    return p;
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Steps a job to its end, the host drawing now and then, and says how long calls took. */
static void step_to_end(objects *o) {
    static double seconds[MOST];
    mzt_status status = MZT_PENDING;
    uint32_t calls = 0;
    while (status == MZT_PENDING && calls < MOST) {
        const double start = clock_seconds();
        status = mzt_job_step(o->job, BUDGET_US, &error);
        seconds[calls++] = clock_seconds() - start;
        if (calls % 16 == 0) vulkan_host_draw(&h, calls);
    }
    must(status);
    qsort(seconds, calls, sizeof *seconds, by_size);
    print_message(
        "%u calls with a budget of %d us: half within %.0f us, 99%% within %.0f us, the longest %.0f\n",
        calls, BUDGET_US, seconds[calls / 2] * 1e6, seconds[calls - 1 - calls / 100] * 1e6,
        seconds[calls - 1] * 1e6);
}

/* Picture `index` in an image and in a buffer of the host. */
static void compare(objects *o, uint32_t index) {
    static uint8_t expected[PIXELS], found[PIXELS];
    const mzt_vulkan_target common = {.struct_size = sizeof common,
                                      .format = VK_FORMAT_R8G8B8A8_UNORM,
                                      .new_layout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                                      .from_family = VK_QUEUE_FAMILY_IGNORED,
                                      .to_family = VK_QUEUE_FAMILY_IGNORED};
    mzt_vulkan_target target = common;
    mzt_status status;
    must(mzt_job_read_rgba8(o->job, index, expected, 0, &error));
    vulkan_host_target texture = vulkan_host_image(&h, VK_FORMAT_R8G8B8A8_UNORM, SIDE, SIDE);
    VkSemaphore ready = vulkan_host_semaphore(&h, false);
    target.image = texture.image;
    target.signal = ready;
    while ((status = mzt_job_write_vulkan(o->job, index, &target, &error)) == MZT_PENDING) {
    }
    must(status);
    vulkan_host_read(&h, &texture, SIDE, SIDE, 4, ready, 0, found);
    assert_memory_equal(expected, found, PIXELS);
    vulkan_host_semaphore_destroy(&h, ready);
    vulkan_host_target_destroy(&h, &texture);

    vulkan_host_target buffer = vulkan_host_buffer(&h, PIXELS);
    VkSemaphore done = vulkan_host_semaphore(&h, true);
    target = common;
    target.buffer = buffer.buffer;
    target.signal = done;
    target.signal_value = 1;
    while ((status = mzt_job_write_vulkan(o->job, index, &target, &error)) == MZT_PENDING) {
    }
    must(status);
    mzt_job_destroy(o->job); /* waits for what is on the device */
    o->job = NULL;
    must(mzt_pipeline_release(o->pipeline, &error));
    assert_memory_equal(expected, buffer.mapped, PIXELS);
    vulkan_host_semaphore_destroy(&h, done);
    vulkan_host_target_destroy(&h, &buffer);
}

static void test_pictures(void **state) {
    (void)state;
    uint32_t devices = 0;
    for (; devices < DEVICES && vulkan_host_open(&h, devices); devices++) {
        objects o = {NULL, NULL, NULL, NULL, NULL};
        open_all(&o);
        for (uint32_t index = 0; index < 2; index++) {
            const mzt_job_params p = small_job();
            must(mzt_job_create(o.pipeline, &p, &o.job, &error));
            step_to_end(&o);
            compare(&o, index);
        }
        close_all(&o);
        vulkan_host_close(&h);
    }
    if (!devices) print_message("no Vulkan device: left out\n");
}

/* What the public requirements say is what the executor asks for, and the chain lies in the caller's own. */
static void test_requirements(void **state) {
    (void)state;
    if (!vulkan_host_open(&h, 0)) return;
    const vulkan_import from = vulkan_host_import(&h);
    mzt_vulkan_instance_needs instance = {.struct_size = sizeof instance};
    mzt_vulkan_device_needs needs = {.struct_size = sizeof needs};
    must(mzt_vulkan_instance_requirements(from.get_instance_proc_addr, &instance, &error));
    assert_true(instance.api_version >= VK_API_VERSION_1_1);
    must(mzt_vulkan_device_requirements(from.instance, from.physical_device, from.get_instance_proc_addr,
                                        &needs, &error));
    assert_int_equal(needs.required_count, h.needs.required_count);
    assert_int_equal(needs.recommended_count, h.needs.recommended_count);
    assert_int_equal(needs.features12.shaderFloat16, h.needs.features12.shaderFloat16);
    assert_true(needs.queue_family != UINT32_MAX);
    uint32_t links = 0;
    for (const VkBaseInStructure *s = needs.features.pNext; s; s = s->pNext, links++) {
        const uint8_t *at = (const uint8_t *)s;
        assert_true(at > (uint8_t *)&needs && at < (uint8_t *)&needs + sizeof needs);
    }
    assert_true(links >= 2);
    needs.struct_size = 16;
    assert_int_equal(mzt_vulkan_device_requirements(from.instance, from.physical_device,
                                                    from.get_instance_proc_addr, &needs, &error),
                     MZT_ERROR_INVALID);
    vulkan_host_close(&h);
}

/* Cancelled after each of a sample of steps: CANCELLED soon, and the pipeline works again. */
static void test_cancel(void **state) {
    (void)state;
    if (!vulkan_host_open(&h, 0)) return;
    objects o = {NULL, NULL, NULL, NULL, NULL};
    open_all(&o);
    const mzt_job_params p = small_job();
    for (uint32_t after = 0; after < 40; after += 3) {
        mzt_status status = MZT_PENDING;
        must(mzt_job_create(o.pipeline, &p, &o.job, &error));
        for (uint32_t i = 0; i < after && status == MZT_PENDING; i++)
            status = mzt_job_step(o.job, BUDGET_US, &error);
        mzt_job_cancel(o.job);
        if (status == MZT_PENDING) assert_int_equal(mzt_job_step(o.job, BUDGET_US, &error), MZT_CANCELLED);
        mzt_job_destroy(o.job);
        o.job = NULL;
    }
    must(mzt_job_create(o.pipeline, &p, &o.job, &error));
    must(mzt_job_run(o.job, &error));
    const mzt_vulkan_target none = {.struct_size = sizeof none};
    assert_int_equal(mzt_job_write_vulkan(o.job, 9, &none, &error), MZT_ERROR_INVALID);
    close_all(&o);
    vulkan_host_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requirements), cmocka_unit_test(test_pictures),
                                       cmocka_unit_test(test_cancel)};
    host = host_make(NULL);
    return cmocka_run_group_tests(tests, begin, end);
}
