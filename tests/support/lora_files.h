/* What the tests of LoRA files share: files made up of named tensors in FOLDER (defined before, one for each
 * program), and a model of a few tensors to lay them over. */
#ifndef SUPPORT_LORA_FILES_H
#define SUPPORT_LORA_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "sample/random.h"
#include "weights/lora.h"

enum { TENSORS = 16, OUT = 6, IN = 5, KERNEL = 3 };

static base_host host;
static mzt_error error;
static char warning[1000]; /* the last */

static inline void on_log(void *user, mzt_log_level level, const char *line) {
    (void)user;
    if (level == MZT_LOG_WARNING) snprintf(warning, sizeof warning, "%s", line);
}

static inline void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

/* Tensors of a file to be: values are normals of the name's own stream. */
typedef struct maker {
    weights_tensor tensors[TENSORS];
    float *values[TENSORS];
    uint32_t count;
} maker;

static inline float *make(maker *m, const char *name, uint32_t rank, const uint64_t *shape) {
    weights_tensor *t = &m->tensors[m->count];
    uint64_t count = 1, seed = 5;
    assert_true(m->count < TENSORS);
    *t = (weights_tensor){.name = name, .file = "test", .dtype = WEIGHTS_F32, .rank = rank};
    for (uint32_t i = 0; i < rank; i++)
        count *= t->shape[i] = shape[i];
    for (const char *c = name; *c; c++)
        seed = seed * 31 + (unsigned char)*c;
    float *values = calloc(count + 1, sizeof *values);
    assert_non_null(values);
    random_normals(seed, 0, 0, count, values);
    t->count = count;
    t->data = (const uint8_t *)values;
    return m->values[m->count++] = values;
}

#define SHAPE(...)                                                                                           \
    sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]) {                                     \
        __VA_ARGS__                                                                                          \
    }

static inline void make_scalar(maker *m, const char *name, float value) {
    make(m, name, 0, NULL)[0] = value;
}

static inline void release(maker *m) {
    for (uint32_t i = 0; i < m->count; i++)
        free(m->values[i]);
    *m = (maker){.count = 0};
}

static inline const char *path_of(const char *name) {
    static char paths[4][300];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], FOLDER "/%s.safetensors", name);
    return path;
}

static inline void save(maker *m, const char *name, const char *const *metadata, uint32_t pairs) {
    must(safetensors_save(&host, path_of(name), m->tensors, m->count, metadata, pairs, &error));
    release(m);
}

/* The model: a few tensors of a UNet of two levels, and of a text encoder. */
#define LINEAR "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q"
#define OUTPUT "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"
#define FILTER "down_blocks.1.resnets.0.conv1"
#define TEXT   "text_model.encoder.layers.0.self_attn.q_proj"

#define KOHYA "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q"
#define CONV  "lora_unet_down_blocks_1_resnets_0_conv1"

static weights_set *unet, *text;

static inline int begin(void **state) {
    (void)state;
    static mzt_hooks hooks = {.struct_size = sizeof hooks, .log = on_log};
    host = host_make(&hooks);
    mkdir(FOLDER, 0777);
    maker m = {.count = 0};
    make(&m, LINEAR ".weight", SHAPE(OUT, IN));
    make(&m, OUTPUT ".weight", SHAPE(OUT, IN));
    make(&m, OUTPUT ".bias", SHAPE(OUT));
    make(&m, FILTER ".weight", SHAPE(OUT, IN, KERNEL, KERNEL));
    make(&m, FILTER ".bias", SHAPE(OUT));
    make(&m, "down_blocks.0.resnets.1.conv1.weight",
         SHAPE(OUT, IN, KERNEL, KERNEL)); /* two layers in each block */
    make(&m, "down_blocks.0.downsamplers.0.conv.weight", SHAPE(OUT, IN, KERNEL, KERNEL));
    make(&m, "up_blocks.0.resnets.2.conv2.weight", SHAPE(OUT, IN, KERNEL, KERNEL)); /* three */
    make(&m, "up_blocks.0.upsamplers.0.conv.weight", SHAPE(OUT, IN, KERNEL, KERNEL));
    make(&m, "mid_block.attentions.0.proj_in.weight", SHAPE(OUT, IN, 1, 1));
    make(&m, "time_embedding.linear_2.weight", SHAPE(OUT, IN));
    make(&m, "norm.weight", SHAPE(OUT));
    save(&m, "unet", NULL, 0);
    make(&m, TEXT ".weight", SHAPE(OUT, IN));
    make(&m, "text_model.encoder.layers.0.mlp.fc1.weight", SHAPE(OUT, IN));
    save(&m, "text", NULL, 0);
    return weights_open(&host, path_of("unet"), &unet, &error) < 0 ||
           weights_open(&host, path_of("text"), &text, &error) < 0;
}

static inline int end(void **state) {
    (void)state;
    weights_close(unet);
    weights_close(text);
    return 0;
}

#endif
