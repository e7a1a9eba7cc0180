/* Which model a command uses; see model_path.h. */
#define _POSIX_C_SOURCE 200809L
#include "model_path.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"

mzt_status model_path_find(const base_host *host, const char *given, char **path, mzt_error *error) {
    if (given) {
        *path = host_strdup(host, given);
        return *path ? MZT_OK : error_memory(error, "path", strlen(given));
    }
    static const char *const places[] = {"models/sprite", "../models/sprite", "../share/mezzotint/models/sprite"};
    char folder[4096];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        char *candidate = path_join(host, folder, places[i]);
        char *index = candidate ? path_join(host, candidate, "model_index.json") : NULL;
        bool there = index && file_exists(index);
        host_free(host, index);
        if (there) {
            *path = candidate;
            return MZT_OK;
        }
        host_free(host, candidate);
    }
    return error_set(error, MZT_ERROR_NOT_FOUND, "no model ships with this build: give one with --model FOLDER");
}
