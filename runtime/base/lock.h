/* A mutex. Thread-safety: that is what it is for. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/host.h"

typedef struct lock lock;

/* NULL when out of memory. */
lock *lock_create(const base_host *host);
void lock_destroy(const base_host *host, lock *l); /* NULL is accepted */
void lock_take(lock *l);
void lock_give(lock *l);

#endif
