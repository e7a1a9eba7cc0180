/* LoRA files over a model; see model_lora.h. */
#include "pipeline/model_lora.h"

#include "weights/lora.h"

static const struct {
    model_component component;
    lora_network network;
} networks[] = {
    {MODEL_UNET, LORA_UNET}, {MODEL_TEXT_ENCODER, LORA_TEXT}, {MODEL_TEXT_ENCODER_2, LORA_TEXT_2}};

enum { NETWORKS = sizeof networks / sizeof *networks };

mzt_status model_apply_loras(model *m, const model_lora *loras, uint32_t count, mzt_error *error) {
    lora_stack *stack;
    weights_set *changed[NETWORKS] = {NULL};
    if (count == 0) return MZT_OK;
    if (m->loras) return error_set(error, MZT_ERROR_INTERNAL, "%s has LoRA files already", m->path);
    TRY(lora_stack_create(m->host, &stack, error));
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < count && status >= 0; i++)
        status = lora_stack_add(stack, loras[i].path, loras[i].scale, error);
    for (int i = 0; i < NETWORKS && status >= 0; i++) {
        const weights_set *below = m->weights[networks[i].component];
        if (below) status = lora_stack_apply(stack, networks[i].network, below, &changed[i], error);
    }
    if (status >= 0) status = lora_stack_finish(stack, error);
    if (status < 0) {
        for (int i = 0; i < NETWORKS; i++)
            weights_close(changed[i]);
        lora_stack_destroy(stack);
        return status;
    }
    for (int i = 0; i < NETWORKS; i++) {
        const model_component component = networks[i].component;
        if (!changed[i]) continue;
        m->unchanged[component] = m->weights[component];
        m->weights[component] = changed[i];
    }
    m->loras = stack;
    uint32_t modules, tensors;
    lora_stack_count(stack, &modules, &tensors);
    host_log(m->host, MZT_LOG_INFO, "%s: %u LoRA file%s: %u modules change %u weights", m->path,
             (unsigned)count, count == 1 ? "" : "s", (unsigned)modules, (unsigned)tensors);
    return MZT_OK;
}
