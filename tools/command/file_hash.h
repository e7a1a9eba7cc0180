/* SHA-256 of files, as programs of the field name models by it; in a thread of its own where the file is
 * large. */
#ifndef COMMAND_FILE_HASH_H
#define COMMAND_FILE_HASH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/host.h"

#define FILE_HASH_DIGITS 10

/* Writes the first FILE_HASH_DIGITS digits of the file's SHA-256 to `text`. NOT_FOUND, IO; CANCELLED once
 * *stop (may be NULL) is set. */
mzt_status file_hash(const char *path, const atomic_bool *stop, char text[FILE_HASH_DIGITS + 1],
                     mzt_error *error);

/* The same while other work goes on. */
typedef struct hash_task hash_task;

/* Begins. NULL where no thread can be had; file_hash_finish then does the work. `path` must live until it. */
hash_task *file_hash_begin(const base_host *host, const char *path);
/* Waits for the digits; frees the task. */
mzt_status file_hash_finish(hash_task *task, const char *path, char text[FILE_HASH_DIGITS + 1],
                            mzt_error *error);
void file_hash_abandon(hash_task *task); /* stops and frees it; NULL is accepted */

#endif
