/* mezzotint: the command. Finds the subcommand, prints its error, turns its status into an exit code:
 * 0 success, 1 failure, 2 wrong usage, 130 interrupted. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "ranks_mpi.h"

static const struct {
    const char *name;
    command_function *run;
    const char *summary;
} commands[] = {
    {"generate", command_generate, "make a picture from a prompt"},
    {"info", command_info, "what a picture was made with"},
    {"sheet", command_sheet, "tile pictures into one"},
    {"noise", command_noise, "a picture turning into noise, as in training"},
    {"train", command_train, "train a network on captioned pictures"},
    {"score", command_score, "score pictures against what their prompts asked for"},
    {"convert", command_convert, "write a model as a folder or a single file"},
    {"devices", command_devices, "list the devices that can run it"},
    {"compile", command_compile, "a model for one kind of picture, in one file for the small runtime"},
    {"inspect", command_inspect, "parameters, FLOP, dispatches and memory of a model"},
    {"tokenize", command_tokenize, "token ids of a text"},
    {"eval", command_eval, "run one network on tensors from a file"},
    {"bench", command_bench, "time networks and kernels, and check their results"},
    {"compare", command_compare, "results of bench side by side"},
    {"validate", command_validate, "hold a device against the reference, node by node"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

/* The one thing a signal handler may touch. */
static volatile sig_atomic_t interrupted;

bool command_interrupted(void) {
    return interrupted != 0;
}

static void on_interrupt(int signal_number) {
    interrupted = 1;
    signal(signal_number, SIG_DFL); /* a second Ctrl-C ends the program at once */
}

static void print_log(void *user, mzt_log_level level, const char *line) {
    const command_context *context = user;
    if (level >= MZT_LOG_WARNING && !context->silent) fprintf(stderr, "warning: %s\n", line);
}

static void print_usage(FILE *out) {
    fprintf(out, "usage: mezzotint COMMAND [options]\n\nText-to-image diffusion on any GPU.\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nmezzotint COMMAND --help shows the options of a command.\n"
                 "First picture:  mezzotint generate \"a red apple\" -o apple.png\n");
}

static int exit_code(mzt_status status) {
    if (status >= 0) return 0;
    if (status == MZT_CANCELLED) return 130;
    return status == MZT_ERROR_INVALID ? 2 : 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("mezzotint %s%s\n", MZT_VERSION_STRING, ranks_mpi_built() ? ", with MPI" : "");
        return 0;
    }
    command_context context = {.silent = false};
    const mzt_hooks hooks = {.user = &context, .log = print_log};
    context.host = host_make(&hooks);
    signal(SIGINT, on_interrupt);
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], names[i]) != 0) continue;
        mzt_error error = {MZT_OK, ""};
        mzt_status status = commands[i].run(&context, argc - 2, argv + 2, &error);
        if (status == MZT_CANCELLED && !context.silent)
            fprintf(stderr, "mezzotint %s: interrupted\n", names[i]);
        else if (status < 0 && !context.silent)
            fprintf(stderr, "mezzotint %s: %s\n", names[i], error.message[0] ? error.message : mzt_status_string(status));
        if (status >= 0 && fflush(stdout) != 0) {
            fprintf(stderr, "mezzotint %s: cannot write to standard output\n", names[i]);
            return 1;
        }
        return exit_code(status);
    }
    const char *near = nearest_name(argv[1], names, COMMAND_COUNT);
    fprintf(stderr, "mezzotint: unknown command '%s'%s%s%s\n", argv[1], near ? " (did you mean " : "", near ? near : "",
            near ? "?)" : "");
    return 2;
}
