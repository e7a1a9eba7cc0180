/* Worker threads over POSIX threads; see threads.h. */
#define _POSIX_C_SOURCE 200809L
#include "base/threads.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

struct thread_pool {
    const base_host *host;
    pthread_mutex_t caller; /* held by the thread whose loop is running */
    pthread_mutex_t lock;   /* guards everything below */
    pthread_cond_t wake, done;
    pthread_t *threads;
    uint32_t size, started;
    uint32_t next_worker;
    uint64_t generation;
    bool stop;
    thread_body *body;
    void *argument;
    uint64_t next, count, chunk;
    uint32_t active;
    thread_task *task; /* the one that moves now; NULL: none */
};

/* Takes chunks of the current loop until none is left. Called and returns with the lock held. */
static void work(thread_pool *pool, uint32_t worker) {
    while (pool->next < pool->count) {
        uint64_t first = pool->next, last = first + pool->chunk;
        if (last > pool->count || last < first) last = pool->count;
        pool->next = last;
        thread_body *body = pool->body;
        void *argument = pool->argument;
        pthread_mutex_unlock(&pool->lock);
        body(argument, first, last, worker);
        pthread_mutex_lock(&pool->lock);
    }
}

static void *worker_main(void *argument) {
    thread_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    uint32_t worker = ++pool->next_worker;
    uint64_t seen = 0;
    for (;;) {
        while (!pool->stop && pool->generation == seen) pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->stop) break;
        seen = pool->generation;
        pool->active++;
        work(pool, worker);
        if (--pool->active == 0) pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

mzt_status thread_pool_create(const base_host *host, uint32_t count, thread_pool **out, mzt_error *error) {
    *out = NULL;
    if (count == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? (uint32_t)online : 1;
    }
    if (count > 1024) count = 1024;
    thread_pool *pool = host_calloc(host, 1, sizeof *pool);
    if (!pool) return error_memory(error, "thread pool", sizeof *pool);
    pool->host = host;
    pool->size = count;
    pthread_mutex_init(&pool->caller, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->threads = host_calloc(host, count, sizeof *pool->threads);
    if (!pool->threads) {
        thread_pool_destroy(pool);
        return error_memory(error, "threads", count);
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (pthread_create(&pool->threads[i], NULL, worker_main, pool) != 0) {
            thread_pool_destroy(pool);
            return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "cannot start worker thread %u of %u", i + 1, count);
        }
        pool->started++;
    }
    *out = pool;
    return MZT_OK;
}

void thread_pool_destroy(thread_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->started; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->caller);
    host_free(pool->host, pool->threads);
    host_free(pool->host, pool);
}

uint32_t thread_pool_size(const thread_pool *pool) {
    return pool ? pool->size : 1;
}

/* The whole range [first, last) at once. */
static void run_range(thread_pool *pool, uint64_t first, uint64_t last, uint64_t grain, thread_body *body, void *argument) {
    uint64_t count = last - first;
    if (!pool || pool->size == 1 || count <= grain) {
        body(argument, first, last, 0);
        return;
    }
    pthread_mutex_lock(&pool->caller);
    pthread_mutex_lock(&pool->lock);
    uint64_t chunk = count / ((uint64_t)pool->size * 4); /* four chunks a thread even out unequal speeds */
    pool->chunk = chunk > grain ? chunk : grain;
    pool->body = body;
    pool->argument = argument;
    pool->next = first;
    pool->count = last;
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    work(pool, 0);
    while (pool->active > 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->caller);
}

/* -------------------------------------------------------------------------------------------------------- tasks -- */

#define PIECE_SECONDS 1e-3 /* what a piece of a loop should take */
#define PIECE_GROWTH  8u   /* a piece is at most so many times as long as the one before */

struct thread_task {
    const base_host *host;
    thread_pool *pool;
    thread_task_body *body;
    void *argument;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards `moving` and `ended`; the rest belongs to whichever side moves */
    pthread_cond_t changed;
    bool moving, ended, stopped;
    double deadline;    /* of the slice, in clock_seconds */
    double piece_start; /* when the piece that runs now began */
    double longest;
    uint32_t pieces;
};

/* Ends a slice and sleeps until the next one begins. Called on the task's thread. */
static void stand_still(thread_task *task) {
    pthread_mutex_lock(&task->lock);
    task->moving = false;
    pthread_cond_broadcast(&task->changed);
    while (!task->moving) pthread_cond_wait(&task->changed, &task->lock);
    pthread_mutex_unlock(&task->lock);
    task->piece_start = clock_seconds();
}

/* The end of a piece; the slice ends with it if its time is up. Returns the seconds that the piece took. */
static double end_piece(thread_task *task) {
    double now = clock_seconds(), seconds = now - task->piece_start;
    task->pieces++;
    if (seconds > task->longest) task->longest = seconds;
    task->piece_start = now;
    if (now >= task->deadline && !task->stopped) stand_still(task);
    return seconds;
}

bool thread_task_point(thread_pool *pool) {
    thread_task *task = pool ? pool->task : NULL;
    if (!task) return true;
    end_piece(task);
    return !task->stopped;
}

/* A loop in pieces: each as many items as should take PIECE_SECONDS by what the one before took. */
static void run_pieces(thread_task *task, uint64_t count, uint64_t grain, thread_body *body, void *argument) {
    const uint64_t least = grain * task->pool->size; /* keeps all threads busy */
    uint64_t size = least;
    for (uint64_t first = 0; first < count && !task->stopped;) {
        uint64_t last = count - first > size ? first + size : count;
        run_range(task->pool, first, last, grain, body, argument);
        first = last;
        double fit = (double)size * PIECE_SECONDS / (end_piece(task) + 1e-9);
        double most = (double)size * PIECE_GROWTH;
        fit = fit < most ? fit : most;
        fit = fit < 1e18 ? fit : 1e18;
        size = fit > (double)least ? (uint64_t)fit : least;
    }
}

void thread_pool_for(thread_pool *pool, uint64_t count, uint64_t grain, thread_body *body, void *argument) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    if (pool && pool->task && grain < UINT32_MAX)
        run_pieces(pool->task, count, grain, body, argument);
    else
        run_range(pool, 0, count, grain, body, argument);
}

static void *task_main(void *argument) {
    thread_task *task = argument;
    pthread_mutex_lock(&task->lock);
    while (!task->moving) pthread_cond_wait(&task->changed, &task->lock);
    pthread_mutex_unlock(&task->lock);
    task->piece_start = clock_seconds();
    if (!task->stopped) task->body(task->argument);
    pthread_mutex_lock(&task->lock);
    task->moving = false;
    task->ended = true;
    pthread_cond_broadcast(&task->changed);
    pthread_mutex_unlock(&task->lock);
    return NULL;
}

mzt_status thread_task_start(const base_host *host, thread_pool *pool, thread_task_body *body, void *argument,
                             thread_task **out, mzt_error *error) {
    *out = NULL;
    thread_task *task = host_calloc(host, 1, sizeof *task);
    if (!task) return error_memory(error, "task", sizeof *task);
    task->host = host;
    task->pool = pool;
    task->body = body;
    task->argument = argument;
    pthread_mutex_init(&task->lock, NULL);
    pthread_cond_init(&task->changed, NULL);
    if (pthread_create(&task->thread, NULL, task_main, task) != 0) {
        thread_task_destroy(task);
        return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "cannot start a thread for a task");
    }
    task->started = true;
    *out = task;
    return MZT_OK;
}

bool thread_task_advance(thread_task *task, double seconds) {
    if (task->ended) return true;
    task->deadline = clock_seconds() + seconds;
    task->pool->task = task;
    pthread_mutex_lock(&task->lock);
    task->moving = true;
    pthread_cond_broadcast(&task->changed);
    while (task->moving) pthread_cond_wait(&task->changed, &task->lock);
    bool ended = task->ended;
    pthread_mutex_unlock(&task->lock);
    task->pool->task = NULL;
    return ended;
}

void thread_task_stop(thread_task *task) {
    task->stopped = true;
}

void thread_task_pieces(const thread_task *task, uint32_t *count, double *longest) {
    if (count) *count = task->pieces;
    if (longest) *longest = task->longest;
}

void thread_task_destroy(thread_task *task) {
    if (!task) return;
    if (task->started) {
        task->stopped = true;
        thread_task_advance(task, 0);
        pthread_join(task->thread, NULL);
    }
    pthread_cond_destroy(&task->changed);
    pthread_mutex_destroy(&task->lock);
    host_free(task->host, task);
}

double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
