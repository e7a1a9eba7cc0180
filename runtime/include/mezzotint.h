/* mezzotint.h: text-to-image diffusion on any GPU.
 *
 * The one public header. It needs no other header of ours and no Vulkan header, and compiles alone as C99, C11 and C++17.
 * It lies in runtime/ because the small runtime library and the full library both implement it. */
#ifndef MEZZOTINT_H
#define MEZZOTINT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header's ABI: raised when a function or a structure changes other than by growing at its end. */
#define MZT_ABI_VERSION 1

#define MZT_VERSION_STRING "0.1.0"

/* MZT_ABI_VERSION of the library that is linked; *text (may be NULL) receives its version string. Thread-safety: any thread. */
int mzt_version(const char **text);

/* ---------------------------------------------------------------------------------------------------- status -- */

/* What every fallible function returns. Zero is success; errors are negative. */
typedef enum mzt_status {
    MZT_OK = 0,
    MZT_PENDING = 1,             /* not an error: the work is not finished, call again */
    MZT_ERROR_INVALID = -1,      /* an argument, prompt or configuration value is wrong */
    MZT_ERROR_NOT_FOUND = -2,    /* a file, tensor, device or name does not exist */
    MZT_ERROR_IO = -3,           /* reading or writing failed */
    MZT_ERROR_FORMAT = -4,       /* a file is damaged or not what it claims to be */
    MZT_ERROR_UNSUPPORTED = -5,  /* well-formed, but this library cannot do it */
    MZT_ERROR_OUT_OF_MEMORY = -6,/* host or device memory */
    MZT_ERROR_DEVICE = -7,       /* the Vulkan driver reported an error */
    MZT_ERROR_DEVICE_LOST = -8,  /* latched: only destroy functions still work on that device */
    MZT_ERROR_MISMATCH = -9,     /* a validation found results that differ by more than the stated limit */
    MZT_ERROR_INTERNAL = -10,    /* a defect in this library */
    MZT_CANCELLED = -11          /* the caller asked to stop */
} mzt_status;

/* A status with its story: one line without a newline that names the file, tensor or value at fault and what was
 * expected. Filled only when a function fails; `message` is always terminated. */
typedef struct mzt_error {
    mzt_status status;
    char message[500];
} mzt_error;

/* A short English text for a status ("out of memory"). Never NULL. Thread-safety: any thread. */
const char *mzt_status_string(mzt_status status);

/* ------------------------------------------------------------------------------------------------------ hooks -- */

typedef enum mzt_log_level { MZT_LOG_DEBUG = 0, MZT_LOG_INFO = 1, MZT_LOG_WARNING = 2 } mzt_log_level;

/* Hooks a host may give to a context. All members may be NULL or zero.
 * `reallocate` follows C's realloc (size 0 frees, pointer NULL allocates) and may be called from any thread.
 * `log` receives one line without a newline; the library prints nothing by itself. */
typedef struct mzt_hooks {
    void *user;
    void *(*reallocate)(void *user, void *pointer, size_t size);
    void (*log)(void *user, mzt_log_level level, const char *line);
} mzt_hooks;

#ifdef __cplusplus
}
#endif

#endif
