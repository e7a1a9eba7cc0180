/* Finds and opens devices by their spelling: auto, cpu, cpu-reference, vulkan, vulkan:N, vulkan:PART-OF-NAME.
 */
#include "executor.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#if defined(MZT_HAVE_VULKAN)
#include "vulkan/vulkan_executor.h"
#endif

#define USUAL_DEVICES 16u

/* The Vulkan devices, in a fresh block for host_free. Built without Vulkan, and where there is none: an empty
 * one. */
static mzt_status list_vulkan(const base_host *host, executor_limits **list, uint32_t *count,
                              mzt_error *error) {
    uint32_t capacity = USUAL_DEVICES;
    *list = NULL;
    *count = 0;
    executor_limits *block = host_calloc(host, capacity, sizeof *block);
    if (!block) return error_memory(error, "device list", capacity * sizeof *block);
#if defined(MZT_HAVE_VULKAN)
    mzt_status status = vulkan_list(host, block, capacity, count, error);
    while (status == MZT_OK && *count > capacity) { /* listing loads all drivers: once should do */
        capacity = *count;
        executor_limits *larger = host_realloc(host, block, capacity, sizeof *block);
        if (larger) block = larger;
        status = larger ? vulkan_list(host, block, capacity, count, error)
                        : error_memory(error, "device list", (uint64_t)capacity * sizeof *block);
    }
    if (status < 0) {
        host_free(host, block);
        return status;
    }
#endif
    *list = block;
    return MZT_OK;
}

static mzt_status open_vulkan(const base_host *host, uint32_t index, executor **out, mzt_error *error) {
#if defined(MZT_HAVE_VULKAN)
    return vulkan_open(host, NULL, index, out, error);
#else
    (void)host;
    *out = NULL;
    return error_set(error, MZT_ERROR_NOT_FOUND, "vulkan:%u: built without Vulkan", index);
#endif
}

/* Opens a CPU executor only to ask it about itself. */
static mzt_status cpu_limits(const base_host *host, bool reference, executor_limits *limits,
                             mzt_error *error) {
    executor *e;
    TRY(reference ? cpu_reference_create(host, &e, error) : cpu_create(host, 1, &e, error));
    *limits = e->limits;
    executor_destroy(e);
    return MZT_OK;
}

mzt_status device_list(const base_host *host, executor_limits *list, uint32_t capacity, uint32_t *count,
                       mzt_error *error) {
    executor_limits *vulkan;
    uint32_t vulkan_count;
    *count = 0;
    if (capacity > 0) TRY(cpu_limits(host, false, &list[0], error));
    if (capacity > 1) TRY(cpu_limits(host, true, &list[1], error));
    TRY(list_vulkan(host, &vulkan, &vulkan_count, error));
    for (uint32_t i = 0; i < vulkan_count && i + 2 < capacity; i++)
        list[i + 2] = vulkan[i];
    host_free(host, vulkan);
    *count = vulkan_count + 2;
    return MZT_OK;
}

/* The value of a decimal number, or UINT32_MAX for anything else. */
static uint32_t parse_index(const char *text) {
    uint64_t value = 0;
    if (!text[0]) return UINT32_MAX;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return UINT32_MAX;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX) return UINT32_MAX;
    }
    return (uint32_t)value;
}

/* Whether `part` occurs in `text`, both read without regard to ASCII case. */
static bool contains(const char *text, const char *part) {
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (!part[i]) return true;
    }
    return false;
}

/* Which of two GPUs is likely the faster one. An integrated GPU may have the same features and, sharing the
 * host's memory, more of that; so its kind comes first. */
static bool faster(const executor_limits *a, const executor_limits *b) {
    if (a->is_discrete != b->is_discrete) return a->is_discrete;
    if (a->tier != b->tier) return a->tier > b->tier;
    return a->memory > b->memory;
}

/* The index of the device meant by what follows "vulkan" in a spelling: "", ":N" or ":PART-OF-NAME";
 * UINT32_MAX: none. */
static uint32_t choose_vulkan(const executor_limits *list, uint32_t count, const char *which) {
    uint32_t best = UINT32_MAX;
    if (which[0] == ':') {
        uint32_t index = parse_index(which + 1);
        if (index < count) return index;
        if (index < 100) return UINT32_MAX; /* a number too high; "3090" may well be a name */
        for (uint32_t i = 0; which[1] && i < count; i++) {
            if (contains(list[i].name, which + 1)) return i;
        }
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (best == UINT32_MAX || (list[i].is_gpu && (!list[best].is_gpu || faster(&list[i], &list[best]))))
            best = i;
    }
    return best;
}

static mzt_status not_found(const char *spec, const executor_limits *list, uint32_t count, mzt_error *error) {
    char wanted[64], known[400] = "cpu, cpu-reference";
    size_t used = strlen(known);
    for (uint32_t i = 0; i < count && used < sizeof known; i++) {
        int more = snprintf(known + used, sizeof known - used, ", %s (%.60s)", list[i].spec, list[i].name);
        used += more > 0 ? (size_t)more : 0;
    }
    return error_set(error, MZT_ERROR_NOT_FOUND, "device \"%s\": not found; there are %s",
                     error_text(wanted, sizeof wanted, spec), known);
}

mzt_status device_open(const base_host *host, const char *spec, executor **out, mzt_error *error) {
    executor_limits *list;
    uint32_t count, index = UINT32_MAX;
    *out = NULL;
    if (strcmp(spec, "cpu") == 0) return cpu_create(host, 0, out, error);
    if (strcmp(spec, "cpu-reference") == 0) return cpu_reference_create(host, out, error);
    bool automatic = strcmp(spec, "auto") == 0;
    bool vulkan = strncmp(spec, "vulkan", 6) == 0 && (spec[6] == '\0' || spec[6] == ':');
    TRY(list_vulkan(host, &list, &count, error));
    if (automatic || vulkan) index = choose_vulkan(list, count, automatic ? "" : spec + 6);
    if (automatic && index < count && !list[index].is_gpu) index = UINT32_MAX;
    mzt_status status = MZT_ERROR_NOT_FOUND;
    mzt_error reason;
    if (index < count)
        status = open_vulkan(host, index, out, automatic ? &reason : error);
    else if (!automatic)
        status = not_found(spec, list, count, error);
    host_free(host, list);
    if (!automatic || status == MZT_OK) return status;
    if (index != UINT32_MAX) host_log(host, MZT_LOG_WARNING, "using the CPU: %s", reason.message);
    return cpu_create(host, 0, out, error);
}
