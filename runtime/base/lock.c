/* A mutex over POSIX threads; see lock.h. */
#include "base/lock.h"

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

lock *lock_create(const base_host *host) {
    lock *l = host_calloc(host, 1, sizeof *l);
    if (l && pthread_mutex_init(&l->mutex, NULL) != 0) {
        host_free(host, l);
        return NULL;
    }
    return l;
}

void lock_destroy(const base_host *host, lock *l) {
    if (!l) return;
    pthread_mutex_destroy(&l->mutex);
    host_free(host, l);
}

void lock_take(lock *l) {
    pthread_mutex_lock(&l->mutex);
}

void lock_give(lock *l) {
    pthread_mutex_unlock(&l->mutex);
}
