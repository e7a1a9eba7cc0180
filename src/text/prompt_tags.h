/* Tags in prompts that name LoRA files, in the notation of the A1111 web UI: <lora:NAME> and
 * <lora:NAME:SCALE>
 * ("lyco" stands for "lora" in older pictures). They are no text: prompt_encode leaves them out.
 * Thread-safety: pure functions. */
#ifndef TEXT_PROMPT_TAGS_H
#define TEXT_PROMPT_TAGS_H

#include "base/host.h"

typedef struct prompt_tag {
    const char *begin; /* its '<' in the prompt */
    size_t bytes;      /* up to and with '>' */
    const char *name;  /* not terminated */
    size_t name_length;
    const char *scale; /* not terminated; length 0: none given */
    size_t scale_length;
} prompt_tag;

/* The first tag at or behind `text`; false when there is none. What lacks a name or the closing '>' is text.
 */
bool prompt_tag_find(const char *text, prompt_tag *tag);

/* The prompt without its tags, in a fresh block (host_free); NULL when out of memory. */
char *prompt_without_tags(const base_host *host, const char *text);

#endif
