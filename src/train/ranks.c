/* What a data-parallel run asks of its other processes; see ranks.h. */
#include "train/ranks.h"

#include <string.h>

static mzt_status unreachable(ranks *r, mzt_error *error) {
    r->failed = true;
    return error_set(error, MZT_ERROR_IO, "rank %u: the other processes cannot be reached",
                     (unsigned)r->index);
}

mzt_status ranks_agree(ranks *r, mzt_status status, mzt_error *error) {
    int32_t mine = status < 0 ? (int32_t)status : 0, all[RANKS_MAX];
    mzt_error first = {MZT_OK, ""};
    if (!r || r->failed) return status;
    if (!r->functions->gather(r, &mine, all, sizeof mine)) return unreachable(r, error);
    uint32_t from = 0;
    while (from < r->count && all[from] == 0)
        from++;
    if (from == r->count) return status;
    if (from == r->index && error) memcpy(first.message, error->message, sizeof first.message);
    if (!r->functions->share(r, first.message, sizeof first.message, from)) return unreachable(r, error);
    r->failed = true;
    return error_set(error, (mzt_status)all[from], "%s", first.message);
}

mzt_status ranks_any(ranks *r, uint32_t *flags, mzt_error *error) {
    uint32_t mine = *flags, all[RANKS_MAX];
    if (!r) return MZT_OK;
    TRY(ranks_agree(r, MZT_OK, error));
    if (r->failed || !r->functions->gather(r, &mine, all, sizeof mine)) return unreachable(r, error);
    for (uint32_t i = 0; i < r->count; i++)
        *flags |= all[i];
    return MZT_OK;
}

mzt_status ranks_mean(ranks *r, double *value, mzt_error *error) {
    double mine = *value, all[RANKS_MAX], sum = 0;
    if (!r) return MZT_OK;
    TRY(ranks_agree(r, MZT_OK, error));
    if (r->failed || !r->functions->gather(r, &mine, all, sizeof mine)) return unreachable(r, error);
    for (uint32_t i = 0; i < r->count; i++)
        sum += all[i];
    *value = sum / r->count;
    return MZT_OK;
}

mzt_status ranks_check_same(ranks *r, double value, const char *what, mzt_error *error) {
    double all[RANKS_MAX];
    if (!r) return MZT_OK;
    TRY(ranks_agree(r, MZT_OK, error));
    if (r->failed || !r->functions->gather(r, &value, all, sizeof value)) return unreachable(r, error);
    for (uint32_t i = 1; i < r->count; i++) {
        if (memcmp(&all[i], &all[0], sizeof value) == 0) continue;
        r->failed = true; /* every rank finds the same */
        return error_set(error, MZT_ERROR_INTERNAL, "%s is %.17g on rank 0 and %.17g on rank %u", what,
                         all[0], all[i], (unsigned)i);
    }
    return MZT_OK;
}

mzt_status ranks_sum(ranks *r, float *values, uint32_t count, mzt_error *error) {
    if (!r) return MZT_OK;
    if (r->failed || !r->functions->sum(r, values, count)) return unreachable(r, error);
    return MZT_OK;
}
