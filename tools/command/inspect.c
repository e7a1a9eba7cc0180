/* mezzotint inspect: what a model is made of and what running it takes. */
#include <stdio.h>

#include "command.h"
#include "json/json_write.h"
#include "model_choice.h"
#include "model_path.h"
#include "pipeline/stored.h"
#include "pipeline/validate_networks.h"

typedef struct inspection {
    command_context *context;
    const model *m;
    dtype type;
    bool json, list_plan;
    const char *dot;
    json_writer writer;
} inspection;

/* "1.61 T", "268 M" */
static const char *scaled(double value, char text[16]) {
    const char *units[] = {"", " k", " M", " G", " T", " P"};
    int unit = 0;
    while (value >= 999.5 && unit < 5) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16,
             value >= 99.5 || unit == 0 ? "%.0f%s"
             : value >= 9.95            ? "%.1f%s"
                                        : "%.2f%s",
             value, units[unit]);
    return text;
}

static uint64_t count_parameters(const plan *p) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < p->piece_count; i++) {
        uint64_t elements = 1;
        for (uint32_t d = 0; d < p->pieces[i].rank; d++)
            elements *= p->pieces[i].shape[d];
        count += elements;
    }
    return count;
}

static void print_plan(const plan *p) {
    for (uint32_t k = 0; k < p->phase_count; k++) {
        const plan_phase *phase = &p->phases[k];
        printf("\n  phase %s\n  %5s %-19s %9s %9s  %s\n", plan_string(p, phase->name), "#", "op", "FLOP",
               "bytes", "node");
        for (uint32_t i = phase->first; i < phase->first + phase->count; i++) {
            const plan_dispatch *d = &p->dispatches[i];
            char flops[16], bytes[16];
            printf("  %5u %c%-18s %9s %9s  %s\n", i, d->barrier ? '|' : ' ', op_get((op)d->op)->name,
                   scaled((double)d->flops, flops), scaled((double)d->bytes, bytes), plan_string(p, d->node));
        }
    }
}

static void print_network(const char *name, const plan *p, bool list) {
    char parameters[16], weights[16], arena[16];
    printf("%-16s %9s parameters, weights %sB, activations %sB\n", name,
           scaled((double)count_parameters(p), parameters), scaled((double)p->weight_bytes, weights),
           scaled((double)p->arena_bytes, arena));
    for (uint32_t k = 0; k < p->phase_count; k++) {
        const plan_phase *phase = &p->phases[k];
        uint32_t barriers = 0;
        uint64_t bytes = 0;
        for (uint32_t i = phase->first; i < phase->first + phase->count; i++) {
            barriers += p->dispatches[i].barrier;
            bytes += p->dispatches[i].bytes;
        }
        char flops[16], moved[16];
        printf("  %-14s %9sFLOP, %sB moved, %u dispatches, %u barriers\n", plan_string(p, phase->name),
               scaled((double)plan_flops(p, k), flops), scaled((double)bytes, moved), phase->count, barriers);
    }
    if (list) print_plan(p);
}

static void write_network(json_writer *w, const char *name, const plan *p, bool list) {
    json_write_object(w, name);
    json_write_uint(w, "parameters", count_parameters(p));
    json_write_uint(w, "weight_bytes", p->weight_bytes);
    json_write_uint(w, "arena_bytes", p->arena_bytes);
    json_write_array(w, "phases");
    for (uint32_t k = 0; k < p->phase_count; k++) {
        const plan_phase *phase = &p->phases[k];
        json_write_object(w, NULL);
        json_write_string(w, "name", plan_string(p, phase->name));
        json_write_uint(w, "flops", plan_flops(p, k));
        json_write_uint(w, "dispatches", phase->count);
        if (list) json_write_array(w, "plan");
        for (uint32_t i = phase->first; list && i < phase->first + phase->count; i++) {
            const plan_dispatch *d = &p->dispatches[i];
            json_write_object(w, NULL);
            json_write_string(w, "op", op_get((op)d->op)->name);
            json_write_string(w, "node", plan_string(p, d->node));
            json_write_uint(w, "flops", d->flops);
            json_write_uint(w, "bytes", d->bytes);
            json_write_bool(w, "barrier", d->barrier != 0);
            json_write_end_object(w);
        }
        if (list) json_write_end_array(w);
        json_write_end_object(w);
    }
    json_write_end_array(w);
    json_write_end_object(w);
}

static mzt_status inspect_network(inspection *in, const validate_network *which, mzt_error *error) {
    graph *g = which->describe(in->m, in->type, which, error);
    if (!g) return error->status < 0 ? error->status : error_memory(error, which->name, 0);
    const graph_options options = {0};
    plan *p = NULL;
    mzt_status status = graph_compile(g, &options, &p, error);
    if (status >= 0 && in->dot && which->component == MODEL_UNET) status = graph_write_dot(g, in->dot, error);
    graph_destroy(g);
    if (status >= 0 && in->json)
        write_network(&in->writer, which->name, p, in->list_plan);
    else if (status >= 0)
        print_network(which->name, p, in->list_plan);
    plan_destroy(p);
    return status;
}

static mzt_status inspect(inspection *in, uint32_t latent_size, mzt_error *error) {
    validate_network networks[VALIDATE_NETWORK_COUNT];
    uint32_t factor = in->m->weights[MODEL_VAE] ? vae_factor(&in->m->vae) : 8;
    if (!latent_size) latent_size = in->m->unet.sample_size[0] ? in->m->unet.sample_size[0] : 64;
    uint32_t count = validate_networks(in->m, latent_size, networks);
    if (!in->json)
        printf(
            "%s: %s\na picture of %u x %u from a latent of %u x %u x %u, activations in %s, weights %s; the "
            "step runs\n"
            "the conditional and the unconditional half as one batch\n\n",
            in->m->path, in->m->summary, latent_size * factor, latent_size * factor, latent_size, latent_size,
            in->m->unet.out_channels, dtype_name(in->type), weight_choice_name(in->m->stored));
    json_write_object(&in->writer, NULL);
    json_write_string(&in->writer, "model", in->m->path);
    json_write_string(&in->writer, "summary", in->m->summary);
    json_write_uint(&in->writer, "latent_size", latent_size);
    json_write_string(&in->writer, "precision", dtype_name(in->type));
    json_write_string(&in->writer, "weights", weight_choice_name(in->m->stored));
    json_write_object(&in->writer, "networks");
    for (uint32_t i = 0; i < count; i++)
        TRY(inspect_network(in, &networks[i], error));
    json_write_end_object(&in->writer);
    json_write_end_object(&in->writer);
    if (!in->json) return MZT_OK;
    char *text;
    TRY(json_writer_finish(&in->writer, &text, NULL, error));
    puts(text);
    host_free(&in->context->host, text);
    return MZT_OK;
}

mzt_status command_inspect(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *operand = NULL, *precision_name = "f32";
    model_choice parts = {.vae = NULL};
    inspection in = {.context = context, .writer = json_writer_make(&context->host)};
    uint32_t latent_size = 0, operand_count;
    option options[5 + MODEL_CHOICE_OPTIONS] = {
        {0, "size", "N", "latents of N x N; default: what the model was made for", OPTION_COUNT, &latent_size,
         1, 4096, NULL},
        {0, "precision", "P", "f32, f16 or bf16; default f32", OPTION_TEXT, &precision_name, 0, 0, NULL},
        {0, "plan", NULL, "list every dispatch ('|': waits for those before)", OPTION_FLAG, &in.list_plan, 0,
         0, NULL},
        {0, "dot", "FILE", "write the denoising graph in Graphviz's language", OPTION_TEXT, &in.dot, 0, 0,
         NULL},
        {0, "json", NULL, "print one JSON object", OPTION_FLAG, &in.json, 0, 0, NULL},
    };
    const uint32_t count = 5 + model_choice_list(&parts, options + 5);
    const option_set set = {"inspect",
                            "[MODEL]",
                            "Prints, for each network of MODEL (default: the one that ships), its "
                            "parameters, and the FLOP, bytes,\n"
                            "dispatches and memory of running it.",
                            NULL,
                            options,
                            count,
                            0,
                            1};
    mzt_status status = options_parse(&set, argc, argv, &operand, &operand_count, error);
    if (status != MZT_OK) return status;
    precision wanted;
    const executor_limits anything = {.f16 = true, .bf16 = true};
    TRY(precision_parse(precision_name, &wanted, error));
    TRY(precision_resolve(wanted, &anything, &in.type, error));
    char *path = NULL;
    model *m = NULL;
    model_options opening;
    status = model_choice_options(&context->host, &parts, &opening, error);
    if (status >= 0) status = model_path_find(&context->host, operand, &path, error);
    if (status >= 0) status = model_open_with(&context->host, path, &opening, &m, error);
    in.m = m;
    if (status >= 0) status = inspect(&in, latent_size, error);
    json_writer_discard(&in.writer);
    model_close(m);
    model_choice_free(&context->host, &parts);
    host_free(&context->host, path);
    return status;
}
