/* Any bytes as the description of a file of weights: names and shapes of tensors, of which a single-file
 * checkpoint, a text encoder, a tiny autoencoder and a textual inversion are made as far as they go. Each
 * tensor is a line: rank, sizes, name. Data are zeros, as many as the shape says (a few at most are looked
 * at).
 *
 *   line = rank ('0'...'4'), one byte of size each, name up to the line feed
 *
 * What is accepted must be consistent: every tensor of a view is found under its name, inside the zeros. */
#include <stdlib.h>
#include <string.h>

#include "model/detect.h"
#include "pipeline/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TENSORS = 200, NAME = 120, ZEROS = 1 << 16 };

static const uint8_t zeros[ZEROS];

static void check(bool good) {
    if (!good) abort();
}

/* Sizes of networks come in a few kinds; others are the byte itself. */
static uint64_t size_of(uint8_t byte) {
    static const uint64_t common[] = {0, 1, 3, 4, 8, 9, 32, 64, 128, 320, 640, 768, 1024, 1280, 2048, 49408};
    return byte >= 0xf0 ? common[byte & 15] : byte & 63;
}

static uint32_t read_lines(const uint8_t *data, size_t size, weights_tensor *list, char (*names)[NAME]) {
    uint32_t count = 0;
    size_t at = 0;
    while (at < size && count < TENSORS) {
        weights_tensor *t = &list[count];
        *t = (weights_tensor){
            .file = "fuzz", .dtype = WEIGHTS_U8, .count = 1, .data = zeros, .name = names[count]};
        t->rank = data[at++] % 5;
        for (uint32_t i = 0; i < t->rank && at < size; i++)
            t->shape[i] = size_of(data[at++]);
        for (uint32_t i = 0; i < t->rank; i++)
            if (!size_mul(t->count, t->shape[i], &t->count)) return count;
        if (t->count > ZEROS) t->rank = 0, t->count = 1;
        size_t length = 0;
        while (at < size && data[at] != '\n' && length + 1 < NAME)
            names[count][length++] = (char)data[at++];
        names[count][length] = '\0';
        if (strlen(names[count]) != length) continue; /* a zero byte ends no name */
        at++;
        count++;
    }
    return count;
}

static void look_at_view(const checkpoint *c, model_component component) {
    mzt_error error = {0};
    weights_set *view;
    const mzt_status status = checkpoint_view(c, component, &view, &error);
    if (status < 0) {
        check(!view && error.status == status && !strchr(error.message, '\n'));
        return;
    }
    for (uint32_t i = 0; i < weights_count(view); i++) {
        const weights_tensor *t = weights_at(view, i);
        check(weights_find(view, t->name) == t && t->count <= ZEROS);
        float value;
        if (t->count)
            check(weights_convert(t, t->count - 1, 1, DTYPE_F32, &value, &error) == MZT_OK && value == 0);
    }
    unet_config unet;
    vae_config vae;
    clip_config clip;
    mzt_status found = component == MODEL_UNET  ? unet_config_detect(view, &unet, &error)
                       : component == MODEL_VAE ? vae_config_detect(view, c->xl, &vae, &error)
                                                : clip_config_detect(view, true, c->xl, &clip, &error);
    check(found == MZT_OK || !strchr(error.message, '\n'));
    weights_close(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char names[TENSORS][NAME];
    weights_tensor list[TENSORS];
    base_host host = host_make(NULL);
    mzt_error error = {0};
    weights_set *set;
    checkpoint c;
    const weights_source source = {.tensors = list, .count = read_lines(data, size, list, names)};
    if (weights_create(&host, "fuzz", &source, &set, &error) < 0) return 0; /* a name comes twice */
    if (checkpoint_recognise(&host, set, &c, &error) < 0) {
        check(!strchr(error.message, '\n') && !c.file);
        return 0;
    }
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        if (c.parts[i].found) look_at_view(&c, (model_component)i);
    checkpoint_close(&c);
    return 0;
}
