/* Checkpoints that survive being killed; see checkpoint.h. */
#define _POSIX_C_SOURCE 200809L
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { NAME_SIZE = 64, COPY_LIMIT = 1 << 30, DEPTH = 4 };

struct checkpoint_writer {
    const base_host *host;
    char *output, *aside; /* the output folder; the one being written */
    char name[NAME_SIZE]; /* "checkpoint-000001200" */
};

static mzt_status io_error(mzt_error *error, const char *verb, const char *path) {
    return error_set(error, MZT_ERROR_IO, "%s: cannot %s: %s", path, verb, strerror(errno));
}

/* Calls visit(path, is_folder, user) for each entry of a folder, in no order. Symbolic links count as files.
 */
typedef mzt_status entry_visit(const base_host *host, const char *folder, const char *name, bool is_folder,
                               void *user, mzt_error *error);

static mzt_status each_entry(const base_host *host, const char *folder, entry_visit *visit, void *user,
                             mzt_error *error) {
    DIR *d = opendir(folder);
    if (!d) return io_error(error, "open the folder", folder);
    mzt_status status = MZT_OK;
    for (struct dirent *entry; status >= 0 && (entry = readdir(d));) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *path = path_join(host, folder, entry->d_name);
        if (!path) {
            status = error_memory(error, folder, 0);
        } else if (lstat(path, &info) == 0) {
            status = visit(host, folder, entry->d_name, S_ISDIR(info.st_mode), user, error);
        }
        host_free(host, path);
    }
    closedir(d);
    return status;
}

/* ------------------------------------------------------------------------------------------------- removing
 * -- */

static mzt_status remove_folder(const base_host *host, const char *path, uint32_t depth, mzt_error *error);

static mzt_status remove_entry(const base_host *host, const char *folder, const char *name, bool is_folder,
                               void *user, mzt_error *error) {
    const uint32_t *depth = user;
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, folder, 0);
    mzt_status status = MZT_OK;
    if (is_folder)
        status = remove_folder(host, path, *depth + 1, error);
    else if (unlink(path) != 0 && errno != ENOENT)
        status = io_error(error, "remove", path);
    host_free(host, path);
    return status;
}

/* Checkpoints are no deeper than DEPTH: anything deeper is not ours, and stays. */
static mzt_status remove_folder(const base_host *host, const char *path, uint32_t depth, mzt_error *error) {
    if (depth > DEPTH) return error_set(error, MZT_ERROR_IO, "%s: too deep to be part of a checkpoint", path);
    TRY(each_entry(host, path, remove_entry, &depth, error));
    return rmdir(path) == 0 || errno == ENOENT ? MZT_OK : io_error(error, "remove", path);
}

static bool is_checkpoint(const char *name, bool *is_aside) {
    static const char start[] = "checkpoint-";
    if (strncmp(name, start, sizeof start - 1) != 0) return false;
    const char *digits = name + sizeof start - 1;
    const size_t count = strspn(digits, "0123456789");
    *is_aside = strcmp(digits + count, ".tmp") == 0;
    return count >= 9 && (*is_aside || digits[count] == '\0');
}

/* What is to stay; NULL: every finished checkpoint. */
typedef struct keep {
    const char *newest, *before;
} keep;

static mzt_status sweep_entry(const base_host *host, const char *folder, const char *name, bool is_folder,
                              void *user, mzt_error *error) {
    const keep *k = user;
    bool is_aside;
    if (!is_folder || !is_checkpoint(name, &is_aside)) return MZT_OK;
    if (!is_aside && (!k || strcmp(name, k->newest) == 0 || strcmp(name, k->before) == 0)) return MZT_OK;
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, folder, 0);
    mzt_status status = remove_folder(host, path, 0, error);
    host_free(host, path);
    return status;
}

/* -------------------------------------------------------------------------------------------------- syncing
 * -- */

static mzt_status sync_folder(const char *path, mzt_error *error) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) return io_error(error, "open the folder", path);
    const bool done = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot sync folders */
    mzt_status status = done ? MZT_OK : io_error(error, "sync", path);
    close(fd);
    return status;
}

/* Files sync themselves when they are written (see file_writer_commit); here their folders. */
static mzt_status sync_entry(const base_host *host, const char *folder, const char *name, bool is_folder,
                             void *user, mzt_error *error) {
    (void)user;
    if (!is_folder) return MZT_OK;
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, folder, 0);
    mzt_status status = sync_folder(path, error);
    if (status >= 0) status = each_entry(host, path, sync_entry, NULL, error);
    host_free(host, path);
    return status;
}

/* -------------------------------------------------------------------------------------------------- writing
 * -- */

static void writer_free(checkpoint_writer *c) {
    const base_host *host = c->host;
    host_free(host, c->output);
    host_free(host, c->aside);
    host_free(host, c);
}

mzt_status checkpoint_begin(const base_host *host, const char *output, uint64_t step, checkpoint_writer **out,
                            mzt_error *error) {
    *out = NULL;
    checkpoint_writer *c = host_calloc(host, 1, sizeof *c);
    if (!c) return error_memory(error, "checkpoint", sizeof *c);
    char aside[NAME_SIZE + 8];
    c->host = host;
    snprintf(c->name, sizeof c->name, "checkpoint-%09llu", (unsigned long long)step);
    snprintf(aside, sizeof aside, "%s.tmp", c->name);
    c->output = host_strdup(host, output);
    c->aside = path_join(host, output, aside);
    mzt_status status = c->output && c->aside ? folder_create(host, output, error)
                                              : error_memory(error, output, strlen(output));
    if (status >= 0) status = each_entry(host, output, sweep_entry, NULL, error);
    if (status >= 0) status = folder_create(host, c->aside, error);
    if (status < 0)
        writer_free(c);
    else
        *out = c;
    return status;
}

const char *checkpoint_folder(const checkpoint_writer *c) {
    return c->aside;
}

/* The full path of a file to be written, its folder made: a fresh string. */
static mzt_status place(const checkpoint_writer *c, const char *name, char **path, mzt_error *error) {
    *path = path_join(c->host, c->aside, name);
    if (!*path) return error_memory(error, name, 0);
    char *slash = strrchr(*path, '/');
    *slash = '\0';
    mzt_status status = folder_create(c->host, *path, error);
    *slash = '/';
    if (status < 0) host_free(c->host, *path);
    return status;
}

mzt_status checkpoint_file(checkpoint_writer *c, const char *name, const void *data, uint64_t size,
                           mzt_error *error) {
    char *path;
    TRY(place(c, name, &path, error));
    mzt_status status = file_write(c->host, path, data, size, error);
    host_free(c->host, path);
    return status;
}

mzt_status checkpoint_tensors(checkpoint_writer *c, const char *name, const weights_tensor *tensors,
                              uint32_t count, const char *const *metadata, uint32_t metadata_count,
                              mzt_error *error) {
    char *path;
    TRY(place(c, name, &path, error));
    mzt_status status = safetensors_save(c->host, path, tensors, count, metadata, metadata_count, error);
    host_free(c->host, path);
    return status;
}

typedef struct copying {
    checkpoint_writer *c;
    const char *name;
} copying;

static mzt_status copy_file(checkpoint_writer *c, const char *name, const char *from, mzt_error *error) {
    file_mapping mapping;
    TRY(file_map(from, &mapping, error));
    mzt_status status = checkpoint_file(c, name, mapping.data, mapping.size, error);
    file_unmap(&mapping);
    return status;
}

static mzt_status copy_entry(const base_host *host, const char *folder, const char *name, bool is_folder,
                             void *user, mzt_error *error) {
    const copying *copy = user;
    if (is_folder) return MZT_OK;
    char *from = path_join(host, folder, name), *to = path_join(host, copy->name, name);
    mzt_status status = from && to ? copy_file(copy->c, to, from, error) : error_memory(error, name, 0);
    host_free(host, from);
    host_free(host, to);
    return status;
}

mzt_status checkpoint_copy(checkpoint_writer *c, const char *name, const char *from, mzt_error *error) {
    struct stat info;
    if (stat(from, &info) != 0) return io_error(error, "read", from);
    if (!S_ISDIR(info.st_mode)) return copy_file(c, name, from, error);
    copying copy = {.c = c, .name = name};
    return each_entry(c->host, from, copy_entry, &copy, error);
}

/* The name that `latest` points to; "" if there is none. */
static void read_latest(const char *link, char name[NAME_SIZE]) {
    const ssize_t length = readlink(link, name, NAME_SIZE - 1);
    name[length > 0 ? length : 0] = '\0';
}

static mzt_status point_latest(const checkpoint_writer *c, const char *latest, mzt_error *error) {
    char *fresh = path_join(c->host, c->output, "latest.tmp");
    if (!fresh) return error_memory(error, "latest", 0);
    mzt_status status = MZT_OK;
    unlink(fresh);
    if (symlink(c->name, fresh) != 0)
        status = io_error(error, "make the link", fresh);
    else if (rename(fresh, latest) != 0)
        status = io_error(error, "replace", latest);
    host_free(c->host, fresh);
    return status >= 0 ? sync_folder(c->output, error) : status;
}

static mzt_status finish(checkpoint_writer *c, char *final, const char *latest, mzt_error *error) {
    char before[NAME_SIZE];
    struct stat info;
    read_latest(latest, before);
    TRY(sync_folder(c->aside, error));
    TRY(each_entry(c->host, c->aside, sync_entry, NULL, error));
    if (strcmp(before, c->name) == 0)
        return error_set(error, MZT_ERROR_INVALID, "%s: the checkpoint of this step exists", final);
    /* A run that was killed between the two renames left this one, complete but never pointed to. */
    if (lstat(final, &info) == 0) TRY(remove_folder(c->host, final, 0, error));
    if (rename(c->aside, final) != 0) return io_error(error, "rename to", final);
    TRY(point_latest(c, latest, error));
    const keep k = {.newest = c->name, .before = before};
    return each_entry(c->host, c->output, sweep_entry, (void *)(uintptr_t)&k, error);
}

mzt_status checkpoint_commit(checkpoint_writer *c, mzt_error *error) {
    char *final = path_join(c->host, c->output, c->name), *latest = path_join(c->host, c->output, "latest");
    mzt_status status = final && latest ? finish(c, final, latest, error) : error_memory(error, c->name, 0);
    host_free(c->host, final);
    host_free(c->host, latest);
    if (status < 0)
        checkpoint_abandon(c);
    else
        writer_free(c);
    return status;
}

void checkpoint_abandon(checkpoint_writer *c) {
    if (!c) return;
    remove_folder(c->host, c->aside, 0, NULL); /* what stays is swept up by the next checkpoint */
    writer_free(c);
}

mzt_status checkpoint_latest(const base_host *host, const char *output, char **path, mzt_error *error) {
    *path = path_join(host, output, "latest");
    if (!*path) return error_memory(error, output, strlen(output));
    if (file_exists(*path)) return MZT_OK;
    host_free(host, *path);
    *path = NULL;
    return error_set(error, MZT_ERROR_NOT_FOUND, "%s: no checkpoint to resume from (no %s/latest)", output,
                     output);
}
