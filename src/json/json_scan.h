/* The full check of a JSON text that goes before the tree is built. Used by json.c only. */
#ifndef JSON_JSON_SCAN_H
#define JSON_JSON_SCAN_H

#include "base/error.h"

/* A string that cannot occur in a checked text (it is not UTF-8): what stands for NaN in the text given to
 * cJSON. */
#define JSON_NAN_MARK "\xff"

/* Checks `text` and rewrites in place, keeping the length, what cJSON would refuse: NaN becomes the string
 * JSON_NAN_MARK, and ±Infinity becomes ±1e999, which reads as infinity. FORMAT, naming line and column, for
 * anything json.h does not allow. */
mzt_status json_scan(const char *name, char *text, uint64_t size, mzt_error *error);

#endif
