/* A pool of worker threads that run one parallel loop at a time, and tasks that run in slices of time.
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

/* A task is body(argument) on a thread of its own, which moves only while thread_task_advance is called: code written as one
 * piece, run in slices. It may stop before and after every loop over `pool`, inside of them between runs of items that take
 * about a millisecond (which is why loops must not care how their range is divided), and wherever it calls thread_task_point.
 * Several tasks may stand still at a time, one may move. */
typedef struct thread_task thread_task;
typedef void thread_task_body(void *argument);

/* Nothing of the body runs yet. Owner: the caller; everything given must outlive the task. */
mzt_status thread_task_start(const base_host *host, thread_pool *pool, thread_task_body *body, void *argument,
                             thread_task **out, mzt_error *error);

/* Moves for `seconds` (INFINITY: to the end), but at least over one piece, and returns true once the body has returned. */
bool thread_task_advance(thread_task *task, double seconds);

/* From now on loops return at once, with items left out, and thread_task_point returns false: the body should come to its
 * end, at the next thread_task_advance. */
void thread_task_stop(thread_task *task);

/* Pieces that the task went through so far, and seconds of the longest. Either pointer may be NULL. */
void thread_task_pieces(const thread_task *task, uint32_t *count, double *longest);

/* Stops it, lets it come to its end, and destroys it. NULL is accepted. */
void thread_task_destroy(thread_task *task);

/* To be called inside a body (anywhere else it does nothing and returns true): a place to stop at. False: come to an end. */
bool thread_task_point(thread_pool *pool);

/* Monotonic seconds since an arbitrary start. */
double clock_seconds(void);

#endif
