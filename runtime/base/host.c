/* Memory and log of one context; see host.h. */
#include "base/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *default_reallocate(void *user, void *pointer, size_t size) {
    (void)user;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, size);
}

base_host host_make(const mzt_hooks *hooks) {
    base_host host = {.files = NULL};
    if (hooks) host.hooks = *hooks;
    if (!host.hooks.reallocate) host.hooks.reallocate = default_reallocate;
    return host;
}

bool size_add(uint64_t a, uint64_t b, uint64_t *result) {
    if (a > UINT64_MAX - b) return false;
    *result = a + b;
    return true;
}

bool size_mul(uint64_t a, uint64_t b, uint64_t *result) {
    if (b != 0 && a > UINT64_MAX / b) return false;
    *result = a * b;
    return true;
}

void *host_realloc(const base_host *host, void *pointer, size_t count, size_t size) {
    uint64_t bytes;
    if (!size_mul(count, size, &bytes) || bytes > SIZE_MAX) return NULL;
    return host->hooks.reallocate(host->hooks.user, pointer, bytes ? (size_t)bytes : 1);
}

void *host_calloc(const base_host *host, size_t count, size_t size) {
    void *block = host_realloc(host, NULL, count, size);
    size_t bytes = count * size;
    if (block && bytes > 0) memset(block, 0, bytes);
    return block;
}

void host_free(const base_host *host, void *pointer) {
    if (pointer) host->hooks.reallocate(host->hooks.user, pointer, 0);
}

char *host_strndup(const base_host *host, const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? host_realloc(host, NULL, length + 1, 1) : NULL;
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *host_strdup(const base_host *host, const char *text) {
    return host_strndup(host, text, strlen(text));
}

void host_log(const base_host *host, mzt_log_level level, const char *format, ...) {
    if (!host->hooks.log) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    host->hooks.log(host->hooks.user, level, line);
}

bool host_grow(const base_host *host, void **items, uint32_t *capacity, size_t size) {
    if (*capacity > UINT32_MAX / 2) return false;
    uint32_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = host_realloc(host, *items, wanted, size);
    if (!grown) return false;
    *items = grown;
    *capacity = wanted;
    return true;
}
