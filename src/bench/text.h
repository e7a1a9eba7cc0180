/* A growing text, for pages and tables. Out of memory is remembered and reported once, by text_finish.
 * Thread-safety: belongs to one thread. */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include "base/host.h"

typedef struct text_builder {
    const base_host *host;
    char *data; /* terminated */
    size_t length, capacity;
    bool failed;
} text_builder;

text_builder text_make(const base_host *host);
void text_add(text_builder *t, const char *format, ...) BASE_PRINTF(2, 3);
void text_add_html(text_builder *t, const char *plain); /* &, <, >, " and ' escaped */

/* Hands out the text (host_free), or OUT_OF_MEMORY, and empties `t`. */
mzt_status text_finish(text_builder *t, char **out, size_t *length, mzt_error *error);
void text_discard(text_builder *t);

/* "12.3 ms", "1.61 TFLOP/s": three digits and a prefix. Returns buffer. */
const char *text_seconds(double seconds, char buffer[24]);
const char *text_rate(double rate, const char *unit, char buffer[32]);

#endif
