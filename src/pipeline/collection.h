/* Parameters of a network between the device and safetensors files, in the checkpoint's names and layouts. In
 * training the parameters themselves, their gradients, the optimiser's moments and averages are all buffers
 * of the same layout, named by what they are ("", "grad.", "m.", "v.", "average.") and the parameter; here
 * they become one tensor per tensor of the checkpoint, and come back. Ownership: a collection owns its
 * tensors. Thread-safety: as the network's. */
#ifndef PIPELINE_COLLECTION_H
#define PIPELINE_COLLECTION_H

#include "pipeline/network.h"

typedef struct collection {
    const base_host *host;
    weights_tensor *tensors; /* f32; names, shapes and data as safetensors_save takes them */
    uint32_t count, capacity;
} collection;

/* Begins an empty one. */
void collection_begin(collection *c, const base_host *host);
void collection_release(collection *c); /* zeroed is accepted */

/* Adds a zeroed tensor called prefix + name of rank 1 ... 4; *values points to its elements. */
mzt_status collection_add(collection *c, const char *prefix, const char *name, const uint32_t *shape,
                          uint32_t rank, float **values, mzt_error *error);

/* Adds the f32 buffers called kind + parameter, for every parameter that has one, as tensors prefix + the
 * checkpoint's name: collection_read(&c, n, "", "", &error) is the trained checkpoint, "average." its
 * averaged one. Weights that are not trained are left out. NOT_FOUND if nothing remains. */
mzt_status collection_read(collection *c, network *n, const char *kind, const char *prefix, mzt_error *error);

/* The same, of those parameters alone whose checkpoint's names are chosen; NULL: all. */
typedef bool collection_chooses(const void *user, const char *name);
mzt_status collection_read_chosen(collection *c, network *n, const char *kind, const char *prefix,
                                  collection_chooses *chooses, const void *user, mzt_error *error);

/* The way back: fills those buffers from the tensors of `file`, which must all be there with the right
 * shapes. NOT_FOUND and FORMAT name the tensor. */
mzt_status collection_restore(network *n, const weights_set *file, const char *kind, const char *prefix,
                              mzt_error *error);

#endif
