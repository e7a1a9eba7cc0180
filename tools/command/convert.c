/* mezzotint convert: a model from one kind of file to another. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "generate_lora.h"
#include "model_choice.h"
#include "pipeline/convert.h"
#include "progress.h"

static bool on_progress(void *user, double share) {
    progress_update(user, share, 1);
    return !command_interrupted();
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
    static const char ending[] = ".safetensors";
    const size_t length = strlen(output);
    *single = length > sizeof ending && strcmp(output + length - (sizeof ending - 1), ending) == 0;
    if (!text) return MZT_OK;
    if (strcmp(text, "single") != 0 && strcmp(text, "folder") != 0)
        return error_set(error, MZT_ERROR_INVALID, "unknown layout '%s': expected single or folder", text);
    *single = strcmp(text, "single") == 0;
    return MZT_OK;
}

/* Everything that changes the model is laid over it before it is written. */
static mzt_status convert(command_context *context, const char *input, const char *output, bool single,
                          convert_type type, bool quiet, const model_options *opening,
                          const lora_choice *loras, mzt_error *error) {
    model *m;
    TRY(model_open_with(&context->host, input, opening, &m, error));
    if (!quiet) printf("%s: %s\n", input, m->summary);
    progress bar = progress_begin("writing", quiet);
    mzt_status status = model_apply_loras(m, loras->list, loras->count, error);
    if (status >= 0)
        status = single ? convert_to_file(m, output, type, on_progress, &bar, error)
                        : convert_to_folder(m, output, type, on_progress, &bar, error);
    progress_end(&bar);
    if (status >= 0 && !quiet) printf("wrote %s\n", output);
    model_close(m);
    return status;
}

mzt_status command_convert(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *input = NULL, *output = NULL, *type_name = "keep", *layout = NULL;
    model_choice choice = {.vae = NULL};
    option_list lora_words = {.count = 0}; /* lora_choose reads them itself */
    bool quiet = false, single = false;
    uint32_t operands;
    convert_type type = CONVERT_KEEP;
    option options[MODEL_CHOICE_OPTIONS + 5] = {
        {'o', "output", "PATH", "a folder, or a file whose name ends in .safetensors", OPTION_TEXT, &output,
         0, 0, NULL},
        {0, "dtype", "T", "keep, f16, bf16 or f32; default keep", OPTION_TEXT, &type_name, 0, 0, NULL},
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
        "original layout that other programs read.",
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
    TRY(parse_type(type_name, &type, error));
    TRY(parse_layout(layout, output, &single, error));
    model_options opening;
    lora_choice loras = {.count = 0};
    status = model_choice_options(&context->host, &choice, &opening, error);
    if (status >= 0) status = lora_choose(&context->host, argc, argv, "", "", NULL, input, &loras, error);
    if (status >= 0) status = convert(context, input, output, single, type, quiet, &opening, &loras, error);
    lora_choice_release(&context->host, &loras);
    model_choice_free(&context->host, &choice);
    return status;
}
