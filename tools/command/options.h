/* Command-line options of one subcommand, described by a table: parsing, checking and --help all come from it. */
#ifndef COMMAND_OPTIONS_H
#define COMMAND_OPTIONS_H

#include "base/host.h"

typedef enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_COUNT,
    OPTION_NUMBER,
    OPTION_SEED,
    OPTION_LIST /* may be given several times */
} option_kind;

enum { OPTION_LIST_MAX = 64 };

typedef struct option_list {
    const char *items[OPTION_LIST_MAX];
    uint32_t count;
} option_list;

typedef struct option {
    char letter;          /* 'o' for -o, or 0 */
    const char *name;     /* "output" for --output */
    const char *argument; /* what --help calls the value: "FILE"; NULL for flags */
    const char *help;
    option_kind kind;
    void *target;     /* bool, const char *, uint32_t, double, uint64_t or option_list; holds the default before parsing */
    double low, high; /* range of COUNT and NUMBER, both included */
    bool *given;      /* set when the option occurs; may be NULL */
} option;

typedef struct option_set {
    const char *command;  /* "generate" */
    const char *operands; /* "PROMPT" */
    const char *summary;  /* one line */
    const char *details;  /* further lines below the options; may be NULL */
    const option *options;
    uint32_t count;
    uint32_t operands_min, operands_max;
} option_set;

/* Reads arguments after the subcommand's name. Operands are collected into `operands` (room for operands_max).
 * Returns OK; PENDING when --help was asked for and printed; INVALID with a one-line message. "--" ends the options. */
mzt_status options_parse(const option_set *set, int argc, char **argv, const char **operands, uint32_t *operand_count,
                         mzt_error *error);

/* The name in `names` that is closest to `word` (edit distance), or NULL if none is near. */
const char *nearest_name(const char *word, const char *const *names, uint32_t count);

#endif
