/* Which model a command uses; see model_path.h. */
#define _POSIX_C_SOURCE 200809L
#include "model_path.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* NULL: in none of the places. */
static char *find(const base_host *host, const char *name, const char *probe) {
    static const char *const places[] = {"models", "../models", "../share/mezzotint/models"};
    char folder[4096];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        char *models = path_join(host, folder, places[i]);
        char *candidate = models ? path_join(host, models, name) : NULL;
        char *probed = candidate && probe ? path_join(host, candidate, probe) : NULL;
        const char *asked = probe ? probed : candidate;
        bool there = asked && file_exists(asked);
        host_free(host, models);
        host_free(host, probed);
        if (there) return candidate;
        host_free(host, candidate);
    }
    return NULL;
}

mzt_status shipped_path_find(const base_host *host, const char *name, char **path, mzt_error *error) {
    *path = find(host, name, NULL);
    return *path ? MZT_OK : error_set(error, MZT_ERROR_NOT_FOUND, "no %s ships with this build", name);
}

mzt_status model_path_find(const base_host *host, const char *given, char **path, mzt_error *error) {
    if (given) {
        *path = host_strdup(host, given);
        return *path ? MZT_OK : error_memory(error, "path", strlen(given));
    }
    *path = find(host, "sprite", "model_index.json");
    if (*path) return MZT_OK;
    return error_set(error, MZT_ERROR_NOT_FOUND, "no model ships with this build: give one with --model FOLDER");
}
