/* Named tensors between safetensors files and f32 arrays in the engine's layout. */
#ifndef PIPELINE_TENSOR_FILE_H
#define PIPELINE_TENSOR_FILE_H

#include "weights/weights.h"

/* A tensor in memory. Rank 4 tensors are [N,C,H,W] in files and [N,H,W,C] here; `shape` is the file's. */
typedef struct host_tensor {
    uint32_t rank;
    uint32_t shape[4];
    uint64_t count;
    float *values;
} host_tensor;

/* Reads tensor `name` of exactly `rank` dimensions (1 ... 4), each from 1 to 2^24. NOT_FOUND, or FORMAT with
 * the rank found. */
mzt_status tensor_read(const base_host *host, const weights_set *file, const char *name, uint32_t rank,
                       host_tensor *out, mzt_error *error);

/* The same for whole numbers (token ids); rank 2. */
mzt_status tensor_read_ids(const base_host *host, const weights_set *file, const char *name,
                           uint32_t shape[2], uint32_t **ids, mzt_error *error);

/* A zeroed tensor to be filled. OUT_OF_MEMORY. */
mzt_status tensor_make(const base_host *host, uint32_t rank, const uint32_t *shape, host_tensor *out,
                       mzt_error *error);

void tensor_release(const base_host *host, host_tensor *t); /* zeroed is accepted */

/* Collects tensors for a file. */
enum { TENSOR_LIST_MAX = 16 };
typedef struct tensor_list {
    const base_host *host;
    uint32_t count;
    char names[TENSOR_LIST_MAX][96];
    host_tensor tensors[TENSOR_LIST_MAX];
} tensor_list;

/* Adds a zeroed tensor that the list owns; *out points to it. */
mzt_status tensor_list_add(tensor_list *list, const char *name, uint32_t rank, const uint32_t *shape,
                           host_tensor **out, mzt_error *error);

/* Writes all of them as f32, in PyTorch's layouts. */
mzt_status tensor_list_save(const tensor_list *list, const char *path, mzt_error *error);
void tensor_list_release(tensor_list *list);

#endif
