/* Which model a command uses. */
#ifndef COMMAND_MODEL_PATH_H
#define COMMAND_MODEL_PATH_H

#include "base/host.h"

/* The folder of the model: `given` by the user, or else the one that ships: models/sprite beside the program, above its build
 * folder, or in the installed share folder. *path is a fresh string. NOT_FOUND says what to give. */
mzt_status model_path_find(const base_host *host, const char *given, char **path, mzt_error *error);

#endif
