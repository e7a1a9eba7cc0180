/* The subcommands of `mezzotint`: one function each, in a file of its own name. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "base/host.h"
#include "options.h"

/* What every subcommand is handed. */
typedef struct command_context {
    base_host host;
    bool silent; /* neither errors nor warnings are printed: another process does that */
} command_context;

/* A subcommand: reads its arguments (those after its name), works, and returns. A failure's message is printed by main.
 * PENDING means --help was printed. */
typedef mzt_status command_function(command_context *context, int argc, char **argv, mzt_error *error);

command_function command_generate, command_info, command_sheet, command_noise,
    command_eval, command_validate, command_tokenize, command_devices, command_inspect, command_compile, command_train, command_score, command_bench, command_compare, command_convert;

/* True once the user has pressed Ctrl-C. */
bool command_interrupted(void);

#endif
