/* Vulkan devices under validation; see vulkan_fixture.h. */
#include "vulkan_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vulkan_env.h"

static void on_log(void *user, mzt_log_level level, const char *line) {
    vulkan_fixture *f = user;
    if (level < MZT_LOG_WARNING) return;
    f->warnings++;
    fprintf(stderr, "warning: %s\n", line);
}

static bool has_device(const vulkan_fixture *f, const char *name) {
    for (uint32_t i = 0; i < f->count; i++)
        if (strstr(f->devices[i].name, name)) return true;
    return false;
}

void vulkan_fixture_begin(vulkan_fixture *f) {
    vulkan_env_set();
    memset(f, 0, sizeof *f);
    mzt_hooks hooks = {.user = f, .log = on_log};
    f->host = host_make(&hooks);
    mzt_error error;
    if (vulkan_list(&f->host, f->devices, 8, &f->count, &error) < 0)
        fail_msg("vulkan_list: %s", error.message);
    if (f->count > 8) f->count = 8;
    vulkan_options options = vulkan_options_default();
    options.validation = true;
    options.cache_directory = "";
    executor *e = NULL;
    if (f->count > 0) f->validation = vulkan_open(&f->host, &options, 0, &e, &error) == MZT_OK;
    if (f->count > 0 && !f->validation) printf("without validation: %s\n", error.message);
    executor_destroy(e);
    if (f->count == 0) printf("there is no Vulkan device: nothing is tested\n");
    if (!vulkan_env_required()) return;
    if (!f->validation) fail_msg("the validation layer is missing");
    if (!has_device(f, "llvmpipe")) fail_msg("lavapipe is missing");
    if (!has_device(f, "SwiftShader")) fail_msg("SwiftShader is missing");
}

vulkan_options vulkan_fixture_options(const vulkan_fixture *f) {
    vulkan_options options = vulkan_options_default();
    options.validation = f->validation;
    options.cache_directory = "";
    options.segment_seconds = 0.02;
    return options;
}

executor *vulkan_fixture_open(vulkan_fixture *f, uint32_t index, const vulkan_options *options) {
    executor *e = NULL;
    mzt_error error;
    if (vulkan_open(&f->host, options, index, &e, &error) < 0) fail_msg("%s", error.message);
    return e;
}

void vulkan_fixture_close(vulkan_fixture *f, executor *e) {
    assert_int_equal(vulkan_validation_count(e), 0);
    executor_destroy(e); /* leaked objects are reported here */
    assert_int_equal(f->warnings, 0);
}

program *vulkan_fixture_prepare(executor *e, const plan *p) {
    program *g = NULL;
    mzt_error error;
    if (executor_prepare(e, p, &g, &error) < 0) fail_msg("%s: %s", e->limits.name, error.message);
    return g;
}
