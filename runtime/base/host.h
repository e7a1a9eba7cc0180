/* The host: where memory comes from and where log lines go. One is made per context and handed to everything below it,
 * so the library has no global state. All sizes are checked for overflow here, once.
 * Thread-safety: immutable after creation; allocation may happen on any thread. */
#ifndef BASE_HOST_H
#define BASE_HOST_H

#include <stdbool.h>
#include "base/error.h"

typedef struct base_host {
    mzt_hooks hooks;
    const struct file_source *files; /* where file_read, host_file_map and host_file_exists look; NULL: the system's files */
} base_host;

/* A host with the given hooks (NULL: C's realloc, and a log that goes nowhere). */
base_host host_make(const mzt_hooks *hooks);

/* Zeroed array of `count` elements of `size` bytes; NULL when out of memory or when the product overflows. count 0 gives a
 * non-NULL block. */
void *host_calloc(const base_host *host, size_t count, size_t size);

/* Grows or shrinks an array; NULL on failure (the old block is then still valid). New bytes are not zeroed. */
void *host_realloc(const base_host *host, void *pointer, size_t count, size_t size);

void host_free(const base_host *host, void *pointer);

/* A copy of a string of `length` bytes, terminated. */
char *host_strndup(const base_host *host, const char *text, size_t length);
char *host_strdup(const base_host *host, const char *text);

void host_log(const base_host *host, mzt_log_level level, const char *format, ...) BASE_PRINTF(3, 4);

/* Overflow-checked arithmetic: false (and *result untouched) when the result does not fit. */
bool size_add(uint64_t a, uint64_t b, uint64_t *result);
bool size_mul(uint64_t a, uint64_t b, uint64_t *result);

/* Rounds up to a multiple of `step` (a power of two). */
static inline uint64_t align_up(uint64_t value, uint64_t step) {
    return (value + step - 1) & ~(step - 1);
}

static inline uint32_t ceil_div(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

/* Makes room for one more element in a growing array `items` of `count` used and `capacity` allocated elements.
 * Evaluates to false when out of memory. */
#define HOST_GROW(host, items, count, capacity)                                                                        \
    ((count) < (capacity) || host_grow((host), (void **)&(items), &(capacity), sizeof *(items)))
bool host_grow(const base_host *host, void **items, uint32_t *capacity, size_t size);

#endif
