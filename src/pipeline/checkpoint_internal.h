/* What checkpoint.c and checkpoint_kinds.c share. Internal to src/pipeline. */
#ifndef PIPELINE_CHECKPOINT_INTERNAL_H
#define PIPELINE_CHECKPOINT_INTERNAL_H

#include "pipeline/checkpoint.h"

/* Fills c->parts and c->xl from the names in c->file. UNSUPPORTED where nothing is found. */
mzt_status checkpoint_find_parts(checkpoint *c, mzt_error *error);

/* Says what the file is instead: always an error. */
mzt_status checkpoint_refuse(const weights_set *file, mzt_error *error);

#endif
