/* Contexts. */
#include "api/api.h"

mzt_status mzt_context_create(const mzt_hooks *hooks, mzt_context **context, mzt_error *error) {
    mzt_hooks own = {sizeof own, NULL, NULL, NULL};
    if (!context) return api_missing(error, "context");
    *context = NULL;
    if (hooks) TRY(api_take("mzt_hooks", hooks, &own, sizeof own, error));
    const base_host host = host_make(&own);
    mzt_context *c = host_calloc(&host, 1, sizeof *c);
    if (!c) return error_memory(error, "context", sizeof *c);
    c->host = host;
    *context = c;
    return MZT_OK;
}

void mzt_context_destroy(mzt_context *context) {
    if (!context) return;
    const base_host host = context->host;
    host_free(&host, context);
}
