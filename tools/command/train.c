/* mezzotint train: an autoencoder or a denoiser from a folder of captioned pictures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "ranks_mpi.h"
#include "train/run.h"

enum { EXCLUDE_MAX = 64 };

static void print_line(void *user, const char *text) {
    const bool *quiet = user;
    if (*quiet) return;
    printf("%s\n", text);
    fflush(stdout);
}

static bool keep_going(void *user, uint64_t step) {
    (void)user;
    (void)step;
    return !command_interrupted();
}

/* --exclude may be given several times: the table of options keeps only the last, so all are gathered here.
 */
static mzt_status gather_excludes(int argc, char **argv, const char **excludes, uint32_t *count,
                                  mzt_error *error) {
    for (int i = 0; i < argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--") == 0) break;
        if (strcmp(argv[i], "--exclude") == 0 && i + 1 < argc) value = argv[++i];
        if (!value && strncmp(argv[i], "--exclude=", 10) == 0) value = argv[i] + 10;
        if (!value) continue;
        if (*count == EXCLUDE_MAX)
            return error_set(error, MZT_ERROR_INVALID, "--exclude: at most %d combinations", EXCLUDE_MAX);
        excludes[(*count)++] = value;
    }
    return MZT_OK;
}

/* The device of this process: of a list "vulkan:0,vulkan:1" the one whose turn it is on this machine. */
static mzt_status pick_device(const char *list, char device[128], mzt_error *error) {
    uint32_t count = 1, wanted;
    for (const char *c = list; *c; c++)
        count += *c == ',';
    wanted = ranks_mpi_local() % count;
    for (; wanted > 0; wanted--)
        list = strchr(list, ',') + 1;
    const size_t length = strcspn(list, ",");
    if (length == 0 || length >= 128)
        return error_set(error, MZT_ERROR_INVALID, "--device: a name in the list is empty or too long");
    memcpy(device, list, length);
    device[length] = '\0';
    return MZT_OK;
}

static mzt_status train_on(command_context *context, const char *devices, train_request *request,
                           train_result *result, mzt_error *error) {
    executor *e = NULL;
    char device[128] = "";
    mzt_status status = pick_device(devices, device, error);
    if (status >= 0) status = device_open(&context->host, device, &e, error);
    status = ranks_agree(request->ranks, status, error);
    if (status >= 0) status = train_run(&context->host, e, request, result, error);
    executor_destroy(e);
    return status;
}

/* One message is enough, whatever the number of processes: all of them return the same. */
static mzt_status run(command_context *context, const char *devices, train_request *request, bool quiet,
                      mzt_error *error) {
    train_result result;
    TRY(ranks_mpi_open(&context->host, &request->ranks, error));
    context->silent = !ranks_is_first(request->ranks);
    mzt_status status = train_on(context, devices, request, &result, error);
    if (status >= 0 && !quiet && !context->silent)
        printf("%s/latest: %llu steps, %.3f million parameters, last loss %.5f, %.0f s\n", request->output,
               (unsigned long long)result.steps, (double)result.parameters / 1e6, result.loss,
               result.seconds);
    ranks_mpi_close(request->ranks);
    return status;
}

mzt_status command_train(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *device = "auto", *exclude = NULL, *excludes[EXCLUDE_MAX], *kind;
    bool quiet = false;
    double steps = 0;
    train_request r = {.line = print_line, .keep_going = keep_going, .user = &quiet};
    const option options[] = {
        {0, "data", "DIR", "PNG files with metadata.jsonl; see docs/training.md", OPTION_TEXT, &r.data, 0, 0,
         NULL},
        {0, "config", "FILE.json", "networks, data, optimiser; see docs/training.md", OPTION_TEXT, &r.config,
         0, 0, NULL},
        {'o', "output", "DIR", "where checkpoints, log and samples go", OPTION_TEXT, &r.output, 0, 0, NULL},
        {0, "init", "MODEL", "a folder to begin from; a denoiser needs one with an autoencoder", OPTION_TEXT,
         &r.init, 0, 0, NULL},
        {0, "lora", "RANK", "train low-rank adapters of the --init model; see docs/lora.md", OPTION_COUNT, &r.lora,
         1, 4096, NULL},
        {0, "resume", NULL, "go on from DIR/latest", OPTION_FLAG, &r.resume, 0, 0, NULL},
        {0, "minutes", "M", "stop after M minutes", OPTION_NUMBER, &r.minutes, 0, 1e7, NULL},
        {0, "steps", "N", "stop at step N; default: the configuration's optimizer.steps", OPTION_NUMBER,
         &steps, 0, 1e12, NULL},
        {0, "batch", "N", "pictures at once, on all processes; default: the configuration's", OPTION_COUNT,
         &r.batch, 1, 65536, NULL},
        {0, "accumulate", "N", "batches a step, one after the other; default: the configuration's",
         OPTION_COUNT, &r.accumulate, 1, 65536, NULL},
        {0, "recompute", NULL, "less memory, more work: blocks are computed again for their gradients",
         OPTION_FLAG, &r.recompute, 0, 0, NULL},
        {'s', "seed", "N", "default: the configuration's", OPTION_SEED, &r.seed, 0, 0, &r.seed_given},
        {0, "exclude", "WORDS", "a combination never to show, as \"green banana\"; may be repeated",
         OPTION_TEXT, &exclude, 0, 0, NULL},
        {0, "device", "D", "see mezzotint devices; default auto; D,D,...: one for each process under mpirun",
         OPTION_TEXT, &device, 0, 0, NULL},
        {0, "profile", NULL, "say at the end where the time went", OPTION_FLAG, &r.profile, 0, 0, NULL},
        {'q', "quiet", NULL, "print nothing", OPTION_FLAG, &quiet, 0, 0, NULL},
    };
    const option_set set = {
        "train",
        "autoencoder|denoiser",
        "Trains a network on captioned pictures.",
        "example:  mezzotint train autoencoder --data sprites --config vae.json -o run-vae --minutes 30\n"
        "          mezzotint train denoiser --data sprites --config unet.json --init run-vae/latest -o run",
        options,
        sizeof options / sizeof *options,
        1,
        1};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, &kind, &operand_count, error);
    if (status != MZT_OK) return status;
    if (strcmp(kind, "autoencoder") != 0 && strcmp(kind, "denoiser") != 0)
        return error_set(error, MZT_ERROR_INVALID, "unknown network '%s': expected autoencoder or denoiser",
                         kind);
    r.kind = strcmp(kind, "denoiser") == 0 ? TRAIN_DENOISER : TRAIN_AUTOENCODER;
    if (!r.data || !r.config || !r.output)
        return error_set(error, MZT_ERROR_INVALID, "--data, --config and --output are needed");
    TRY(gather_excludes(argc, argv, excludes, &r.exclude_count, error));
    r.exclude = excludes;
    r.steps = (uint64_t)steps;
    return run(context, device, &r, quiet, error);
}
