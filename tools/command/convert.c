/* mezzotint convert: a model from one kind of file to another. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "generate_lora.h"
#include "model_choice.h"
#include "pipeline/convert.h"
#include "pipeline/convert_gguf.h"
#include "progress.h"

static bool on_progress(void *user, double share) {
    progress_update(user, share, 1);
    return !command_interrupted();
}

/* What is to be written. */
typedef struct target {
    const char *path;
    bool gguf, single;
    convert_type type;    /* not GGUF */
    weights_dtype blocks; /* GGUF */
} target;

static bool ends_with(const char *text, const char *ending) {
    const size_t length = strlen(text), wanted = strlen(ending);
    return length > wanted && strcmp(text + length - wanted, ending) == 0;
}

static mzt_status parse_blocks(const char *text, weights_dtype *type, mzt_error *error) {
    char shown[40];
    if (!text || convert_gguf_type(text, type)) return MZT_OK;
    return error_set(
        error, MZT_ERROR_INVALID,
        "unknown type '%s' for a GGUF file: expected q8_0, q6_k, q5_k, q5_0, q5_1, q4_k, q4_0, q4_1, f16, "
        "bf16 or f32",
        error_text(shown, sizeof shown, text));
}

static mzt_status parse_type(const char *text, convert_type *type, mzt_error *error) {
    static const char *const names[] = {"keep", "f16", "bf16", "f32"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *type = (convert_type)i;
        return MZT_OK;
    }
    return error_set(error, MZT_ERROR_INVALID, "unknown type '%s': expected keep, f16, bf16 or f32", text);
}

/* "single" or "folder"; NULL: as the output's name has it. */
static mzt_status parse_layout(const char *text, const char *output, bool *single, mzt_error *error) {
    *single = ends_with(output, ".safetensors");
    if (!text) return MZT_OK;
    if (strcmp(text, "single") != 0 && strcmp(text, "folder") != 0)
        return error_set(error, MZT_ERROR_INVALID, "unknown layout '%s': expected single or folder", text);
    *single = strcmp(text, "single") == 0;
    return MZT_OK;
}

/* Everything that changes the model is laid over it before it is written. */
static mzt_status convert(command_context *context, const char *input, const target *to, bool quiet,
                          const model_options *opening, const lora_choice *loras, mzt_error *error) {
    model *m;
    TRY(model_open_with(&context->host, input, opening, &m, error));
    if (!quiet) printf("%s: %s\n", input, m->summary);
    progress bar = progress_begin("writing", quiet);
    mzt_status status = model_apply_loras(m, loras->list, loras->count, error);
    if (status >= 0 && to->gguf)
        status = convert_to_gguf(m, to->path, to->blocks, on_progress, &bar, error);
    else if (status >= 0)
        status = to->single ? convert_to_file(m, to->path, to->type, on_progress, &bar, error)
                            : convert_to_folder(m, to->path, to->type, on_progress, &bar, error);
    progress_end(&bar);
    if (status >= 0 && !quiet) printf("wrote %s\n", to->path);
    model_close(m);
    return status;
}

mzt_status command_convert(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *input = NULL, *output = NULL, *type_name = NULL, *layout = NULL;
    model_choice choice = {.vae = NULL};
    option_list lora_words = {.count = 0}; /* lora_choose reads them itself */
    bool quiet = false;
    uint32_t operands;
    target to = {.type = CONVERT_KEEP, .blocks = WEIGHTS_Q8_0};
    option options[MODEL_CHOICE_OPTIONS + 5] = {
        {'o', "output", "PATH", "a folder, or a file whose name ends in .safetensors or .gguf", OPTION_TEXT,
         &output, 0, 0, NULL},
        {0, "dtype", "T", "keep, f16, bf16 or f32, default keep; GGUF: q8_0 (default), q6_k, q5_k, q5_0, ...",
         OPTION_TEXT, &type_name, 0, 0, NULL},
        {0, "layout", "L", "folder or single; default: by the output's name", OPTION_TEXT, &layout, 0, 0,
         NULL},
        {0, "lora", "FILE[:SCALE]", "merge a LoRA file; repeatable", OPTION_LIST, &lora_words, 0, 0, NULL},
        {'q', "quiet", NULL, "print nothing but errors", OPTION_FLAG, &quiet, 0, 0, NULL},
    };
    const uint32_t count = 5 + model_choice_list(&choice, options + 5);
    const option_set set = {
        "convert",
        "MODEL",
        "Writes MODEL (a folder or a file) as a folder in diffusers' layout, or as a single file in the\n"
        "original layout that other programs read; as GGUF with its matrices quantised.",
        "examples: mezzotint convert v1-5.safetensors -o v1-5\n"
        "          mezzotint convert model-folder -o merged.safetensors --lora style.safetensors:0.8 --dtype "
        "f16",
        options,
        count,
        1,
        1};
    mzt_status status = options_parse(&set, argc, argv, &input, &operands, error);
    if (status != MZT_OK) return status;
    if (!output)
        return error_set(error, MZT_ERROR_INVALID, "expected -o PATH (see mezzotint convert --help)");
    if (choice.embeddings.count || choice.weights)
        return error_set(error, MZT_ERROR_INVALID, "--%s is for making pictures, not for converting",
                         choice.weights ? "weights" : "embedding");
    to.path = output;
    to.gguf = ends_with(output, ".gguf");
    if (to.gguf)
        TRY(parse_blocks(type_name, &to.blocks, error));
    else
        TRY(parse_type(type_name ? type_name : "keep", &to.type, error));
    TRY(parse_layout(layout, output, &to.single, error));
    model_options opening;
    lora_choice loras = {.count = 0};
    status = model_choice_options(&context->host, &choice, &opening, error);
    if (status >= 0) status = lora_choose(&context->host, argc, argv, "", "", NULL, input, &loras, error);
    if (status >= 0) status = convert(context, input, &to, quiet, &opening, &loras, error);
    lora_choice_release(&context->host, &loras);
    model_choice_free(&context->host, &choice);
    return status;
}
