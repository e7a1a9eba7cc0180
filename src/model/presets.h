/* The configurations of published models, by the paths of their files in a model folder. */
#ifndef MODEL_PRESETS_H
#define MODEL_PRESETS_H

/* The text of a file ("sd15", "unet/config.json"), or NULL. */
const char *model_preset_file(const char *preset, const char *path);

/* "tiny, sd15, ..." */
const char *model_preset_names(void);

#endif
