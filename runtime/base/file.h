/* Files: read-only mapping, whole reads with a size limit, and writes that are put aside and renamed, so that a failed or
 * killed write never leaves a broken file under the wanted name. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/host.h"

/* A file mapped read-only. Owner: whoever called file_map; release with file_unmap. */
typedef struct file_mapping {
    const uint8_t *data;
    uint64_t size;
    bool borrowed; /* of a file_source: file_unmap only forgets it */
} file_mapping;

/* Files that do not come from the system but from a host program; see base_host.files. */
typedef struct file_source {
    void *user;
    /* Whether there is a file or folder of this path ("folder/." asks for folders only). */
    bool (*exists)(void *user, const char *path);
    /* Its bytes, which stay until the source goes. NOT_FOUND, IO, OUT_OF_MEMORY. */
    mzt_status (*map)(void *user, const char *path, file_mapping *mapping, mzt_error *error);
} file_source;

/* Maps `path`. An empty file gives size 0 and a NULL pointer. NOT_FOUND, IO, or INVALID for a directory. */
mzt_status file_map(const char *path, file_mapping *mapping, mzt_error *error);
void file_unmap(file_mapping *mapping);

/* Reads a whole file of at most `limit` bytes into a fresh block, with a terminating zero behind it. */
mzt_status file_read(const base_host *host, const char *path, uint64_t limit, char **data, uint64_t *size, mzt_error *error);

bool file_exists(const char *path);

/* file_map and file_exists of the host's files. */
mzt_status host_file_map(const base_host *host, const char *path, file_mapping *mapping, mzt_error *error);
bool host_file_exists(const base_host *host, const char *path);

/* Makes a folder and those above it; one that is there already is no error. */
mzt_status folder_create(const base_host *host, const char *path, mzt_error *error);

/* Joins two path parts with '/', in a fresh block; NULL when out of memory. */
char *path_join(const base_host *host, const char *directory, const char *name);

/* A file being written aside ("PATH.tmpNNN" in the same folder). Fill through `write`, then commit or abandon. */
typedef struct file_writer file_writer;
mzt_status file_writer_open(const base_host *host, const char *path, file_writer **writer, mzt_error *error);
mzt_status file_writer_write(file_writer *writer, const void *data, uint64_t size, mzt_error *error);
/* Syncs, renames over the wanted name, and destroys the writer, also on failure (nothing is then left behind). */
mzt_status file_writer_commit(file_writer *writer, mzt_error *error);
void file_writer_abandon(file_writer *writer); /* NULL is accepted */

/* The three calls above for data at hand. */
mzt_status file_write(const base_host *host, const char *path, const void *data, uint64_t size, mzt_error *error);

#endif
