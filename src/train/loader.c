/* Batches made ahead by background threads; see loader.h. */
#define _POSIX_C_SOURCE 200809L
#include "train/loader.h"

#include <pthread.h>
#include <unistd.h>

#include "sample/random.h"

enum { MAX_THREADS = 256 };

typedef struct slot {
    loader_batch batch;
    uint32_t made;   /* samples that are ready, or failed */
    mzt_error error; /* of the first sample (in order) that failed */
    uint32_t failed; /* its place; UINT32_MAX: none */
} slot;

struct loader {
    const base_host *host;
    loader_options o;
    uint64_t picture_count; /* floats of one picture */
    slot *slots;            /* [depth]; batch b lies in slot b % depth */
    uint32_t depth;
    pthread_mutex_t lock; /* guards everything below and the slots' made, error and failed */
    pthread_cond_t room, ready;
    uint64_t next;     /* next sample to be made, counted from the first batch of step 0 */
    uint64_t consumed; /* batches below this one were handed out and are no longer in use */
    uint64_t handed;   /* batches below this one were handed out */
    bool stop;
    pthread_t threads[MAX_THREADS];
    uint32_t started;
};

/* --------------------------------------------------------------------------------------------------- making
 * -- */

static mzt_status make_sample(const loader *l, const loader_batch *to, uint32_t place, mzt_error *error) {
    const loader_options *o = &l->o;
    const uint32_t count = o->data->train_count;
    const uint64_t position = to->step * to->all + to->first + place, epoch = position / count;
    const uint32_t sample = dataset_order(o->seed, epoch, count, (uint32_t)(position % count));
    const uint32_t item = o->data->train[sample];
    const uint64_t variant = o->variants ? epoch % o->variants : epoch;
    dataset_facts facts = {.colour = COLOUR_NONE};
    to->samples[place] = sample;
    to->variants[place] = o->variants ? (uint32_t)variant : 0;
    if (o->pictures)
        TRY(dataset_picture(o->data, o->exclude, &o->config->augment, true, o->seed, variant, item,
                            to->pictures + place * l->picture_count, &facts, error));
    else if (o->facts)
        facts = o->facts[variant * count + sample];
    if (o->noise)
        random_normals(o->seed, draws_number(DRAW_NOISE, to->step), (uint64_t)(to->first + place) * o->noise,
                       o->noise, to->noise + (uint64_t)place * o->noise);
    if (!o->tokenizer) return MZT_OK;
    char caption[CAPTION_SIZE];
    if (o->config->exact_captions)
        dataset_plain_caption(o->data, item, caption);
    else
        dataset_caption(o->data, o->seed, epoch, item, &facts, o->config->caption_dropout, caption);
    return bpe_encode_padded(o->tokenizer, caption, o->length, to->ids + (uint64_t)place * o->length, NULL,
                             error);
}

static void *work(void *argument) {
    loader *l = argument;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && l->next / l->o.batch >= l->consumed + l->depth)
            pthread_cond_wait(&l->room, &l->lock);
        if (l->stop) break;
        const uint64_t batch = l->next / l->o.batch;
        const uint32_t place = (uint32_t)(l->next % l->o.batch);
        slot *s = &l->slots[batch % l->depth];
        l->next++;
        if (place == 0) {
            s->batch.step = batch / l->o.accumulate;
            s->batch.first = ((uint32_t)(batch % l->o.accumulate) * l->o.ranks + l->o.rank) * l->o.batch;
            s->failed = UINT32_MAX;
        }
        pthread_mutex_unlock(&l->lock);
        mzt_error error = {MZT_OK, ""};
        const mzt_status status = make_sample(l, &s->batch, place, &error);
        pthread_mutex_lock(&l->lock);
        if (status < 0 && place < s->failed) {
            s->failed = place;
            s->error = error;
        }
        if (++s->made == l->o.batch) pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------- running
 * -- */

static mzt_status allocate(loader *l, mzt_error *error) {
    const loader_options *o = &l->o;
    l->slots = host_calloc(l->host, l->depth, sizeof *l->slots);
    if (!l->slots) return error_memory(error, "batches", l->depth * sizeof *l->slots);
    for (uint32_t i = 0; i < l->depth; i++) {
        loader_batch *b = &l->slots[i].batch;
        bool missing = false;
        l->slots[i].failed = UINT32_MAX;
        b->all = o->batch * o->accumulate * o->ranks;
        b->samples = host_calloc(l->host, o->batch, sizeof *b->samples);
        b->variants = host_calloc(l->host, o->batch, sizeof *b->variants);
        if (o->pictures)
            missing |= !(b->pictures = host_calloc(l->host, o->batch, l->picture_count * sizeof(float)));
        if (o->tokenizer) missing |= !(b->ids = host_calloc(l->host, o->batch, o->length * sizeof *b->ids));
        if (o->noise) missing |= !(b->noise = host_calloc(l->host, o->batch, o->noise * sizeof(float)));
        if (missing || !b->samples || !b->variants)
            return error_memory(error, "batches", o->batch * l->picture_count * sizeof(float));
    }
    return MZT_OK;
}

mzt_status loader_create(const base_host *host, const loader_options *options, loader **out,
                         mzt_error *error) {
    *out = NULL;
    loader *l = host_calloc(host, 1, sizeof *l);
    if (!l) return error_memory(error, "loader", sizeof *l);
    const augment_options *a = &options->config->augment;
    l->host = host;
    l->o = *options;
    l->picture_count = (uint64_t)a->resolution * a->resolution * a->channels;
    l->depth = options->depth ? options->depth : 4;
    if (!l->o.accumulate) l->o.accumulate = 1;
    if (!l->o.ranks) l->o.ranks = 1;
    l->consumed = l->handed = options->first_step * l->o.accumulate;
    l->next = l->handed * options->batch;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->room, NULL);
    pthread_cond_init(&l->ready, NULL);
    mzt_status status = allocate(l, error);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads = options->threads ? options->threads : online > 0 ? (uint32_t)online : 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    while (status >= 0 && l->started < threads && pthread_create(&l->threads[l->started], NULL, work, l) == 0)
        l->started++;
    if (status >= 0 && l->started == 0)
        status = error_set(error, MZT_ERROR_OUT_OF_MEMORY, "loader: cannot start a thread");
    if (status < 0)
        loader_destroy(l);
    else
        *out = l;
    return status;
}

void loader_destroy(loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (uint32_t i = 0; i < l->started; i++)
        pthread_join(l->threads[i], NULL);
    for (uint32_t i = 0; l->slots && i < l->depth; i++) {
        loader_batch *b = &l->slots[i].batch;
        host_free(l->host, b->samples);
        host_free(l->host, b->variants);
        host_free(l->host, b->pictures);
        host_free(l->host, b->ids);
        host_free(l->host, b->noise);
    }
    host_free(l->host, l->slots);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->ready);
    host_free(l->host, l);
}

mzt_status loader_next(loader *l, const loader_batch **batch, mzt_error *error) {
    pthread_mutex_lock(&l->lock);
    if (l->handed > l->consumed) { /* the batch of the last call is free now */
        l->slots[l->consumed % l->depth].made = 0;
        l->consumed++;
        pthread_cond_broadcast(&l->room);
    }
    slot *s = &l->slots[l->handed % l->depth];
    while (s->made < l->o.batch)
        pthread_cond_wait(&l->ready, &l->lock);
    l->handed++;
    pthread_mutex_unlock(&l->lock);
    *batch = &s->batch;
    if (s->failed == UINT32_MAX) return MZT_OK;
    if (error) *error = s->error;
    return s->error.status;
}
