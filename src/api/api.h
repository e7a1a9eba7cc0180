/* What the functions of mezzotint.h share: the objects behind its handles, and structures that grow. */
#ifndef API_API_H
#define API_API_H

#include <stdatomic.h>

#include "base/lock.h"
#include "executor.h"
#include "pipeline/generation.h"

struct mzt_context {
    base_host host;
};

struct mzt_device {
    const base_host *host;
    executor *e;
    lock *lock; /* held by whoever uses the executor or a program of it */
    bool imported;
    uint64_t used, peak; /* bytes that networks of its pipelines hold */
};

struct mzt_model {
    const mzt_context *context;
    base_host host;          /* the context's, with files of its own where they are in memory */
    struct api_files *files; /* NULL: the system's */
    model *m;
    char weights_file[1024]; /* of the denoising network; "" for compiled models */
};

struct mzt_pipeline {
    const base_host *host;
    mzt_device *device;
    generator generator;
    part_spec parts[PART_KIND_COUNT]; /* for jobs like the one that it is prepared for */
    uint32_t part_count;
    uint64_t held; /* bytes of its networks that the device knows of */
    mzt_job *job;  /* the one that exists, or NULL */
};

/* A number that is written on one thread and read on others. */
typedef atomic_uint_least64_t shared_number;

struct mzt_job {
    const base_host *host;
    mzt_pipeline *pipeline;
    generation *generation;
    generate_request request; /* with texts of our own, and without pictures */
    struct job_texts *texts;
    bool had_picture, had_mask;
    int (*progress)(void *user, mzt_job *job, const mzt_progress *progress);
    void *user;
    double start; /* of the first step; 0: not yet */
    shared_number phase, step, steps, share, elapsed, eta;
};

/* Tells the device what the pipeline's networks hold now. With the device's lock held. */
void api_account(mzt_pipeline *pipeline);

/* Takes over `e`, also on failure. */
mzt_status api_device_make(mzt_context *context, executor *e, bool imported, mzt_device **out,
                           mzt_error *error);

/* -- structures that grow -- */

/* Takes a caller's structure `given` (with struct_size in front) over `own` of `size` bytes, which holds the
 * defaults. INVALID where struct_size is no size, or where bytes that this library does not know are not 0.
 */
mzt_status api_take(const char *type, const void *given, void *own, size_t size, mzt_error *error);
/* Gives `own` to the caller, as far as the caller's structure goes; what it has further is zeroed. */
mzt_status api_give(const char *type, const void *own, size_t size, void *given, mzt_error *error);
/* For _init functions. */
void api_init(const void *own, size_t size, void *given, size_t given_size);

/* Element `index` of a caller's array whose elements are as large as the first says. */
const void *api_element(const void *array, uint32_t index);

/* A missing argument. */
mzt_status api_missing(mzt_error *error, const char *what);

/* -- parameters -- */

/* Copies of everything that a request points to besides pictures. */
struct job_texts;
void api_texts_destroy(const base_host *host, struct job_texts *texts); /* NULL is accepted */

/* A caller's parameters as a request whose texts are in *texts and whose pictures are in pictures[2] (init
 * image, mask), to be released with image_free. `params` NULL: the defaults. */
mzt_status api_request(const base_host *host, const mzt_job_params *params, generate_request *request,
                       struct job_texts **texts, image pictures[2], mzt_error *error);

/* The networks for jobs like `shape`, found by making such a job. An empty prompt stands for any. */
mzt_status api_list_parts(generator *owner, const base_host *host, const mzt_job_params *shape,
                          part_spec parts[PART_KIND_COUNT], uint32_t *count, mzt_error *error);

mzt_status api_rng(mzt_rng given, random_kind *out, mzt_error *error);
mzt_status api_precision(mzt_precision given, precision *out, mzt_error *error);

/* -- numbers between threads -- */

void api_store(shared_number *to, double value);
double api_load(const shared_number *from);

/* Copies a picture of 3 or 4 channels to RGBA rows. INVALID for rows that do not fit. */
mzt_status api_copy_rgba(const image *picture, void *pixels, size_t row_bytes, mzt_error *error);

#endif
