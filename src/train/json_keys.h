/* Strict reading of configuration objects: every member must be known, and the nearest known key is named for
 * one that is not. Also copies of JSON values. Thread-safety: pure functions. */
#ifndef TRAIN_JSON_KEYS_H
#define TRAIN_JSON_KEYS_H

#include "json/json.h"
#include "json/json_write.h"

/* INVALID when `object` is no object or has a member that is not in `known` (NULL-terminated). An absent
 * object is fine. */
mzt_status json_only_keys(json_value object, const char *const *known, mzt_error *error);

/* Writes a copy of the value; members named in `but` (NULL-terminated, or NULL) of an outermost object are
 * left out. */
void json_write_copy(json_writer *writer, const char *key, json_value value, const char *const *but);

/* Writes the members of an object into the open one. */
void json_write_members(json_writer *writer, json_value object, const char *const *but);

/* A number within [low, high]; absent or null gives the fallback. */
mzt_status json_get_range(json_value object, const char *key, double low, double high, double fallback,
                          double *out, mzt_error *error);

/* A whole number within [low, high] as u32. */
mzt_status json_get_u32(json_value object, const char *key, uint32_t low, uint32_t high, uint32_t fallback,
                        uint32_t *out, mzt_error *error);

/* The index of a string among `names` (NULL-terminated); INVALID lists them. Absent gives `fallback`. */
mzt_status json_get_choice(json_value object, const char *key, const char *const *names, uint32_t fallback,
                           uint32_t *out, mzt_error *error);

#endif
