/* The text list of a PNG file; see png.h. */
#include "image/png.h"

#include <string.h>

void image_text_free(const base_host *host, image_text_list *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        host_free(host, list->entries[i].key);
        host_free(host, list->entries[i].value);
    }
    host_free(host, list->entries);
    memset(list, 0, sizeof *list);
}

mzt_status image_text_add(const base_host *host, image_text_list *list, const char *key, const char *value,
                          mzt_error *error) {
    if (!HOST_GROW(host, list->entries, list->count, list->capacity))
        return error_memory(error, "PNG text", list->count);
    image_text_entry entry = {host_strdup(host, key), host_strdup(host, value)};
    if (!entry.key || !entry.value) {
        host_free(host, entry.key);
        host_free(host, entry.value);
        return error_memory(error, "PNG text", strlen(value));
    }
    list->entries[list->count++] = entry;
    return MZT_OK;
}

const char *image_text_find(const image_text_list *list, const char *key) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].key, key) == 0) return list->entries[i].value;
    }
    return NULL;
}
