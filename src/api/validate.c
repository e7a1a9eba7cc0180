/* Holding a device against the reference. */
#include <string.h>

#include "api/api.h"
#include "pipeline/validate.h"

static bool on_row(void *user, const validate_row *row, double share) {
    const mzt_validate_params *p = user;
    const mzt_validate_row own = {.struct_size = sizeof own,
                                  .component = row->component,
                                  .node = row->node,
                                  .op = row->op,
                                  .index = row->index,
                                  .passed = row->passed,
                                  .error = row->error,
                                  .limit = row->limit,
                                  .share = share};
    return p->report(p->user, &own) == 0;
}

mzt_status mzt_validate(mzt_model *opened, mzt_device *device, const mzt_validate_params *params,
                        mzt_validate_summary *summary, mzt_error *error) {
    mzt_validate_params own = {.struct_size = sizeof own};
    validate_summary found = {0};
    precision wanted;
    if (!opened || !device) return api_missing(error, opened ? "device" : "model");
    if (params) TRY(api_take("mzt_validate_params", params, &own, sizeof own, error));
    TRY(api_precision(own.precision, &wanted, error));
    const validate_request request = {.latent_size = own.latent_size,
                                      .perturb = own.perturb,
                                      .report = own.report ? on_row : NULL,
                                      .user = &own};
    lock_take(device->lock);
    mzt_status status = validate_model(opened->m, device->e, wanted, &request, &found, error);
    lock_give(device->lock);
    if (status < 0) return status;
    if (!summary && found.failed)
        return error_set(error, MZT_ERROR_MISMATCH,
                         "%u of %u checks failed, first %s: node %s (%s): error %.2e, limit %.1e",
                         found.failed, found.rows, found.first_component, found.first_node, found.first_op,
                         found.first_error, found.first_limit);
    if (!summary) return MZT_OK;
    mzt_validate_summary given = {.struct_size = sizeof given,
                                  .rows = found.rows,
                                  .failed = found.failed,
                                  .first_error = found.first_error,
                                  .first_limit = found.first_limit};
    memcpy(given.first_component, found.first_component, sizeof given.first_component);
    memcpy(given.first_node, found.first_node, sizeof given.first_node);
    memcpy(given.first_op, found.first_op, sizeof given.first_op);
    return api_give("mzt_validate_summary", &given, sizeof given, summary, error);
}
