/* The configuration of transformers' CLIPTextModel and CLIPTextModelWithProjection
 * (text_encoder/config.json). */
#ifndef MODEL_CLIP_CONFIG_H
#define MODEL_CLIP_CONFIG_H

#include "json/json.h"

typedef struct clip_config {
    uint32_t vocabulary; /* token ids are below this ... */
    uint32_t added;      /* ... and the last so many came later than training: textual inversions */
    uint32_t positions;  /* max_position_embeddings: the longest sequence, 77 */
    uint32_t channels;   /* hidden_size */
    uint32_t intermediate;
    uint32_t layers, heads;
    bool quick_gelu; /* hidden_act "quick_gelu", else "gelu" */
    float eps;       /* of every layer norm */
    bool projection; /* CLIPTextModelWithProjection: text_embeds exist, projection_dim wide */
    uint32_t projection_channels;
    uint32_t eos; /* eos_token_id; 2 in old files has a meaning of its own, see clip_eos_rows */
} clip_config;

/* INVALID or UNSUPPORTED with file, key and value. Keys that do not describe the network (training,
 * generation) are skipped, as transformers does. Thread-safety: reads only `root`. */
mzt_status clip_config_read(json_value root, clip_config *config, mzt_error *error);

#endif
