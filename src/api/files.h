/* A model's files from a host's memory or archive, as a file_source. */
#ifndef API_FILES_H
#define API_FILES_H

#include "base/file.h"

#define API_FILES_ROOT "memory:" /* what stands for the model's folder in paths and messages */

typedef struct api_files {
    const base_host *host;
    struct api_file *list; /* what was given, or what was read so far */
    uint32_t count, capacity;
    mzt_reader reader; /* find NULL: all files are in `list` */
    file_source source;
} api_files;

/* Over files in memory, whose names are copied; or over a reader. Errors name the file. */
mzt_status api_files_from_memory(const base_host *host, const mzt_file *files, uint32_t count,
                                 api_files **out, mzt_error *error);
mzt_status api_files_from_reader(const base_host *host, const mzt_reader *reader, api_files **out,
                                 mzt_error *error);
void api_files_destroy(api_files *files); /* NULL is accepted */

/* The path to open: the folder, or its only file. A fresh string; NULL when out of memory. */
char *api_files_path(const api_files *files);

#endif
