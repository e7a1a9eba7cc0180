/* Counting allocation hooks; see alloc_count.h. */
#include "alloc_count.h"

#include <stdlib.h>

static void *reallocate(void *user, void *pointer, size_t size) {
    alloc_count *counts = user;
    if (size == 0) {
        if (pointer) counts->live--;
        free(pointer);
        return NULL;
    }
    if (++counts->calls == counts->fail_at) return NULL;
    void *block = realloc(pointer, size);
    if (block && !pointer) counts->live++;
    return block;
}

base_host alloc_count_host(alloc_count *counts) {
    mzt_hooks hooks = {.user = counts, .reallocate = reallocate};
    return host_make(&hooks);
}
