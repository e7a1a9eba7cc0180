/* Parts of a model from files of their own; see model_choice.h. */
#include "model_choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "pipeline/stored.h"

uint32_t model_choice_list(model_choice *choice, option *options) {
    const option list[MODEL_CHOICE_OPTIONS] = {
        {0, "vae", "FILE", "an autoencoder in place of the model's own: a file, or a folder", OPTION_TEXT,
         &choice->vae, 0, 0, NULL},
        {0, "text-encoder", "FILE", "a text encoder likewise; twice for models with two", OPTION_LIST,
         &choice->text_encoders, 0, 0, NULL},
        {0, "tokenizer", "FILE", "CLIP's vocabulary; default: beside the model, then the data folder",
         OPTION_TEXT, &choice->tokenizer, 0, 0, NULL},
        {0, "prediction", "P", "what the UNet predicts: epsilon or v; default: as its file tells",
         OPTION_TEXT, &choice->prediction, 0, 0, NULL},
        {0, "embedding", "FILE", "a textual inversion, by its file's name in prompts; repeatable",
         OPTION_LIST, &choice->embeddings, 0, 0, NULL},
        {0, "weights", "W", "how matrices are stored: auto, f32, f16, bf16, q8 or q4; default auto",
         OPTION_TEXT, &choice->weights, 0, 0, NULL},
    };
    memcpy(options, list, sizeof list);
    return MODEL_CHOICE_OPTIONS;
}

/* By the XDG Base Directory Specification; NULL where there is no home. */
static char *data_folder(const base_host *host) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && data[0] == '/') return path_join(host, data, "mezzotint");
    return home && home[0] == '/' ? path_join(host, home, ".local/share/mezzotint") : NULL;
}

mzt_status model_choice_options(const base_host *host, model_choice *choice, model_options *out,
                                mzt_error *error) {
    if (choice->text_encoders.count > 2)
        return error_set(error, MZT_ERROR_INVALID, "--text-encoder: no model takes more than two");
    weight_choice stored = WEIGHT_AUTO;
    if (choice->weights) TRY(weight_choice_parse(choice->weights, &stored, error));
    host_free(host, choice->data_folder);
    choice->data_folder = data_folder(host);
    *out = (model_options){.vae = choice->vae,
                           .text_encoders = {choice->text_encoders.items[0], choice->text_encoders.items[1]},
                           .tokenizer = choice->tokenizer,
                           .data_folder = choice->data_folder,
                           .prediction = choice->prediction,
                           .embeddings = choice->embeddings.items,
                           .embedding_count = choice->embeddings.count,
                           .stored = stored};
    return MZT_OK;
}

void model_choice_free(const base_host *host, model_choice *choice) {
    host_free(host, choice->data_folder);
    choice->data_folder = NULL;
}
