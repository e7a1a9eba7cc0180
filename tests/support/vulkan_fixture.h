/* Opens every Vulkan device there is, under validation, and counts what the library and the layer complain
 * about. */
#ifndef SUPPORT_VULKAN_FIXTURE_H
#define SUPPORT_VULKAN_FIXTURE_H

#include "vulkan/vulkan_executor.h"

typedef struct vulkan_fixture {
    base_host host;
    uint32_t warnings; /* log lines of level WARNING so far; validation messages are among them */
    bool validation;   /* the layer is installed */
    uint32_t count;
    executor_limits devices[8];
} vulkan_fixture;

/* Finds devices and layer. Fails the running test where MZT_REQUIRE_DRIVERS asks for a driver or the layer
 * and it is missing. The fixture must stay where it is. */
void vulkan_fixture_begin(vulkan_fixture *f);

/* Default options, with validation where there is a layer, no cache, and submissions of 20 ms. */
vulkan_options vulkan_fixture_options(const vulkan_fixture *f);

/* Opens device `index`; a failure fails the test. */
executor *vulkan_fixture_open(vulkan_fixture *f, uint32_t index, const vulkan_options *options);

/* Destroys `e`; fails the test if anything was complained about since vulkan_fixture_begin. */
void vulkan_fixture_close(vulkan_fixture *f, executor *e);

/* Prepares, seals and returns a program. */
program *vulkan_fixture_prepare(executor *e, const plan *p);

#endif
