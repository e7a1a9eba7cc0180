/* What follows from configurations alone: used where networks run, without a graph or a JSON file. */
#include "model/clip.h"
#include "model/model_index.h"
#include "model/unet.h"
#include "model/vae.h"

const char *model_component_name(model_component component) {
    static const char *const names[MODEL_COMPONENT_COUNT] = {
        "unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"};
    return names[component];
}

uint32_t unet_multiple(const unet_config *config) {
    return 1u << (config->levels - 1);
}

uint32_t vae_factor(const vae_config *config) {
    return (config->patch_size ? config->patch_size : 1) << (config->levels - 1);
}

void clip_eos_rows(const clip_config *config, const uint32_t *ids, uint32_t batch, uint32_t length,
                   uint32_t *rows) {
    for (uint32_t b = 0; b < batch; b++, ids += length) {
        uint32_t at = 0;
        if (config->eos == 2) {
            const uint32_t trained = config->vocabulary - config->added;
            for (uint32_t i = 1; i < length; i++)
                if (ids[i] < trained && (ids[i] > ids[at] || ids[at] >= trained)) at = i;
        } else {
            for (uint32_t i = length; i-- > 0;)
                if (ids[i] == config->eos) at = i;
        }
        rows[b] = b * length + at;
    }
}
