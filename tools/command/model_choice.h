/* The options by which commands bring parts of a model from files of their own. */
#ifndef COMMAND_MODEL_CHOICE_H
#define COMMAND_MODEL_CHOICE_H

#include "options.h"
#include "pipeline/model.h"

typedef struct model_choice {
    const char *vae, *tokenizer, *prediction, *weights;
    option_list text_encoders, embeddings;
    char *data_folder; /* owned */
} model_choice;

enum { MODEL_CHOICE_OPTIONS = 6 };

/* Fills `options` and returns how many they are: MODEL_CHOICE_OPTIONS. */
uint32_t model_choice_list(model_choice *choice, option *options);

/* After parsing: what model_open_with takes; it points into *choice. The user's data folder is
 * $XDG_DATA_HOME/mezzotint, by default ~/.local/share/mezzotint. INVALID for more text encoders than two. */
mzt_status model_choice_options(const base_host *host, model_choice *choice, model_options *out,
                                mzt_error *error);
void model_choice_free(const base_host *host, model_choice *choice);

#endif
