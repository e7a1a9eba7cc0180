/* A pool of worker threads that run one parallel loop at a time, and a mutex.
 * Thread-safety: a pool serves one caller at a time (it locks itself); different pools are independent. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include "base/host.h"

typedef struct thread_pool thread_pool;

/* `count` threads in all, the caller included; 0 means one per online processor. */
mzt_status thread_pool_create(const base_host *host, uint32_t count, thread_pool **pool, mzt_error *error);
void thread_pool_destroy(thread_pool *pool); /* NULL is accepted */
uint32_t thread_pool_size(const thread_pool *pool);

/* Calls body(argument, first, last, worker) over disjoint ranges that cover [0, count), and returns when all are done.
 * Ranges hold at least `grain` items (but the last). `worker` is below thread_pool_size. `pool` NULL runs it inline. */
typedef void thread_body(void *argument, uint64_t first, uint64_t last, uint32_t worker);
void thread_pool_for(thread_pool *pool, uint64_t count, uint64_t grain, thread_body *body, void *argument);

/* Monotonic seconds since an arbitrary start. */
double clock_seconds(void);

#endif
