/* What a file of weights is, told by the names of its tensors; see checkpoint.h. */
#include <stdio.h>
#include <string.h>

#include "pipeline/checkpoint.h"
#include "pipeline/checkpoint_internal.h"

/* Networks that are known but not supported, by a part of a tensor's name that no supported one has. In
 * order: the first that fits names the file. */
static const struct {
    const char *part, *what;
    bool begins; /* the name must begin with it */
} foreign[] = {
    {"lora_unet_", "a LoRA file: give it with --lora", true},
    {"lora_te", "a LoRA file: give it with --lora", true},
    {".lora_down.weight", "a LoRA file: give it with --lora", false},
    {".lora_A.weight", "a LoRA file: give it with --lora", false},
    {".lora.down.weight", "a LoRA file: give it with --lora", false},
    {".hada_w1_a", "a LoRA file (LoHa): give it with --lora", false},
    {".lokr_w1", "a LoRA file (LoKr): give it with --lora", false},
    {"emb_params", "a textual inversion embedding: give it with --embedding", true},
    {"string_to_param", "a textual inversion embedding: give it with --embedding", true},
    {"control_model.", "a ControlNet, which is not supported", true},
    {"controlnet_cond_embedding.", "a ControlNet, which is not supported", true},
    {"controlnet_", "a ControlNet, which is not supported", true},
    {"input_hint_block.", "a ControlNet, which is not supported", false},
    {"image_proj.", "an IP-Adapter, which is not supported", true},
    {"ip_adapter.", "an IP-Adapter, which is not supported", true},
    {"joint_blocks.", "a Stable Diffusion 3 model, which is not supported", false},
    {"double_blocks.", "a Flux model (or a relative), which is not supported", false},
    {"single_transformer_blocks.", "a Flux model (or a relative), which is not supported", false},
    {"double_layers.", "an AuraFlow model, which is not supported", false},
    {"cap_embedder.", "a Lumina model, which is not supported", false},
    {"mlp_t5.", "a Hunyuan-DiT model, which is not supported", false},
    {"adaln_single.", "a PixArt model, which is not supported", false},
    {"t_block.1.", "a PixArt model, which is not supported", false},
    {"clf.1.weight", "a Stable Cascade model, which is not supported", false},
    {"effnet.", "a Stable Cascade model, which is not supported", true},
    {"down_blocks.0.0.channelwise.0.weight", "a Stable Cascade model, which is not supported", false},
    {"patch_embedding.", "a video model, which is not supported", false},
    {"time_stack.", "a Stable Video Diffusion model, which is not supported", false},
    {"temporal_transformer_blocks.", "a video model, which is not supported", false},
    {"motion_modules.", "an AnimateDiff motion module, which is not supported", false},
    {"encoder_hid_proj.", "a Kandinsky or DeepFloyd model, which is not supported", true},
    {"add_embedding.image_norm.", "a Kandinsky model, which is not supported", false},
    {"conditioner.embedders.0.model.", "Stable Diffusion XL's refiner, which is not supported", true},
    {"edm_mean", "a Playground v2.5 model, which is not supported", true},
    {"edm_vpred.", "a model with EDM preconditioning, which is not supported", true},
    {"depth_model.", "a depth-guided model, which is not supported", true},
    {"body.0.rdb1.", "an upscaler (ESRGAN), which is not supported", false},
    {"params_ema", "an upscaler, which is not supported", true},
    {"encoder.block.0.layer.0.SelfAttention.", "a T5 text encoder, which no supported model uses", false},
    {"vision_model.", "a CLIP picture encoder, which is not needed", true},
    {"model.layers.0.self_attn.", "a language model", true},
    {"blk.0.attn_q.", "a language model", true},
};

/* Ways to find each network: prefix and names that are there. Prefixed ones first: a file with these is a
 * whole model. */
static const struct place {
    model_component component;
    checkpoint_layout layout;
    const char *prefix, *marks[2];
} places[] = {
    {MODEL_UNET, CHECKPOINT_LDM, "model.diffusion_model.", {"input_blocks.0.0.weight", NULL}},
    {MODEL_UNET, CHECKPOINT_LDM, "diffusion_model.", {"input_blocks.0.0.weight", NULL}},
    {MODEL_UNET, CHECKPOINT_LDM, "", {"input_blocks.0.0.weight", NULL}},
    {MODEL_UNET,
     CHECKPOINT_ENGINE,
     "",
     {"down_blocks.0.resnets.0.conv1.weight", "time_embedding.linear_1.weight"}},
    {MODEL_VAE,
     CHECKPOINT_LDM,
     "first_stage_model.",
     {"decoder.conv_in.weight", "decoder.mid.block_1.conv1.weight"}},
    {MODEL_VAE, CHECKPOINT_LDM, "vae.", {"decoder.conv_in.weight", "decoder.mid.block_1.conv1.weight"}},
    {MODEL_VAE, CHECKPOINT_LDM, "", {"decoder.conv_in.weight", "decoder.mid.block_1.conv1.weight"}},
    {MODEL_VAE, CHECKPOINT_ENGINE, "", {"decoder.up_blocks.0.resnets.0.conv1.weight", NULL}},
    {MODEL_VAE, CHECKPOINT_ENGINE, "", {"decoder.layers.0.weight", "encoder.layers.0.weight"}},
    {MODEL_VAE, CHECKPOINT_TAESD, "", {"1.weight", "3.conv.0.weight"}}, /* the decoder */
    {MODEL_VAE, CHECKPOINT_TAESD, "", {"0.weight", "1.conv.0.weight"}}, /* the encoder */
    {MODEL_TEXT_ENCODER,
     CHECKPOINT_LDM,
     "cond_stage_model.transformer.",
     {"text_model.embeddings.token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER,
     CHECKPOINT_LDM,
     "cond_stage_model.transformer.",
     {"embeddings.token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER, CHECKPOINT_OPEN_CLIP, "cond_stage_model.model.", {"token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER,
     CHECKPOINT_LDM,
     "conditioner.embedders.0.transformer.",
     {"text_model.embeddings.token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER_2,
     CHECKPOINT_OPEN_CLIP,
     "conditioner.embedders.1.model.",
     {"token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER, CHECKPOINT_LDM, "", {"text_model.embeddings.token_embedding.weight", NULL}},
    {MODEL_TEXT_ENCODER,
     CHECKPOINT_OPEN_CLIP,
     "",
     {"token_embedding.weight", "transformer.resblocks.0.ln_1.weight"}},
};

static const weights_tensor *find(const weights_set *file, const char *prefix, const char *name) {
    char full[LDM_NAME_LIMIT];
    int length = snprintf(full, sizeof full, "%s%s", prefix, name);
    return length > 0 && length < LDM_NAME_LIMIT ? weights_find(file, full) : NULL;
}

/* Layers of a text encoder that are not used: Stable Diffusion 2 takes the last but one state of its OpenCLIP
 * encoder of 24 layers, and diffusers leaves the last layer out altogether. */
static uint32_t used_layers(const weights_set *file, const checkpoint_part *part, bool xl) {
    const bool open_clip = part->layout == CHECKPOINT_OPEN_CLIP;
    const char *head = open_clip ? "transformer.resblocks." : "text_model.encoder.layers.",
               *tail = open_clip ? "ln_1.weight" : "layer_norm1.weight";
    const weights_tensor *table =
        find(file, part->prefix,
             open_clip ? "token_embedding.weight" : "text_model.embeddings.token_embedding.weight");
    uint32_t layers = 0;
    char name[80];
    do
        snprintf(name, sizeof name, "%s%u.%s", head, (unsigned)layers, tail);
    while (find(file, part->prefix, name) && ++layers < 256);
    const bool wide = table && table->rank == 2 && table->shape[1] == 1024;
    return !xl && layers > 1 && (wide ? layers == 24 : open_clip && table && table->shape[1] < 1280)
               ? layers - 1
               : UINT32_MAX;
}

static uint32_t vae_levels(const weights_set *file, const char *prefix) {
    uint32_t levels = 0;
    char name[80];
    do
        snprintf(name, sizeof name, "decoder.up.%u.block.0.conv1.weight", (unsigned)levels);
    while (find(file, prefix, name) && ++levels < 64);
    return levels;
}

mzt_status checkpoint_refuse(const weights_set *file, mzt_error *error) {
    for (size_t k = 0; k < sizeof foreign / sizeof *foreign; k++) {
        for (uint32_t i = 0; i < weights_count(file); i++) {
            const char *name = weights_at(file, i)->name, *at = strstr(name, foreign[k].part);
            if (!at || (foreign[k].begins && at != name)) continue;
            return error_set(error, MZT_ERROR_UNSUPPORTED, "%s is %s", weights_name(file), foreign[k].what);
        }
    }
    char shown[80];
    if (weights_count(file) == 0)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s holds no tensors", weights_name(file));
    return error_set(
        error, MZT_ERROR_UNSUPPORTED,
        "%s: %u tensors, the first \"%s\": no model that is known (Stable Diffusion 1, 2, XL, their "
        "UNets, autoencoders and text encoders)",
        weights_name(file), (unsigned)weights_count(file),
        error_text(shown, sizeof shown, weights_at(file, 0)->name));
}

/* Extensions of the UNet that change what it computes. */
static mzt_status refuse_extended(const weights_set *file, const char *prefix, mzt_error *error) {
    static const struct {
        const char *name, *what;
    } parts[] = {
        {"input_blocks.1.0.time_mixer.mix_factor", "a Stable Video Diffusion model"},
        {"input_blocks.1.0.time_stack.in_layers.0.weight", "a Stable Video Diffusion model"},
        {"input_hint_block.0.weight", "a ControlNet"},
        {"controlnet_cond_embedding.conv_in.weight", "a ControlNet"},
        {"encoder_hid_proj.weight", "a Kandinsky or DeepFloyd model"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (find(file, prefix, parts[i].name))
            return error_set(error, MZT_ERROR_UNSUPPORTED, "%s is %s, which is not supported",
                             weights_name(file), parts[i].what);
    if (find(file, "", "edm_mean") || find(file, "", "edm_vpred.sigma_max") ||
        find(file, "depth_model.", "model.pretrained.cls_token") ||
        (find(file, "", "conditioner.embedders.0.model.token_embedding.weight") &&
         !find(file, "", "conditioner.embedders.1.model.token_embedding.weight")))
        return checkpoint_refuse(file, error);
    return MZT_OK;
}

mzt_status checkpoint_find_parts(checkpoint *c, mzt_error *error) {
    const weights_set *file = c->file;
    bool any = false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *p = &places[i];
        const weights_tensor *mark = find(file, p->prefix, p->marks[0]);
        if (!mark || (p->marks[1] && !find(file, p->prefix, p->marks[1]))) continue;
        model_component component = p->component;
        /* A text encoder by itself: XL's second one is the wide one. */
        if (component == MODEL_TEXT_ENCODER && p->prefix[0] == '\0' && mark->rank == 2 &&
            mark->shape[1] == 1280)
            component = MODEL_TEXT_ENCODER_2;
        checkpoint_part *part = &c->parts[component];
        if (part->found) continue;
        part->found = any = true;
        part->layout = p->layout;
        part->prefix = p->prefix;
    }
    if (!any) return checkpoint_refuse(file, error);
    const checkpoint_part *unet = &c->parts[MODEL_UNET];
    c->xl = c->parts[MODEL_TEXT_ENCODER_2].found ||
            (unet->found && (find(file, unet->prefix, "label_emb.0.0.weight") ||
                             find(file, unet->prefix, "add_embedding.linear_1.weight")));
    if (unet->found) TRY(refuse_extended(file, unet->prefix, error));
    if (unet->found && unet->layout == CHECKPOINT_LDM)
        TRY(ldm_unet_read(file, unet->prefix, &c->parts[MODEL_UNET].unet, error));
    checkpoint_part *vae = &c->parts[MODEL_VAE], *text = &c->parts[MODEL_TEXT_ENCODER];
    if (vae->found && vae->layout == CHECKPOINT_LDM) vae->vae_levels = vae_levels(file, vae->prefix);
    if (text->found) text->leave_out = used_layers(file, text, c->xl);
    c->parts[MODEL_TEXT_ENCODER_2].leave_out = UINT32_MAX;
    return MZT_OK;
}
