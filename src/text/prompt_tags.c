/* Tags that name LoRA files; see prompt_tags.h. */
#include "text/prompt_tags.h"

#include <string.h>

static bool read_tag(const char *text, prompt_tag *tag) {
    if (strncmp(text, "<lora:", 6) != 0 && strncmp(text, "<lyco:", 6) != 0) return false;
    const char *name = text + 6, *end = strpbrk(name, "<>\n");
    if (!end || *end != '>') return false;
    const char *colon = memchr(name, ':', (size_t)(end - name));
    *tag = (prompt_tag){.begin = text,
                        .bytes = (size_t)(end + 1 - text),
                        .name = name,
                        .name_length = (size_t)((colon ? colon : end) - name),
                        .scale = colon ? colon + 1 : end,
                        .scale_length = colon ? (size_t)(end - colon - 1) : 0};
    return tag->name_length > 0;
}

bool prompt_tag_find(const char *text, prompt_tag *tag) {
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<'))
        if (read_tag(at, tag)) return true;
    return false;
}

char *prompt_without_tags(const base_host *host, const char *text) {
    char *out = host_calloc(host, strlen(text) + 1, 1);
    prompt_tag tag;
    size_t used = 0;
    if (!out) return NULL;
    for (; prompt_tag_find(text, &tag); text = tag.begin + tag.bytes) {
        memcpy(out + used, text, (size_t)(tag.begin - text));
        used += (size_t)(tag.begin - text);
    }
    memcpy(out + used, text, strlen(text));
    return out;
}
