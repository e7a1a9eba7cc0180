/* Networks made of graphs and checkpoints: see network.h. */
#include "graph/graph.h"
#include "model/load.h"
#include "pipeline/network.h"

mzt_status network_prepare(executor *e, graph *g, network *out, mzt_error *error) {
    network_maker maker;
    mzt_status status = network_make_begin(e, g, NULL, out, &maker, error);
    if (status >= 0) status = program_prepare_advance(out->program, BUDGET_UNLIMITED, NULL, error);
    network_make_end(&maker);
    if (status < 0) network_destroy(out);
    return status;
}

static mzt_status load(network_maker *maker, network *n, double deadline, mzt_error *error) {
    if (!maker->loader)
        TRY(model_loader_create(maker->e->host, n->program, maker->weights, &maker->loader, error));
    return model_loader_advance(maker->loader, deadline, error);
}

static void end(network_maker *maker) {
    model_loader_destroy(maker->loader);
}

mzt_status network_make_begin(executor *e, graph *g, const weights_set *weights, network *out,
                              network_maker *maker, mzt_error *error) {
    const graph_options options = {.max_range = e->limits.max_range};
    plan *compiled;
    *out = (network){0};
    *maker = (network_maker){.e = e};
    mzt_status status = graph_compile(g, &options, &compiled, error);
    graph_destroy(g);
    if (status < 0) return status;
    status = network_make_plan(e, compiled, out, maker, error);
    maker->weights = weights;
    maker->load = weights ? load : NULL;
    maker->end = end;
    return status;
}

mzt_status network_create(executor *e, graph *g, const weights_set *weights, network *out, mzt_error *error) {
    network_maker maker;
    mzt_status status = network_make_begin(e, g, weights, out, &maker, error);
    if (status >= 0) status = network_make_advance(&maker, out, BUDGET_UNLIMITED, error);
    network_make_end(&maker);
    if (status < 0) network_destroy(out);
    return status;
}

mzt_status network_measure(const executor_limits *limits, graph *g, uint64_t *weights, uint64_t *activations,
                           mzt_error *error) {
    const graph_options options = {.max_range = limits->max_range};
    plan *p = NULL;
    if (!g) return error_memory(error, "graph", sizeof *g);
    mzt_status status = graph_compile(g, &options, &p, error);
    graph_destroy(g);
    if (status >= 0) {
        *weights = p->weight_bytes;
        *activations = p->arena_bytes;
    }
    plan_destroy(p);
    return status;
}
