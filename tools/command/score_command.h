/* mezzotint score's own state, shared by the files that get its pictures and report its scores. */
#ifndef COMMAND_SCORE_COMMAND_H
#define COMMAND_SCORE_COMMAND_H

#include "command.h"
#include "model_choice.h"
#include "progress.h"
#include "score/fidelity.h"
#include "score/score.h"

enum { SCORE_SHEET_MAX = 400 };

typedef struct score_command {
    const base_host *host;
    const char *data, *suites_file, *model_option, *pictures, *save, *sheet, *device, *precision, *sampler;
    uint32_t seeds, steps, columns, side;
    uint64_t seed;
    double guidance, held_out;
    bool json, quiet, check, no_autoencoder, only_autoencoder;
    uint32_t every;
    model_choice parts;

    thread_pool *pool;
    score_suites *suites;
    score_reference *reference;
    char *model; /* its folder or file; NULL: --pictures */
    const score_suite *chosen[OPTION_LIST_MAX];
    score_total totals[OPTION_LIST_MAX];
    uint32_t chosen_count;
    score_fidelity fidelity;
    bool fidelity_known;
    struct score_log *log; /* of --save */

    image *tiles; /* of --sheet */
    char (*captions)[96];
    uint32_t tile_count;
    progress bar;
} score_command;

/* Judges `count` pictures of one prompt, which come out of `suite`: adds to its total, the sheet, and --save.
 */
mzt_status score_take(score_command *c, uint32_t suite, const score_prompt *prompt, const image *pictures,
                      uint64_t first_seed, uint32_t count, mzt_error *error);

/* The pictures of all prompts: from a model, or from a folder with metadata.jsonl (its suite is number 0). */
mzt_status score_generate(score_command *c, mzt_error *error);
mzt_status score_read_folder(score_command *c, mzt_error *error);

/* --save: a folder that --pictures takes. */
mzt_status score_log_open(score_command *c, mzt_error *error);
mzt_status score_log_add(score_command *c, const score_prompt *prompt, const image *picture, uint64_t seed,
                         mzt_error *error);
mzt_status score_log_finish(score_command *c, bool keep,
                            mzt_error *error); /* not `keep`: no metadata.jsonl */

/* The table or JSON object, and the sheet. */
mzt_status score_report(const score_command *c, mzt_error *error);
mzt_status score_report_check(const score_command *c, mzt_error *error);
mzt_status score_write_sheet(const score_command *c, mzt_error *error);

/* A progress callback: shows the bar; false once the user has interrupted. */
bool score_progress(void *command, uint32_t done, uint32_t count);

#endif
