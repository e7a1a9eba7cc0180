/* Errors as values; see error.h. */
#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *mzt_status_string(mzt_status status) {
    switch (status) {
    case MZT_OK: return "success";
    case MZT_PENDING: return "pending";
    case MZT_ERROR_INVALID: return "invalid argument";
    case MZT_ERROR_NOT_FOUND: return "not found";
    case MZT_ERROR_IO: return "input/output error";
    case MZT_ERROR_FORMAT: return "malformed data";
    case MZT_ERROR_UNSUPPORTED: return "not supported";
    case MZT_ERROR_OUT_OF_MEMORY: return "out of memory";
    case MZT_ERROR_DEVICE: return "device error";
    case MZT_ERROR_DEVICE_LOST: return "device lost";
    case MZT_ERROR_MISMATCH: return "results differ";
    case MZT_ERROR_INTERNAL: return "internal error";
    case MZT_CANCELLED: return "cancelled";
    }
    return "unknown status";
}

mzt_status error_set(mzt_error *error, mzt_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

mzt_status error_prefix(mzt_error *error, const char *format, ...) {
    if (!error) return MZT_ERROR_INTERNAL;
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used < sizeof error->message)
        snprintf(error->message + used, sizeof error->message - (size_t)used, "%s", old);
    return error->status;
}

mzt_status error_memory(mzt_error *error, const char *what, uint64_t bytes) {
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "out of memory: %s (%llu bytes)", what, (unsigned long long)bytes);
}

const char *error_text(char *buffer, size_t size, const char *text) {
    size_t length = strlen(text);
    bool cut = length >= size;
    if (cut) {
        length = size - 4;
        while (length > 0 && ((unsigned char)text[length] & 0xc0u) == 0x80u) length--;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        buffer[i] = byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
    memcpy(buffer + length, cut ? "..." : "", cut ? 4 : 1);
    return buffer;
}
