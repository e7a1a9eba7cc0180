/* Configurations of published models; see presets.h. Sizes of sd15, sd21 and sdxl are those of the published
 * networks; `tiny` is one of our own, small enough to run anywhere in a second. */
#include "model/presets.h"

#include <string.h>

typedef struct preset_file {
    const char *preset, *path, *text;
} preset_file;

/* Members of the autoencoders' and of two UNets' configurations: the kinds of blocks by level. */
#define VAE_BLOCKS_4                                                                                         \
    "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\","         \
    " \"DownEncoderBlock2D\"],\n"                                                                            \
    "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\","                 \
    " \"UpDecoderBlock2D\"],\n"

#define UNET_BLOCKS_4                                                                                        \
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\","   \
    " \"DownBlock2D\"],\n"                                                                                   \
    "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\","                    \
    " \"CrossAttnUpBlock2D\"],\n"

#define VAE(sample, factor, upcast)                                                                          \
    "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": 3, \"out_channels\": 3, \"latent_channels\": "    \
    "4,\n" VAE_BLOCKS_4 "\"block_out_channels\": [128, 256, 512, 512], \"layers_per_block\": 2,"             \
    " \"norm_num_groups\": 32, \"sample_size\": " sample ", \"scaling_factor\": " factor                     \
    ", \"force_upcast\": " upcast "}\n"

#define SCHEDULER(class, more)                                                                               \
    "{\"_class_name\": \"" class "\", \"num_train_timesteps\": 1000, \"beta_start\": 0.00085,"               \
                                 " \"beta_end\": 0.012,\n\"beta_schedule\": \"scaled_linear\", "             \
                                 "\"steps_offset\": 1,"                                                      \
                                 " \"timestep_spacing\": \"leading\", " more "}\n"

#define INDEX_HEAD(class, scheduler)                                                                         \
    "{\"_class_name\": \"" class "\",\n\"scheduler\": [\"diffusers\", \"" scheduler                          \
                                 "\"],\n\"text_encoder\": [\"transformers\", "                               \
                                 "\"CLIPTextModel\"],\n\"tokenizer\": [\"transformers\","                    \
                                 " \"CLIPTokenizer\"],\n\"unet\": [\"diffusers\", "                          \
                                 "\"UNet2DConditionModel\"],\n\"vae\": [\"diffusers\","                      \
                                 " \"AutoencoderKL\"]"

/* eos_token_id 2 is what old files say: the end is where the largest id stands, whatever the vocabulary. */
#define CLIP(class, width, inner, layers, heads, activation, projection, vocabulary)                         \
    "{\"architectures\": [\"" class "\"], \"model_type\": \"clip_text_model\", \"hidden_size\": " width      \
                                    ",\n\"intermediate_size\": " inner ", \"num_hidden_layers\": " layers    \
                                    ", \"num_attention_heads\": " heads ", \"hidden_act\": \"" activation    \
                                    "\",\n\"projection_dim\": " projection ", \"vocab_size\": " vocabulary   \
                                    ", \"max_position_embeddings\": 77, \"layer_norm_eps\": "                \
                                    "1e-05,\n\"bos_token_id\": 0,"                                           \
                                    " \"eos_token_id\": 2}\n"

/* Small networks of two levels. */
#define TINY_UNET(in, context, more)                                                                         \
    "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": " in ", \"out_channels\": 4,\n"            \
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"],\n"                          \
    "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"],\n"                                \
    "\"block_out_channels\": [64, 128], \"norm_num_groups\": 32, \"cross_attention_dim\": " context          \
    ", \"sample_size\": 8,\n" more "}\n"

#define TINY_XL                                                                                              \
    " \"use_linear_projection\": true,\n\"addition_embed_type\": \"text_time\", "                            \
    "\"addition_time_embed_dim\":"                                                                           \
    " 256, \"projection_class_embeddings_input_dim\": 1664"

#define TINY_VAE(factor, upcast)                                                                             \
    "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": 3, \"out_channels\": 3, \"latent_channels\": "    \
    "4,\n" VAE_BLOCKS_4 "\"block_out_channels\": [32, 32, 64, 64], \"layers_per_block\": 1,"                 \
    " \"norm_num_groups\": 32, \"sample_size\": 64, \"scaling_factor\": " factor                             \
    ", \"force_upcast\": " upcast "}\n"

#define XL_INDEX                                                                                             \
    INDEX_HEAD("StableDiffusionXLPipeline", "EulerDiscreteScheduler")                                        \
    ",\n\"text_encoder_2\": "                                                                                \
    "[\"transformers\", \"CLIPTextModelWithProjection\"],\n\"tokenizer_2\": [\"transformers\", "             \
    "\"CLIPTokenizer\"],\n\"force_zeros_for_empty_prompt\": true}\n"

static const preset_file files[] = {
    {"tiny", "model_index.json", INDEX_HEAD("StableDiffusionPipeline", "DDIMScheduler") "}\n"},
    {"tiny", "scheduler/scheduler_config.json",
     SCHEDULER("DDIMScheduler", "\"clip_sample\": false, \"set_alpha_to_one\": false")},
    {"tiny", "text_encoder/config.json",
     CLIP("CLIPTextModel", "32", "64", "2", "4", "quick_gelu", "32", "538")},
    {"tiny", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4,\n"
     "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"],\n"
     "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"],\n"
     "\"block_out_channels\": [32, 32], \"layers_per_block\": 1, \"norm_num_groups\": 8,"
     " \"cross_attention_dim\": 32, \"attention_head_dim\": 4, \"sample_size\": 8}\n"},
    {"tiny", "vae/config.json",
     "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": 3, \"out_channels\": 3, \"latent_channels\": "
     "4,\n" VAE_BLOCKS_4 "\"block_out_channels\": [32, 32, 32, 32], \"layers_per_block\": 1,"
     " \"norm_num_groups\": 8, \"sample_size\": 64, \"scaling_factor\": 0.18215}\n"},

    {"sd15", "model_index.json", INDEX_HEAD("StableDiffusionPipeline", "PNDMScheduler") "}\n"},
    {"sd15", "scheduler/scheduler_config.json",
     SCHEDULER("PNDMScheduler", "\"skip_prk_steps\": true, \"set_alpha_to_one\": false")},
    {"sd15", "text_encoder/config.json",
     CLIP("CLIPTextModel", "768", "3072", "12", "12", "quick_gelu", "768", "49408")},
    {"sd15", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4,\n" UNET_BLOCKS_4
     "\"block_out_channels\": [320, 640, 1280, 1280], \"layers_per_block\": 2, \"norm_num_groups\": 32,"
     " \"cross_attention_dim\": 768, \"attention_head_dim\": 8, \"sample_size\": 64}\n"},
    {"sd15", "vae/config.json", VAE("512", "0.18215", "false")},

    {"sd21", "model_index.json", INDEX_HEAD("StableDiffusionPipeline", "DDIMScheduler") "}\n"},
    {"sd21", "scheduler/scheduler_config.json",
     SCHEDULER("DDIMScheduler",
               "\"clip_sample\": false, \"set_alpha_to_one\": false, \"prediction_type\": \"v_prediction\"")},
    {"sd21", "text_encoder/config.json",
     CLIP("CLIPTextModel", "1024", "4096", "23", "16", "gelu", "512", "49408")},
    {"sd21", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4,\n" UNET_BLOCKS_4
     "\"block_out_channels\": [320, 640, 1280, 1280], \"layers_per_block\": 2, \"norm_num_groups\": 32,"
     " \"cross_attention_dim\": 1024, \"attention_head_dim\": [5, 10, 20, 20],\n"
     "\"use_linear_projection\": true, \"sample_size\": 96}\n"},
    {"sd21", "vae/config.json", VAE("768", "0.18215", "false")},

    {"sdxl", "model_index.json",
     INDEX_HEAD("StableDiffusionXLPipeline",
                "EulerDiscreteScheduler") ",\n\"text_encoder_2\": [\"transformers\", "
                                          "\"CLIPTextModelWithProjection\"],\n"
                                          "\"tokenizer_2\": [\"transformers\", "
                                          "\"CLIPTokenizer\"],\n\"force_zeros_for_empty_prompt\": true}\n"},
    {"sdxl", "scheduler/scheduler_config.json",
     SCHEDULER("EulerDiscreteScheduler", "\"prediction_type\": \"epsilon\", \"use_karras_sigmas\": false")},
    {"sdxl", "text_encoder/config.json",
     CLIP("CLIPTextModel", "768", "3072", "12", "12", "quick_gelu", "768", "49408")},
    {"sdxl", "text_encoder_2/config.json",
     CLIP("CLIPTextModelWithProjection", "1280", "5120", "32", "20", "gelu", "1280", "49408")},
    {"sdxl", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4,\n"
     "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"],\n"
     "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"],\n"
     "\"block_out_channels\": [320, 640, 1280], \"layers_per_block\": 2, \"norm_num_groups\": 32,\n"
     "\"transformer_layers_per_block\": [1, 2, 10], \"attention_head_dim\": [5, 10, 20],"
     " \"cross_attention_dim\": 2048,\n\"use_linear_projection\": true, \"addition_embed_type\": "
     "\"text_time\", \"addition_time_embed_dim\": 256,\n"
     "\"projection_class_embeddings_input_dim\": 2816, \"sample_size\": 128}\n"},
    {"sdxl", "vae/config.json", VAE("1024", "0.13025", "true")},

    /* The same kinds in small, as far as single files allow: groups of 32, heads of 64 channels (8 heads for
     * the first), the whole vocabulary. */
    {"tiny-sd15", "model_index.json", INDEX_HEAD("StableDiffusionPipeline", "PNDMScheduler") "}\n"},
    {"tiny-sd15", "scheduler/scheduler_config.json",
     SCHEDULER("PNDMScheduler", "\"skip_prk_steps\": true, \"set_alpha_to_one\": false")},
    {"tiny-sd15", "text_encoder/config.json",
     CLIP("CLIPTextModel", "64", "128", "2", "1", "quick_gelu", "64", "49408")},
    {"tiny-sd15", "unet/config.json",
     TINY_UNET("4", "64", "\"layers_per_block\": 2, \"attention_head_dim\": 8")},
    {"tiny-sd15", "vae/config.json", TINY_VAE("0.18215", "false")},

    {"tiny-inpainting", "model_index.json",
     INDEX_HEAD("StableDiffusionInpaintPipeline", "PNDMScheduler") "}\n"},
    {"tiny-inpainting", "scheduler/scheduler_config.json",
     SCHEDULER("PNDMScheduler", "\"skip_prk_steps\": true, \"set_alpha_to_one\": false")},
    {"tiny-inpainting", "text_encoder/config.json",
     CLIP("CLIPTextModel", "64", "128", "2", "1", "quick_gelu", "64", "49408")},
    {"tiny-inpainting", "unet/config.json",
     TINY_UNET("9", "64", "\"layers_per_block\": 1, \"attention_head_dim\": 8")},
    {"tiny-inpainting", "vae/config.json", TINY_VAE("0.18215", "false")},

    {"tiny-sd21", "model_index.json", INDEX_HEAD("StableDiffusionPipeline", "DDIMScheduler") "}\n"},
    {"tiny-sd21", "scheduler/scheduler_config.json",
     SCHEDULER("DDIMScheduler",
               "\"clip_sample\": false, \"set_alpha_to_one\": false, \"prediction_type\": \"v_prediction\"")},
    {"tiny-sd21", "text_encoder/config.json",
     CLIP("CLIPTextModel", "64", "128", "2", "1", "gelu", "64", "49408")},
    {"tiny-sd21", "unet/config.json",
     TINY_UNET("4", "64",
               "\"layers_per_block\": 1, \"attention_head_dim\": [1, 2], \"use_linear_projection\": true")},
    {"tiny-sd21", "vae/config.json", TINY_VAE("0.18215", "false")},

    {"tiny-sdxl", "model_index.json", XL_INDEX},
    {"tiny-sdxl", "scheduler/scheduler_config.json",
     SCHEDULER("EulerDiscreteScheduler", "\"prediction_type\": \"epsilon\", \"use_karras_sigmas\": false")},
    {"tiny-sdxl", "text_encoder/config.json",
     CLIP("CLIPTextModel", "64", "128", "2", "1", "quick_gelu", "64", "49408")},
    {"tiny-sdxl", "text_encoder_2/config.json",
     CLIP("CLIPTextModelWithProjection", "128", "256", "2", "2", "gelu", "128", "49408")},
    {"tiny-sdxl", "unet/config.json",
     TINY_UNET("4", "192",
               "\"layers_per_block\": 1, \"attention_head_dim\": [1, 2],"
               " \"transformer_layers_per_block\": [1, 2]," TINY_XL)},
    {"tiny-sdxl", "vae/config.json", TINY_VAE("0.13025", "true")},

    /* As SSD-1B is distilled from the above: fewer transformer blocks, differing within a level, and none in
     * the middle. */
    {"tiny-distilled", "model_index.json", XL_INDEX},
    {"tiny-distilled", "scheduler/scheduler_config.json",
     SCHEDULER("EulerDiscreteScheduler", "\"prediction_type\": \"epsilon\", \"use_karras_sigmas\": false")},
    {"tiny-distilled", "text_encoder/config.json",
     CLIP("CLIPTextModel", "64", "128", "2", "1", "quick_gelu", "64", "49408")},
    {"tiny-distilled", "text_encoder_2/config.json",
     CLIP("CLIPTextModelWithProjection", "128", "256", "2", "2", "gelu", "128", "49408")},
    {"tiny-distilled", "unet/config.json",
     TINY_UNET("4", "192",
               "\"layers_per_block\": 1, \"attention_head_dim\": [1, 2], \"mid_block_type\":"
               " \"UNetMidBlock2D\", \"transformer_layers_per_block\": [[1], [2]],"
               " \"reverse_transformer_layers_per_block\": [[1, 3], [2, 1]]," TINY_XL)},
    {"tiny-distilled", "vae/config.json", TINY_VAE("0.13025", "true")},

    /* SSD-1B's own sizes (Gupta et al. 2024, arXiv 2401.02677). */
    {"distilled", "model_index.json", XL_INDEX},
    {"distilled", "scheduler/scheduler_config.json",
     SCHEDULER("EulerDiscreteScheduler", "\"prediction_type\": \"epsilon\", \"use_karras_sigmas\": false")},
    {"distilled", "text_encoder/config.json",
     CLIP("CLIPTextModel", "768", "3072", "12", "12", "quick_gelu", "768", "49408")},
    {"distilled", "text_encoder_2/config.json",
     CLIP("CLIPTextModelWithProjection", "1280", "5120", "32", "20", "gelu", "1280", "49408")},
    {"distilled", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4,\n"
     "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"],\n"
     "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"],\n"
     "\"block_out_channels\": [320, 640, 1280], \"layers_per_block\": 2, \"norm_num_groups\": 32,\n"
     "\"transformer_layers_per_block\": [[1, 1], [2, 2], [4, 4]], \"mid_block_type\": \"UNetMidBlock2D\",\n"
     "\"reverse_transformer_layers_per_block\": [[4, 4, 10], [2, 1, 1], [1, 1, 1]],\n"
     "\"attention_head_dim\": [5, 10, 20], \"cross_attention_dim\": 2048,\n"
     "\"use_linear_projection\": true, \"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": "
     "256,\n"
     "\"projection_class_embeddings_input_dim\": 2816, \"sample_size\": 128}\n"},
    {"distilled", "vae/config.json", VAE("1024", "0.13025", "true")},

    {"inpainting", "model_index.json", INDEX_HEAD("StableDiffusionInpaintPipeline", "PNDMScheduler") "}\n"},
    {"inpainting", "scheduler/scheduler_config.json",
     SCHEDULER("PNDMScheduler", "\"skip_prk_steps\": true, \"set_alpha_to_one\": false")},
    {"inpainting", "text_encoder/config.json",
     CLIP("CLIPTextModel", "768", "3072", "12", "12", "quick_gelu", "768", "49408")},
    {"inpainting", "unet/config.json",
     "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 9, \"out_channels\": 4,\n" UNET_BLOCKS_4
     "\"block_out_channels\": [320, 640, 1280, 1280], \"layers_per_block\": 2, \"norm_num_groups\": 32,"
     " \"cross_attention_dim\": 768, \"attention_head_dim\": 8, \"sample_size\": 64}\n"},
    {"inpainting", "vae/config.json", VAE("512", "0.18215", "false")},
};

const char *model_preset_file(const char *preset, const char *path) {
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].preset, preset) == 0 && strcmp(files[i].path, path) == 0) return files[i].text;
    return NULL;
}

const char *model_preset_names(void) {
    return "tiny, sd15, sd21, sdxl, inpainting, distilled, tiny-sd15, tiny-sd21, tiny-sdxl, tiny-inpainting, "
           "tiny-distilled";
}
