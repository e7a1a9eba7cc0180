/* What the readers of diffusers' and transformers' config.json files share: options that are supported in one
 * value only, unknown options, and numbers within sane limits. Every complaint names file, key and value. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "json/json.h"

#define CONFIG_MAX_CHANNELS 65536
#define CONFIG_MAX_VALUES   4 /* of one option */

/* An option that this library supports in these values only, written as JSON: "null", "false", "1",
 * "\"silu\"". The option's default is among them, so an absent option is always fine. */
typedef struct config_fixed {
    const char *key;
    const char *values[CONFIG_MAX_VALUES]; /* unused ones are NULL */
    bool list;                             /* a list of such values is fine too */
} config_fixed;

/* The short text of a value as it would stand in the file, for messages and comparisons: 1, true, "silu",
 * [1, 2]; cut when it does not fit. Returns buffer. `size` >= 8. */
const char *config_text(json_value value, char *buffer, size_t size);

/* Goes through all members of the configuration `root`. Keys that begin with '_' are skipped, as are those in
 * `known` (NULL-terminated; their readers check them). UNSUPPORTED: a member of `fixed` with another value,
 * or an unknown key whose value is neither null nor false. INVALID when `root` is no object. */
mzt_status config_check(json_value root, const config_fixed *fixed, uint32_t fixed_count,
                        const char *const *known, mzt_error *error);

/* json_get_int for sizes. */
mzt_status config_u32(json_value root, const char *key, uint32_t low, uint32_t high, uint32_t fallback,
                      uint32_t *out, mzt_error *error);

/* An integer for all of `count` places, or a list with one for each; absent or null gives `fallback`. */
mzt_status config_levels(json_value root, const char *key, uint32_t low, uint32_t high, uint32_t count,
                         uint32_t fallback, uint32_t *out, mzt_error *error);

/* A number in (above, up_to], for epsilons and factors. */
mzt_status config_float(json_value root, const char *key, double above, double up_to, double fallback,
                        float *out, mzt_error *error);

/* The required list "block_out_channels": how many levels there are, at most `capacity`, and their channels,
 * multiples of `groups`. */
mzt_status config_channels(json_value root, uint32_t groups, uint32_t capacity, uint32_t *channels,
                           uint32_t *levels, mzt_error *error);

#endif
