/* Errors are values: every fallible function returns mzt_status and describes the failure in an mzt_error.
 * Thread-safety: an mzt_error belongs to one thread. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>
#include "mezzotint.h"

#if defined(__GNUC__)
#define BASE_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define BASE_PRINTF(text, first)
#endif

/* Fills *error (which may be NULL) and returns `status`, so that callers write `return error_set(...)`. */
mzt_status error_set(mzt_error *error, mzt_status status, const char *format, ...) BASE_PRINTF(3, 4);

/* Puts context in front of the message that is already there: "unet/config.json: " + message. Returns error->status. */
mzt_status error_prefix(mzt_error *error, const char *format, ...) BASE_PRINTF(2, 3);

/* The usual out-of-memory error, naming what could not be had. */
mzt_status error_memory(mzt_error *error, const char *what, uint64_t bytes);

/* Copies a stranger's text (a name out of a file) into `buffer` so that it can stand in a one-line message: control bytes
 * become '?', and what does not fit is cut at a character boundary and marked with "...". `size` >= 8. Returns buffer. */
const char *error_text(char *buffer, size_t size, const char *text);

/* Returns from the calling function if `expression` is a failure. For functions that own nothing yet. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        mzt_status try_status_ = (expression);                                                                         \
        if (try_status_ < 0) return try_status_;                                                                       \
    } while (0)

#endif
