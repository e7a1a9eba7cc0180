/* mezzotint generate's own state, shared by the files that read its options, show its progress and save its
 * pictures. */
#ifndef COMMAND_GENERATE_COMMAND_H
#define COMMAND_GENERATE_COMMAND_H

#include "command.h"
#include "file_hash.h"
#include "generate_lora.h"
#include "model_choice.h"
#include "pipeline/generate.h"
#include "pipeline/generate_parameters.h"
#include "progress.h"
#include "terminal.h"

typedef struct generate_command {
    const base_host *host;
    generate_request request;

    /* options that are not the request's own */
    const char *model_option, *output, *device, *precision_name, *memory, *rng_name, *from;
    const char *init_file, *mask_file, *sigma_list, *interval, *tile, *trajectory, *preview_kind, *lora,
        *lora_folder;
    bool json, quiet, preview, seed_given, variation_given;
    bool steps_given; /* or a schedule */

    char *model;       /* the folder */
    model_choice parts;
    double *sigmas;    /* what request.sigmas points to */
    lora_choice loras; /* the request's prompt lies in it */
    parameters past;   /* of --from; the request's strings may point into it */
    image init_image, mask;
    char init_hash[FILE_HASH_DIGITS + 1], mask_hash[FILE_HASH_DIGITS + 1], model_hash[FILE_HASH_DIGITS + 1];
    terminal terminal;
    progress bar;
    mzt_phase shown;
    uint32_t steps_seen; /* by the last preview */
    double previewed;    /* clock of the last preview */
    mzt_device_info device_info;
    mzt_job_info job_info;
} generate_command;

/* Reads the picture's parameters into c->past and the request. Errors name the file. */
mzt_status generate_from(generate_command *c, const char *file, mzt_error *error);

/* The model's name as files have it: its folder's. */
const char *generate_model_name(const char *folder);

/* Draws the final picture, writes every picture and the trajectory, and says so on standard output unless
 * --json or --quiet. */
mzt_status generate_save(generate_command *c, const generate_result *result, mzt_error *error);
mzt_status generate_print_json(const generate_command *c, const generate_result *result, mzt_error *error);

/* Makes the pictures, and fills in what the command says of model and device. */
mzt_status generate_run(generate_command *c, generate_result *result, mzt_error *error);

#endif
