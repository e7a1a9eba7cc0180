/* Structures that only ever grow, between programs and libraries of different ages; see api.h. */
#include <string.h>

#include "api/api.h"

/* The least that makes sense: struct_size and one member. */
enum { LEAST = 2 * sizeof(uint32_t) + 1, MOST = 1 << 20 };

static size_t size_of(const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

mzt_status api_missing(mzt_error *error, const char *what) {
    return error_set(error, MZT_ERROR_INVALID, "%s is NULL", what);
}

static mzt_status check_size(const char *type, size_t size, mzt_error *error) {
    if (size >= LEAST && size <= MOST) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID,
                     "%s: struct_size is %llu; begin with its _init function, or with {sizeof(%s)}", type,
                     (unsigned long long)size, type);
}

mzt_status api_take(const char *type, const void *given, void *own, size_t size, mzt_error *error) {
    const size_t theirs = size_of(given);
    const uint8_t *bytes = given;
    TRY(check_size(type, theirs, error));
    for (size_t i = size; i < theirs; i++)
        if (bytes[i] != 0)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "%s: byte %llu is set, but this library (ABI %d) knows the first %llu only",
                             type, (unsigned long long)i, MZT_ABI_VERSION, (unsigned long long)size);
    memcpy(own, given, theirs < size ? theirs : size);
    memcpy(own, &size, sizeof size);
    return MZT_OK;
}

void api_init(const void *own, size_t size, void *given, size_t given_size) {
    if (!given || given_size < sizeof given_size) return;
    memset(given, 0, given_size);
    memcpy(given, own, given_size < size ? given_size : size);
    memcpy(given, &given_size, sizeof given_size);
}

mzt_status api_give(const char *type, const void *own, size_t size, void *given, mzt_error *error) {
    if (!given) return api_missing(error, type);
    const size_t theirs = size_of(given);
    TRY(check_size(type, theirs, error));
    api_init(own, size, given, theirs);
    return MZT_OK;
}

const void *api_element(const void *array, uint32_t index) {
    return (const uint8_t *)array + size_of(array) * index;
}

void api_store(shared_number *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(to, bits, memory_order_relaxed);
}

double api_load(const shared_number *from) {
    const uint64_t bits = atomic_load_explicit((shared_number *)from, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
