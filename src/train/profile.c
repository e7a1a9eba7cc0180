/* Tables of where training time goes; see profile.h. */
#include "train/profile.h"

#include <stdio.h>
#include <stdlib.h>

enum { LISTED = 24 }; /* dispatches that are listed one by one */

mzt_status train_profile_create(const base_host *host, const plan *p, train_profile *out, mzt_error *error) {
    *out = (train_profile){.host = host, .plan = p};
    out->seconds = host_calloc(host, p->dispatch_count ? p->dispatch_count : 1, sizeof *out->seconds);
    return out->seconds ? MZT_OK : error_memory(error, "profile", p->dispatch_count * sizeof *out->seconds);
}

void train_profile_destroy(train_profile *profile) {
    if (profile->host) host_free(profile->host, profile->seconds);
    *profile = (train_profile){0};
}

/* What one table is said with. */
typedef struct report {
    const train_profile *profile;
    double steps, total, peak; /* total: seconds in all dispatches */
    void (*line)(void *user, const char *text);
    void *user;
} report;

/* One row: `name`, seconds and operations of all steps together. */
static void say_row(const report *r, const char *name, double seconds, double flops) {
    char text[200], of_peak[16] = "";
    const double rate = seconds > 0 ? flops / seconds : 0;
    if (r->peak > 0) snprintf(of_peak, sizeof of_peak, " %6.1f%%", 100 * rate / r->peak);
    snprintf(text, sizeof text, "%-44s %9.2f ms %5.1f%% %9.3f GFLOP %7.1f GFLOP/s%s", name,
             1e3 * seconds / r->steps, r->total > 0 ? 100 * seconds / r->total : 0, flops / r->steps / 1e9,
             rate / 1e9, of_peak);
    r->line(r->user, text);
}

/* ------------------------------------------------------------------------------------------------- by part
 * -- */

static void say_parts(const report *r) {
    static const char *const names[PROFILE_PART_COUNT] = {"waiting for batches", "latents and uploads",
                                                          "the step itself", "checkpoints and sheets"};
    double all = 0;
    char text[120];
    for (int i = 0; i < PROFILE_PART_COUNT; i++)
        all += r->profile->parts[i];
    for (int i = 0; i < PROFILE_PART_COUNT; i++) {
        snprintf(text, sizeof text, "%-44s %9.2f ms %5.1f%%", names[i], 1e3 * r->profile->parts[i] / r->steps,
                 all > 0 ? 100 * r->profile->parts[i] / all : 0);
        r->line(r->user, text);
    }
}

/* --------------------------------------------------------------------------------------------------- by op
 * -- */

typedef struct op_total {
    op op;
    uint32_t dispatches;
    double seconds, flops;
} op_total;

static int by_seconds(const void *a, const void *b) {
    const double x = ((const op_total *)a)->seconds, y = ((const op_total *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void say_ops(const report *r) {
    const train_profile *profile = r->profile;
    op_total totals[OP_COUNT], all = {.op = OP_COUNT};
    char name[64];
    for (int i = 0; i < OP_COUNT; i++)
        totals[i] = (op_total){.op = (op)i};
    for (uint32_t i = 0; i < profile->plan->dispatch_count; i++) {
        const plan_dispatch *d = &profile->plan->dispatches[i];
        op_total *t = &totals[d->op];
        t->dispatches++;
        t->seconds += profile->seconds[i];
        t->flops += (double)d->flops * r->steps;
        all.dispatches++;
        all.seconds += profile->seconds[i];
        all.flops += (double)d->flops * r->steps;
    }
    qsort(totals, OP_COUNT, sizeof *totals, by_seconds);
    for (int i = 0; i < OP_COUNT && totals[i].dispatches > 0; i++) {
        snprintf(name, sizeof name, "%5u %s", (unsigned)totals[i].dispatches, op_get(totals[i].op)->name);
        say_row(r, name, totals[i].seconds, totals[i].flops);
    }
    snprintf(name, sizeof name, "%5u in all", (unsigned)all.dispatches);
    say_row(r, name, all.seconds, all.flops);
}

/* --------------------------------------------------------------------------------------------- by dispatch
 * -- */

typedef struct slow_dispatch {
    uint32_t index;
    double seconds;
} slow_dispatch;

/* The shape in the words of the op, for those that matter most. */
static void describe_shape(const plan_dispatch *d, char *text, size_t size) {
    const op_params *p = &d->params;
    if (d->op == OP_LINEAR)
        snprintf(text, size, "%ux%ux%u", (unsigned)p->linear.m, (unsigned)(p->linear.k0 + p->linear.k1),
                 (unsigned)p->linear.n);
    else if (d->op == OP_CONV2D)
        snprintf(text, size, "%ux%ux%u %u->%u k%u", (unsigned)p->conv2d.n, (unsigned)p->conv2d.oh,
                 (unsigned)p->conv2d.ow, (unsigned)(p->conv2d.c0 + p->conv2d.c1), (unsigned)p->conv2d.cout,
                 (unsigned)p->conv2d.kh);
    else if (d->op == OP_WEIGHT_GRAD)
        snprintf(text, size, "%ux%ux%u %u->%u k%u /%u", (unsigned)p->weight_grad.n,
                 (unsigned)p->weight_grad.oh, (unsigned)p->weight_grad.ow, (unsigned)p->weight_grad.c,
                 (unsigned)p->weight_grad.cout, (unsigned)p->weight_grad.kh, (unsigned)p->weight_grad.splits);
    else
        text[0] = '\0';
}

static void say_slowest(const report *r) {
    const train_profile *profile = r->profile;
    slow_dispatch slow[LISTED];
    uint32_t count = 0;
    for (uint32_t i = 0; i < profile->plan->dispatch_count; i++) { /* insertion into a short sorted list */
        const double seconds = profile->seconds[i];
        uint32_t at = count;
        while (at > 0 && slow[at - 1].seconds < seconds)
            at--;
        if (at == LISTED) continue;
        if (count < LISTED) count++;
        for (uint32_t j = count - 1; j > at; j--)
            slow[j] = slow[j - 1];
        slow[at] = (slow_dispatch){i, seconds};
    }
    for (uint32_t i = 0; i < count; i++) {
        const plan_dispatch *d = &profile->plan->dispatches[slow[i].index];
        char shape[64], name[96];
        describe_shape(d, shape, sizeof shape);
        snprintf(name, sizeof name, "%s %s", op_get((op)d->op)->name,
                 shape[0] ? shape : plan_string(profile->plan, d->node));
        say_row(r, name, slow[i].seconds, (double)d->flops * r->steps);
    }
}

void train_profile_report(const train_profile *profile, double peak,
                          void (*line)(void *user, const char *text), void *user) {
    if (!line || profile->steps == 0) return;
    report r = {profile, (double)profile->steps, 0, peak, line, user};
    for (uint32_t i = 0; i < profile->plan->dispatch_count; i++)
        r.total += profile->seconds[i];
    char text[120];
    snprintf(text, sizeof text, "profile of %llu steps, per step: time, share, work, rate%s",
             (unsigned long long)profile->steps, peak > 0 ? ", share of the peak" : "");
    line(user, text);
    if (peak > 0) {
        snprintf(text, sizeof text, "%-44s %57.1f GFLOP/s", "the vendor library's best, measured now",
                 peak / 1e9);
        line(user, text);
    }
    say_parts(&r);
    line(user, "by op, with the count of dispatches:");
    say_ops(&r);
    line(user, "the dispatches that took longest:");
    say_slowest(&r);
}
