/* LoRA files from anyone, over a small model: opened, matched and merged, or refused. The search is not spent
 * on the safetensors format: four bytes make a tensor (a known module and ending, a shape of small sizes),
 * the rest its values; and all bytes once more are taken as a file as they stand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/lora.h"

enum { OUT = 4, IN = 3, KERNEL = 3, TENSORS = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static void apply(const base_host *host, const void *file, size_t size) {
    static const float values[OUT * IN * KERNEL * KERNEL] = {0};
    const uint8_t *bytes = (const uint8_t *)values;
    const weights_tensor tensors[] = {{.name = "mid_block.attentions.0.to_q.weight",
                                       .file = "m",
                                       .dtype = WEIGHTS_F32,
                                       .rank = 2,
                                       .shape = {OUT, IN},
                                       .count = OUT * IN,
                                       .data = bytes},
                                      {.name = "down_blocks.0.resnets.0.conv1.weight",
                                       .file = "m",
                                       .dtype = WEIGHTS_F32,
                                       .rank = 4,
                                       .shape = {OUT, IN, KERNEL, KERNEL},
                                       .count = OUT * IN * KERNEL * KERNEL,
                                       .data = bytes},
                                      {.name = "down_blocks.0.resnets.0.conv1.bias",
                                       .file = "m",
                                       .dtype = WEIGHTS_F32,
                                       .rank = 1,
                                       .shape = {OUT},
                                       .count = OUT,
                                       .data = bytes}};
    weights_set *below = NULL, *set = NULL;
    lora_stack *stack = NULL;
    mzt_error error = {MZT_OK, ""};
    float out[OUT * IN * KERNEL * KERNEL];
    check(weights_create(host, "m", &(weights_source){.tensors = tensors, .count = 3}, &below, NULL) >= 0);
    check(lora_stack_create(host, &stack, NULL) >= 0);
    mzt_status status = lora_stack_add_memory(stack, "fuzz", file, size, 0.5, &error);
    if (status >= 0) status = lora_stack_apply(stack, LORA_UNET, below, &set, &error);
    for (uint32_t i = 0; set && status >= 0 && i < weights_count(set); i++)
        status = weights_convert(weights_at(set, i), 0, weights_at(set, i)->count, DTYPE_F32, out, &error);
    check(status >= 0 || (error.status == status && error.message[0] && !strchr(error.message, '\n')));
    weights_close(set);
    lora_stack_destroy(stack);
    weights_close(below);
}

/* Takes four bytes: name and shape. Appends the tensor to the header, and returns its elements. */
static size_t add_tensor(const uint8_t *data, size_t offset, char *header, size_t room) {
    static const char *const modules[] = {
        "lora_unet_mid_block_attentions_0_to_q", "lora_unet_down_blocks_0_resnets_0_conv1",
        "unet.mid_block.attentions.0.to_q", "lora_unet_input_blocks_1_0_in_layers_2"};
    static const char *const endings[] = {".lora_down.weight", ".lora_up.weight", ".lora_mid.weight",
                                          ".lora_A.weight",    ".lora_B.weight",  ".alpha",
                                          ".hada_w1_a",        ".hada_w1_b",      ".hada_w2_a",
                                          ".hada_w2_b",        ".hada_t1",        ".hada_t2",
                                          ".lokr_w1",          ".lokr_w1_a",      ".lokr_w1_b",
                                          ".lokr_w2",          ".lokr_w2_a",      ".lokr_w2_b",
                                          ".lokr_t2",          ".diff",           ".diff_b"};
    const unsigned sizes[4] = {data[2] % 8u, data[2] / 8u % 8u, data[3] % 4u, data[3] / 4u % 4u};
    const unsigned rank = data[0] / 4 % 5;
    size_t count = 1;
    char shape[40] = "";
    for (unsigned i = 0; i < rank; i++) {
        count *= sizes[i];
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%u", i ? "," : "", sizes[i]);
    }
    snprintf(header + strlen(header), room - strlen(header),
             "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", header[1] ? "," : "",
             modules[data[0] % 4], endings[data[1] % (sizeof endings / sizeof *endings)], shape, offset,
             offset + 4 * count);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const base_host host = host_make(NULL);
    char header[2000] = "{";
    size_t bytes = 0, at = 0;
    apply(&host, data, size);
    while (at + 4 <= size && at < 4 * (size_t)TENSORS && data[at] != 255) {
        bytes += 4 * add_tensor(data + at, bytes, header, sizeof header);
        at += 4;
    }
    strcat(header, "}");
    const size_t length = strlen(header), whole = 8 + length + bytes;
    uint8_t *file = calloc(whole, 1);
    check(file != NULL);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < bytes && at + i < size; i++)
        file[8 + length + i] = data[at + i];
    apply(&host, file, whole);
    free(file);
    return 0;
}
