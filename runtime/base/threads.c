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

void thread_pool_for(thread_pool *pool, uint64_t count, uint64_t grain, thread_body *body, void *argument) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    if (!pool || pool->size == 1 || count <= grain) {
        body(argument, 0, count, 0);
        return;
    }
    pthread_mutex_lock(&pool->caller);
    pthread_mutex_lock(&pool->lock);
    uint64_t chunk = count / ((uint64_t)pool->size * 4); /* four chunks a thread even out unequal speeds */
    pool->chunk = chunk > grain ? chunk : grain;
    pool->body = body;
    pool->argument = argument;
    pool->next = 0;
    pool->count = count;
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    work(pool, 0);
    while (pool->active > 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->caller);
}

double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
