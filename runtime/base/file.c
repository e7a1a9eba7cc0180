/* Files; see file.h. POSIX; a Windows twin belongs beside it, behind the same header. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static mzt_status io_error(mzt_error *error, const char *verb, const char *path) {
    return error_set(error, errno == ENOENT ? MZT_ERROR_NOT_FOUND : MZT_ERROR_IO, "%s: cannot %s: %s", path, verb,
                     strerror(errno));
}

static mzt_status open_regular(const char *path, int *descriptor, uint64_t *size, mzt_error *error) {
    /* Opening a pipe that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return io_error(error, "open", path);
    struct stat info;
    if (fstat(fd, &info) != 0) {
        mzt_status status = io_error(error, "stat", path);
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(error, MZT_ERROR_INVALID, "%s: not a regular file", path);
    }
    *descriptor = fd;
    *size = (uint64_t)info.st_size;
    return MZT_OK;
}

mzt_status file_map(const char *path, file_mapping *mapping, mzt_error *error) {
    int fd;
    uint64_t size;
    *mapping = (file_mapping){.data = NULL};
    TRY(open_regular(path, &fd, &size, error));
    mzt_status status = MZT_OK;
    if (size > 0) {
        void *data = size <= SIZE_MAX ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        if (data == MAP_FAILED) {
            status = io_error(error, "map", path);
        } else {
            mapping->data = data;
            mapping->size = size;
        }
    }
    close(fd);
    return status;
}

void file_unmap(file_mapping *mapping) {
    if (mapping->data && !mapping->borrowed) munmap((void *)(uintptr_t)mapping->data, (size_t)mapping->size);
    *mapping = (file_mapping){.data = NULL};
}

mzt_status host_file_map(const base_host *host, const char *path, file_mapping *mapping, mzt_error *error) {
    if (!host->files) return file_map(path, mapping, error);
    *mapping = (file_mapping){.data = NULL};
    TRY(host->files->map(host->files->user, path, mapping, error));
    mapping->borrowed = true;
    return MZT_OK;
}

bool host_file_exists(const base_host *host, const char *path) {
    return host->files ? host->files->exists(host->files->user, path) : file_exists(path);
}

static mzt_status too_large(mzt_error *error, const char *path, uint64_t size, uint64_t limit) {
    return error_set(error, MZT_ERROR_FORMAT, "%s: %llu bytes, more than the limit of %llu", path,
                     (unsigned long long)size, (unsigned long long)limit);
}

/* file_read from a file_source. */
static mzt_status copy_source(const base_host *host, const char *path, uint64_t limit, char **data, uint64_t *size,
                              mzt_error *error) {
    file_mapping mapping;
    TRY(host_file_map(host, path, &mapping, error));
    if (mapping.size > limit || mapping.size >= SIZE_MAX) return too_large(error, path, mapping.size, limit);
    char *block = host_realloc(host, NULL, (size_t)mapping.size + 1, 1);
    if (!block) return error_memory(error, path, mapping.size);
    if (mapping.size) memcpy(block, mapping.data, (size_t)mapping.size);
    block[mapping.size] = '\0';
    *data = block;
    *size = mapping.size;
    return MZT_OK;
}

mzt_status file_read(const base_host *host, const char *path, uint64_t limit, char **data, uint64_t *size, mzt_error *error) {
    int fd;
    uint64_t total;
    if (host->files) return copy_source(host, path, limit, data, size, error);
    TRY(open_regular(path, &fd, &total, error));
    if (total > limit || total >= SIZE_MAX) {
        close(fd);
        return too_large(error, path, total, limit);
    }
    char *block = host_realloc(host, NULL, (size_t)total + 1, 1);
    if (!block) {
        close(fd);
        return error_memory(error, path, total);
    }
    uint64_t done = 0;
    while (done < total) {
        ssize_t got = read(fd, block + done, (size_t)(total - done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += (uint64_t)got;
    }
    if (done < total) {
        mzt_status status = error_set(error, MZT_ERROR_IO, "%s: read %llu of %llu bytes", path, (unsigned long long)done,
                                      (unsigned long long)total);
        close(fd);
        host_free(host, block);
        return status;
    }
    close(fd);
    block[total] = '\0';
    *data = block;
    *size = total;
    return MZT_OK;
}

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

mzt_status folder_create(const base_host *host, const char *path, mzt_error *error) {
    char *part = host_strdup(host, path);
    if (!part) return error_memory(error, path, strlen(path));
    mzt_status status = MZT_OK;
    size_t length = strlen(part);
    for (size_t i = 1; i <= length && status == MZT_OK; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && errno != EISDIR) status = io_error(error, "make folder", part);
        part[i] = end;
    }
    host_free(host, part);
    return status;
}

char *path_join(const base_host *host, const char *directory, const char *name) {
    size_t a = strlen(directory), b = strlen(name);
    char *path = host_calloc(host, a + b + 2, 1);
    if (!path) return NULL;
    memcpy(path, directory, a);
    if (a > 0 && directory[a - 1] != '/') path[a++] = '/';
    memcpy(path + a, name, b);
    return path;
}

struct file_writer {
    const base_host *host;
    char *path, *aside;
    int descriptor;
};

static void writer_free(file_writer *writer) {
    const base_host *host = writer->host;
    if (writer->descriptor >= 0) close(writer->descriptor);
    host_free(host, writer->path);
    host_free(host, writer->aside);
    host_free(host, writer);
}

/* Makes a file that was not there before, with the permissions that the umask leaves: the name's tail tells
 * processes apart by number and threads by the clock, and whoever still meets a taken name tries the next
 * one. */
static int create_aside(char *aside, size_t size, const char *path) {
    for (uint32_t attempt = 0; attempt < 1000; attempt++) {
        struct timespec now = {0};
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(aside, size, "%s.tmp%lx-%lx", path, (unsigned long)getpid(),
                 (unsigned long)now.tv_nsec + attempt);
        int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

mzt_status file_writer_open(const base_host *host, const char *path, file_writer **out, mzt_error *error) {
    *out = NULL;
    file_writer *writer = host_calloc(host, 1, sizeof *writer);
    if (!writer) return error_memory(error, "file writer", sizeof *writer);
    writer->host = host;
    writer->descriptor = -1;
    writer->path = host_strdup(host, path);
    const size_t size = strlen(path) + 48;
    writer->aside = host_calloc(host, size, 1);
    if (!writer->path || !writer->aside) {
        writer_free(writer);
        return error_memory(error, "file writer", size);
    }
    writer->descriptor = create_aside(writer->aside, size, path);
    if (writer->descriptor < 0) {
        mzt_status status =
            error_set(error, MZT_ERROR_IO, "%s: cannot write here: %s", path, strerror(errno));
        writer_free(writer);
        return status;
    }
    *out = writer;
    return MZT_OK;
}

mzt_status file_writer_write(file_writer *writer, const void *data, uint64_t size, mzt_error *error) {
    const uint8_t *from = data;
    while (size > 0) {
        size_t chunk = size > (1u << 30) ? (1u << 30) : (size_t)size;
        ssize_t put = write(writer->descriptor, from, chunk);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return io_error(error, "write", writer->path);
        from += put;
        size -= (uint64_t)put;
    }
    return MZT_OK;
}

mzt_status file_writer_commit(file_writer *writer, mzt_error *error) {
    mzt_status status = MZT_OK;
    if (fsync(writer->descriptor) != 0 && errno != EINVAL) status = io_error(error, "sync", writer->path);
    if (status == MZT_OK && rename(writer->aside, writer->path) != 0) status = io_error(error, "rename to", writer->path);
    if (status != MZT_OK) unlink(writer->aside);
    writer_free(writer);
    return status;
}

void file_writer_abandon(file_writer *writer) {
    if (!writer) return;
    unlink(writer->aside);
    writer_free(writer);
}

mzt_status file_write(const base_host *host, const char *path, const void *data, uint64_t size, mzt_error *error) {
    file_writer *writer;
    TRY(file_writer_open(host, path, &writer, error));
    mzt_status status = file_writer_write(writer, data, size, error);
    if (status < 0) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}
