/* Hashes of files; see file_hash.h. */
#include "file_hash.h"

#include <pthread.h>

#include "base/file.h"
#include "base/sha256.h"

enum { PIECE = 1 << 20 }; /* bytes between two looks at `stop` */

struct hash_task {
    const base_host *host;
    const char *path;
    pthread_t thread;
    atomic_bool stop;
    char text[FILE_HASH_DIGITS + 1];
    mzt_status status;
    mzt_error error;
};

mzt_status file_hash(const char *path, const atomic_bool *stop, char text[FILE_HASH_DIGITS + 1],
                     mzt_error *error) {
    file_mapping file;
    sha256 s;
    uint8_t digest[32];
    TRY(file_map(path, &file, error));
    sha256_begin(&s);
    mzt_status status = MZT_OK;
    for (uint64_t at = 0; status >= 0 && at < file.size; at += PIECE) {
        uint64_t left = file.size - at;
        if (stop && atomic_load(stop)) status = MZT_CANCELLED;
        sha256_add(&s, file.data + at, (size_t)(left < PIECE ? left : PIECE));
    }
    sha256_end(&s, digest);
    sha256_hex(digest, FILE_HASH_DIGITS, text);
    file_unmap(&file);
    return status;
}

static void *run(void *argument) {
    hash_task *task = argument;
    task->status = file_hash(task->path, &task->stop, task->text, &task->error);
    return NULL;
}

hash_task *file_hash_begin(const base_host *host, const char *path) {
    hash_task *task = host_calloc(host, 1, sizeof *task);
    if (!task) return NULL;
    task->host = host;
    task->path = path;
    atomic_init(&task->stop, false);
    if (pthread_create(&task->thread, NULL, run, task) == 0) return task;
    host_free(host, task);
    return NULL;
}

mzt_status file_hash_finish(hash_task *task, const char *path, char text[FILE_HASH_DIGITS + 1],
                            mzt_error *error) {
    if (!task) return file_hash(path, NULL, text, error);
    pthread_join(task->thread, NULL);
    mzt_status status = task->status;
    for (int i = 0; i <= FILE_HASH_DIGITS; i++)
        text[i] = task->text[i];
    if (status < 0 && status != MZT_CANCELLED) status = error_set(error, status, "%s", task->error.message);
    host_free(task->host, task);
    return status;
}

void file_hash_abandon(hash_task *task) {
    if (!task) return;
    atomic_store(&task->stop, true);
    pthread_join(task->thread, NULL);
    host_free(task->host, task);
}
