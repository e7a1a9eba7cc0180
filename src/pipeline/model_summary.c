/* What a model is, in one line; see model.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/model_internal.h"

/* "SD 1.x", by the width of the text it is given. */
static const char *family(const model *m) {
    if (m->index.xl) return m->unet.context_channels == 2048 ? "SDXL" : "SDXL-like";
    switch (m->unet.context_channels) {
    case 768:
        return "SD 1.x";
    case 1024:
        return "SD 2.x";
    default:
        return "UNet";
    }
}

/* Whether parts are missing of what the published network of this family has. */
static bool is_distilled(const unet_config *c) {
    if (c->channels[0] != 320) return false;
    bool less = c->mid != UNET_MID_CROSS;
    for (uint32_t level = 0; level < c->levels; level++) {
        const uint32_t full = !c->text_time ? 1 : level == 2 ? 10 : level == 1 ? 2 : 0;
        less = less || c->layers[level] < 2;
        for (uint32_t i = 0; i <= c->layers[level]; i++) {
            if (i < c->layers[level] && c->down_attention[level])
                less = less || c->down_depth[level][i] < full;
            if (c->up_attention[level]) less = less || c->up_depth[level][i] < full;
        }
    }
    return less;
}

/* The element type of most of the UNet. */
static weights_dtype main_type(const weights_set *set) {
    uint64_t counts[WEIGHTS_DTYPE_COUNT] = {0};
    weights_dtype best = WEIGHTS_F32;
    for (uint32_t i = 0; i < weights_count(set); i++) {
        const weights_tensor *t = weights_at(set, i);
        counts[t->dtype] += t->count;
        if (counts[t->dtype] > counts[best]) best = t->dtype;
    }
    return best;
}

static double count_elements(const model *m) {
    double count = 0;
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        for (uint32_t k = 0; m->weights[i] && k < weights_count(m->weights[i]); k++)
            count += (double)weights_at(m->weights[i], k)->count;
    return count;
}

void model_summarise(model *m) {
    static const char *const predictions[] = {"epsilon", "v-prediction", "sample", "flow"};
    char type[16] = "";
    const weights_set *unet = m->weights[MODEL_UNET];
    const double count = count_elements(m);
    const char *name = unet ? weights_dtype_name(main_type(unet)) : "";
    for (size_t i = 0; name[i] && i + 1 < sizeof type; i++) {
        type[i] = (char)tolower((unsigned char)name[i]);
        type[i + 1] = '\0';
    }
    snprintf(m->summary, sizeof m->summary, "%s%s%s, %s, %s, %.3g %s parameters", family(m),
             m->unet.in_channels == 9 ? " inpainting" : "", is_distilled(&m->unet) ? " distilled" : "",
             predictions[m->sampler.prediction], type, count >= 1e9 ? count / 1e9 : count / 1e6,
             count >= 1e9 ? "B" : "M");
}
