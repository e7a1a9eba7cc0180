/* What convert.c and convert_folder.c share. Internal to src/pipeline. */
#ifndef PIPELINE_CONVERT_INTERNAL_H
#define PIPELINE_CONVERT_INTERNAL_H

#include "pipeline/convert.h"

typedef struct convert_job {
    const model *m;
    convert_type type;
    convert_progress *progress;
    void *user;
} convert_job;

/* Writes the tensors as a safetensors file. `prediction`: "v" or "epsilon" for its description; NULL: none.
 */
mzt_status convert_write_list(const convert_job *job, const convert_list *list, const char *path,
                              const char *prediction, mzt_error *error);

#endif
