/* Opening a model by path: the one thing that the two libraries do differently. */
#ifndef API_OPEN_H
#define API_OPEN_H

#include "api/api.h"

/* Fills m->m, and m->weights_file. `params` may be NULL. Errors leave what mzt_model_close can release. */
mzt_status api_open_path(mzt_model *m, const char *path, const mzt_model_params *params, mzt_error *error);

#endif
