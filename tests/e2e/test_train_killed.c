/* kill -9 at random instants, --resume each time: the run always goes on, and ends with the same bits as one
 * that was never stopped. Half of the kills come while a run is starting, half after its first step;
 * checkpoints are written every other step, so that many fall into one. MZT_TEST_KILLS sets how many there
 * are. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/threads.h"
#include "train/draws.h"
#include "train_data.h"
#include "train_runs.h"

enum { STEPS = 60, KILLS = 20 };

static base_host host;

/* Augmentation and captions of all kinds. */
#define COMMON                                                                                               \
    "{\"resolution\": 16, \"batch\": 3, \"seed\": 5, \"data\": {\"held_out\": 0.2, \"flip\": 0.5, "          \
    "\"hue\": 0.5, \"shift\": 0.1, \"scale\": [0.8, 1.2]}, \"optimizer\": {\"learning_rate\": 0.002, "       \
    "\"warmup\": 5, \"steps\": 60}, \"log\": {\"sample_minutes\": 0, \"checkpoint_steps\": 2}, "
static const char autoencoder_json[] = COMMON TRAIN_RUNS_VAE "}";
static const char denoiser_json[] = COMMON TRAIN_RUNS_UNET "}";

static void wait_seconds(double seconds) {
    nanosleep(&(struct timespec){(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)}, NULL);
}

/* True if it ended by itself, which must be well. */
static bool reap(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

/* Was a checkpoint being written? */
static bool left_aside(const char *output) {
    DIR *d = opendir(output);
    bool found = false;
    for (struct dirent *entry; d && (entry = readdir(d));)
        found |= strncmp(entry->d_name, "checkpoint-", 11) == 0 && strstr(entry->d_name, ".tmp");
    if (d) closedir(d);
    return found;
}

typedef struct times {
    double start, rest; /* seconds until the first step is done; from there to the end */
} times;

/* A whole run, undisturbed. */
static times measure(const train_request *request) {
    int started;
    char byte;
    const double begin = clock_seconds();
    const pid_t child = train_elsewhere(&host, request, &started);
    assert_int_equal(read(started, &byte, 1), 1);
    const double first = clock_seconds();
    close(started);
    assert_true(reap(child));
    return (times){first - begin, clock_seconds() - first};
}

/* One attempt, killed: at an instant of its start, or after the first step in a share of the rest. True if it
 * finished before. */
static bool attempt(const train_request *request, const times *t, uint32_t number) {
    train_draws draws = draws_begin(9, DRAW_ORDER, 0, number);
    int started;
    char byte;
    const pid_t child = train_elsewhere(&host, request, &started);
    if (number % 2) {
        wait_seconds(t->start * draws_between(&draws, 0.02, 1));
    } else {
        if (read(started, &byte, 1) != 1) fail_msg("a resumed run ended before its first step");
        wait_seconds(t->rest * draws_between(&draws, 0, 0.16));
    }
    kill(child, SIGKILL);
    close(started);
    return reap(child);
}

static void check_killed(train_request request, uint32_t wanted) {
    char output[400], latest[440];
    uint32_t kills = 0, resumed = 0, writing = 0;
    const char *whole = request.output;
    const double begin = clock_seconds();
    const times t = measure(&request);
    snprintf(output, sizeof output, "%s-killed", whole);
    snprintf(latest, sizeof latest, "%s/latest", output);
    request.output = output;
    bool finished = false;
    while (!finished && kills < wanted) {
        request.resume = file_exists(latest);
        resumed += request.resume;
        finished = attempt(&request, &t, kills);
        kills += !finished;
        writing += !finished && left_aside(output);
    }
    if (!finished) {
        int started;
        request.resume = file_exists(latest);
        resumed += request.resume;
        const pid_t child = train_elsewhere(&host, &request, &started);
        assert_true(reap(child));
        close(started);
    }
    const train_difference d = train_states_compare(&host, whole, output, STEPS);
    print_message("killed %u times (%u while a checkpoint was written), resumed %u times, %.1f s\n",
                  (unsigned)kills, (unsigned)writing, (unsigned)resumed, clock_seconds() - begin);
    assert_true(kills >= wanted / 2 && resumed >= 2);
    assert_true(d.same);
}

static uint32_t wanted_kills(void) {
    const char *text = getenv("MZT_TEST_KILLS");
    const long value = text ? strtol(text, NULL, 10) : KILLS;
    return value > 0 && value < 10000 ? (uint32_t)value : KILLS;
}

static void test_autoencoder(void **state) {
    (void)state;
    train_folders f;
    train_folders_make(&host, &f, autoencoder_json);
    check_killed(
        (train_request){.kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output},
        wanted_kills());
    train_data_remove(f.root);
}

static void test_denoiser(void **state) {
    (void)state;
    train_folders f;
    char latest[440], output[400];
    train_folders_make(&host, &f, autoencoder_json);
    train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output, .steps = 4};
    /* In a process of its own: a child of one that has run threads must not train. */
    int started;
    const pid_t child = train_elsewhere(&host, &request, &started);
    assert_true(reap(child));
    close(started);
    train_folders_configure(&host, &f, denoiser_json);
    snprintf(latest, sizeof latest, "%s/latest", f.output);
    snprintf(output, sizeof output, "%s-denoiser", f.output);
    check_killed(
        (train_request){
            .kind = TRAIN_DENOISER, .data = f.data, .config = f.config, .output = output, .init = latest},
        wanted_kills());
    train_data_remove(f.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_autoencoder), cmocka_unit_test(test_denoiser)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
