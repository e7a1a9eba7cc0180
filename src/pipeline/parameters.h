/* The text that pictures of this field carry: prompt, negative prompt, and a last line of settings, as the
 * A1111 web UI writes them into the PNG chunk "parameters":
 *
 *   a red apple (shiny:1.2)
 *   Negative prompt: blurry
 *   Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, Size: 512x512, Model: "a,
 * b"
 *
 * A value with a comma, colon, quote or line feed is written as a JSON string. Where a prompt itself holds a
 * line "Negative prompt:", a setting "Prompt length" (bytes) says where it ends. Parsing takes any text: what
 * is not understood is prompt. Thread-safety: values belong to one thread. */
#ifndef PIPELINE_PARAMETERS_H
#define PIPELINE_PARAMETERS_H

#include "base/host.h"

#define PARAMETERS_TEXT_LIMIT 1000000u /* bytes of a text */
#define PARAMETERS_PAIR_LIMIT 200u     /* settings; further ones are left out on parsing */

typedef struct parameters_pair {
    char *key, *value;
} parameters_pair;

typedef struct parameters {
    const base_host *host;
    char *prompt, *negative; /* never NULL after parameters_create or parameters_parse */
    parameters_pair *pairs;  /* in the order of the text */
    uint32_t count, capacity;
} parameters;

/* Copies both prompts. OUT_OF_MEMORY. Release with parameters_destroy, also after an error. */
mzt_status parameters_create(const base_host *host, const char *prompt, const char *negative, parameters *out,
                             mzt_error *error);
void parameters_destroy(parameters *p); /* zeroed is accepted */

/* Appends a setting. `key` is of letters, digits, space, '-', '_' and '/', at least 2 of them. INVALID
 * otherwise. */
mzt_status parameters_add(parameters *p, const char *key, const char *value, mzt_error *error);
/* printf into a value of at most 255 bytes. */
mzt_status parameters_addf(parameters *p, mzt_error *error, const char *key, const char *format, ...)
    BASE_PRINTF(4, 5);
/* A number in the fewest digits that read back as the same. */
mzt_status parameters_add_number(parameters *p, const char *key, double value, mzt_error *error);

/* The first value of that key, or NULL. */
const char *parameters_find(const parameters *p, const char *key);

/* The whole of `text` as a number ('.' is the decimal point, whatever the locale); false if it is none or not
 * finite. */
bool parameters_number(const char *text, double *value);

/* INVALID for text beyond the limit or not UTF-8; OUT_OF_MEMORY. *out is zeroed on failure. */
mzt_status parameters_parse(const base_host *host, const char *text, parameters *out, mzt_error *error);

/* The text, terminated, to be released with host_free. Parsing it gives the same prompts and pairs. */
mzt_status parameters_format(const parameters *p, char **text, mzt_error *error);

#endif
