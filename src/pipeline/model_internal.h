/* The steps of opening a model, by the file that does them. Internal to src/pipeline. */
#ifndef PIPELINE_MODEL_INTERNAL_H
#define PIPELINE_MODEL_INTERNAL_H

#include "pipeline/checkpoint.h"
#include "pipeline/model.h"

/* Fills a configuration from the root of its file. */
typedef mzt_status model_config_reader(json_value root, void *config, mzt_error *error);

/* model.c */
model_config_reader model_read_vae, model_read_clip, model_read_sampler;
mzt_status model_read_config(const base_host *host, const char *folder, const char *name,
                             model_config_reader *reader, void *config, mzt_error *error);

/* model_file.c: everything that a file of weights holds, which must be a UNet at least. */
mzt_status model_open_file(model *m, const char *path, const model_options *options, mzt_error *error);

/* model_parts.c: parts that the options bring from elsewhere, and what the UNet predicts, if they say it. */
mzt_status model_replace_parts(model *m, const model_options *options, mzt_error *error);
/* A network of an opened checkpoint, with its configuration, in place of what the model has there. */
mzt_status model_take_part(model *m, const checkpoint *c, model_component component, mzt_error *error);
/* The model owns the checkpoint's file from now on; the rest of *c stays valid. */
mzt_status model_keep_file(model *m, checkpoint *c, mzt_error *error);
/* NOT_FOUND naming what is missing and the option that brings it. */
mzt_status model_check_complete(const model *m, mzt_error *error);

/* model_tokenizer.c: tokenizers may be missing, since token ids can be given instead. */
mzt_status model_open_tokenizers(model *m, const model_options *options, mzt_error *error);

/* model_summary.c: fills m->summary. */
void model_summarise(model *m);

#endif
