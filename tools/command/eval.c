/* mezzotint eval: one network on tensors from a file. */
#include "command.h"
#include "pipeline/eval.h"
#include "pipeline/stored.h"

mzt_status command_eval(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *device = "auto", *precision_name = "auto", *weights_name = "auto", *operands[2];
    eval_request request = {.steps = 8, .guidance = 7.5};
    const option options[] = {
        {'i', "input", "IN.safetensors", "tensors to read", OPTION_TEXT, &request.input, 0, 0, NULL},
        {'o', "output", "OUT.safetensors", "where the results go", OPTION_TEXT, &request.output, 0, 0, NULL},
        {0, "device", "D", "see mezzotint devices; default auto", OPTION_TEXT, &device, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &precision_name, 0, 0,
         NULL},
        {0, "weights", "W", "how matrices are stored: auto, f32, f16, bf16, q8 or q4; default auto",
         OPTION_TEXT, &weights_name, 0, 0, NULL},
        {0, "scheduler-config", "F.json", "pipeline: a scheduler configuration instead of the model's",
         OPTION_TEXT, &request.scheduler_config, 0, 0, NULL},
        {0, "steps", "N", "pipeline: denoising steps; default 8", OPTION_COUNT, &request.steps, 1, 1000,
         NULL},
        {0, "guidance", "G", "pipeline: guidance scale; default 7.5", OPTION_NUMBER, &request.guidance, 0,
         1000, NULL},
    };
    const option_set set = {
        "eval",
        "MODEL COMPONENT",
        "Runs one network of MODEL on tensors from a file and writes what comes out, to "
        "be held against another implementation.",
        "COMPONENT is text_encoder, text_encoder_2, unet, vae_encoder, vae_decoder, pipeline,\n"
        "gradients, vae_gradients or adamw. Tensors are in PyTorch's layouts;\n"
        "docs/eval.md lists their names.",
        options,
        8,
        2,
        2};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, operands, &operand_count, error);
    if (status != MZT_OK) return status;
    if (!request.input || !request.output)
        return error_set(error, MZT_ERROR_INVALID, "give the input with -i and the output with -o");
    request.component = operands[1];
    precision wanted;
    TRY(precision_parse(precision_name, &wanted, error));
    model_options opening = {.vae = NULL};
    TRY(weight_choice_parse(weights_name, &opening.stored, error));
    model *m = NULL;
    executor *e = NULL;
    status = model_open_with(&context->host, operands[0], &opening, &m, error);
    if (status >= 0) status = device_open(&context->host, device, &e, error);
    if (status >= 0) status = pipeline_eval(m, e, wanted, &request, error);
    executor_destroy(e);
    model_close(m);
    return status;
}
