/* The progress bar; see progress.h. */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/threads.h"

progress progress_begin(const char *label, bool quiet) {
    const char *terminal = getenv("TERM");
    progress bar = {label, !quiet && isatty(STDERR_FILENO) && !(terminal && strcmp(terminal, "dumb") == 0),
                    clock_seconds(), 0};
    return bar;
}

static void format_seconds(double seconds, char *text, size_t size) {
    uint32_t whole = seconds > 0 && seconds < 1e7 ? (uint32_t)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(text, size, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%u:%02u", whole / 60, whole % 60);
}

void progress_update(progress *bar, double done, double total) {
    if (!bar->visible) return;
    double now = clock_seconds();
    if (now - bar->shown < 0.1) return;
    bar->shown = now;
    double share = total > 0 ? done / total : 0, elapsed = now - bar->start;
    char drawn[31], left[32] = "-:--", gone[32];
    uint32_t filled = (uint32_t)(share * 30);
    for (uint32_t i = 0; i < 30; i++)
        drawn[i] = i < filled ? '#' : '.';
    drawn[30] = '\0';
    format_seconds(elapsed, gone, sizeof gone);
    if (share > 0.01) format_seconds(elapsed / share - elapsed, left, sizeof left);
    fprintf(stderr, "\r%s [%s] %3.0f %%  %s, %s left \033[K", bar->label, drawn, share * 100, gone, left);
    fflush(stderr);
}

void progress_clear(progress *bar) {
    if (bar->visible && bar->shown > 0) fprintf(stderr, "\r\033[K");
    bar->shown = 0;
}

void progress_end(progress *bar) {
    if (bar->visible && bar->shown > 0) fprintf(stderr, "\r\033[K");
    bar->visible = false;
}
