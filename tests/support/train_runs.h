/* Training runs small enough for tests: a folder of shapes, configurations of seconds, runs in this process
 * or in one of their own, and what they leave behind. Everything fails the test where it cannot work. */
#ifndef SUPPORT_TRAIN_RUNS_H
#define SUPPORT_TRAIN_RUNS_H

#include <sys/types.h>

#include "train/run.h"

/* Networks of 16 x 16 pictures: 0.17 and 0.1 million parameters. */
#define TRAIN_RUNS_VAE                                                                                       \
    "\"vae\": {\"in_channels\": 4, \"out_channels\": 4, \"latent_channels\": 4, \"block_out_channels\": "    \
    "[16, 32], \"layers_per_block\": 1, \"norm_num_groups\": 8, \"down_block_types\": "                      \
    "[\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", "          \
    "\"UpDecoderBlock2D\"]}"
#define TRAIN_RUNS_UNET                                                                                      \
    "\"denoiser\": {\"objective\": \"v\", \"vocabulary\": 640, \"max_length\": 8}, "                         \
    "\"unet\": {\"in_channels\": 4, \"out_channels\": 4, \"block_out_channels\": [16, 32], "                 \
    "\"layers_per_block\": 1, \"norm_num_groups\": 8, \"attention_head_dim\": 2, "                           \
    "\"cross_attention_dim\": 32, \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "       \
    "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]}, "                                         \
    "\"text_encoder\": {\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 1, "          \
    "\"num_attention_heads\": 2}"

typedef struct train_folders {
    char root[256], data[300], config[300], output[300]; /* output does not exist yet */
} train_folders;

/* A fresh folder with TRAIN_DATA_SHAPES pictures and this configuration; train_data_remove(f->root) ends it.
 */
void train_folders_make(const base_host *host, train_folders *f, const char *config);
void train_folders_configure(const base_host *host, const train_folders *f, const char *config);

/* Trains on `cpu` with two threads. */
mzt_status train_here(const base_host *host, const train_request *request, train_result *result,
                      mzt_error *error);

/* The same in a process of its own, which a byte in *started tells when its first step is done. */
pid_t train_elsewhere(const base_host *host, const train_request *request, int *started);

/* OUTPUT/latest/training_state.safetensors; both runs must have ended at `step`. */
typedef struct train_difference {
    uint32_t tensors;
    bool same;               /* bit by bit */
    double weights, moments; /* ||a - b|| / ||a|| over all parameters and averages; over all moments */
} train_difference;
train_difference train_states_compare(const base_host *host, const char *a_output, const char *b_output,
                                      uint32_t step);

#endif
