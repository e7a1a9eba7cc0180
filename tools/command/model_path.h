/* Which model a command uses. */
#ifndef COMMAND_MODEL_PATH_H
#define COMMAND_MODEL_PATH_H

#include "base/host.h"

/* The folder of the model: `given` by the user, or else the one that ships: models/sprite beside the program, above its build
 * folder, or in the installed share folder. *path is a fresh string. NOT_FOUND says what to give. */
mzt_status model_path_find(const base_host *host, const char *given, char **path, mzt_error *error);

/* A file or folder that ships in the same places, such as "scoring.json" beside models/sprite. NOT_FOUND says what was
 * looked for. */
mzt_status shipped_path_find(const base_host *host, const char *name, char **path, mzt_error *error);

#endif
