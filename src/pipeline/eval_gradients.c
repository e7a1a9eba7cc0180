/* Gradients of every parameter and three steps of AdamW on tensors from a file: how training is held against
 * another implementation. The loss is the mean of (output - target)^2. */
#include <stdio.h>
#include <string.h>

#include "model/vae.h"
#include "pipeline/collection.h"
#include "pipeline/eval_internal.h"
#include "train/optimizer.h"

enum { STEPS = 3 }; /* of the optimiser */

/* -----------------------------------------------------------------------------------------------------
 * saving
 * -- */

/* Writes the losses, and every parameter's buffer of this kind. */
static mzt_status save(eval_context *c, network *n, const char *kind, const char *prefix,
                       const char *loss_name, const float *losses, uint32_t loss_count) {
    collection all;
    float *values;
    collection_begin(&all, c->m->host);
    mzt_status status = collection_add(&all, "train.", loss_name, &loss_count, 1, &values, c->error);
    if (status >= 0) memcpy(values, losses, loss_count * sizeof *losses);
    if (status >= 0) status = collection_read(&all, n, kind, prefix, c->error);
    if (status >= 0)
        status = safetensors_save(all.host, c->request->output, all.tensors, all.count, NULL, 0, c->error);
    collection_release(&all);
    return status;
}

/* --------------------------------------------------------------------------------------------------
 * gradients -- */

/* Differentiates the loss and makes an output "grad.<parameter>" of every gradient. */
static void output_gradients(graph *g, tensor loss) {
    graph_gradients d = {0};
    char name[256];
    graph_differentiate(g, &loss, 1, NULL, &d);
    for (uint32_t i = 0; i < d.count && graph_check(g, NULL) >= 0; i++) {
        snprintf(name, sizeof name, "grad.%s", g->tensors[d.items[i].parameter].name);
        graph_output(g, d.items[i].gradient, name);
    }
    graph_gradients_release(g->host, &d);
    graph_output(g, loss, "loss");
}

/* unet.* and train.target, f32 {rows, h, w, out_channels}. */
static mzt_status read_training(eval_context *c, unet_tensors *t, host_tensor *target) {
    TRY(eval_read_unet(c, t));
    TRY(tensor_read(c->m->host, c->in, "train.target", 4, target, c->error));
    uint64_t expected = t->sample.count / t->sample.shape[1] * c->m->unet.out_channels;
    if (target->count == expected) return MZT_OK;
    return error_set(c->error, MZT_ERROR_FORMAT, "tensor train.target: expected %llu elements, found %llu",
                     (unsigned long long)expected, (unsigned long long)target->count);
}

static tensor describe_loss(eval_context *c, graph *g, const unet_tensors *t, bool varying) {
    unet_inputs inputs = eval_unet_inputs(c, g, t, varying);
    tensor output = unet_describe(g, &c->m->unet, &inputs, NULL);
    tensor target = varying ? graph_varying_input(g, "target", DTYPE_F32, graph_shape(g, output))
                            : graph_input(g, "target", DTYPE_F32, graph_shape(g, output));
    if (varying) graph_make_trainable(g, NULL, NULL);
    return graph_loss(g, output, "loss", &(graph_loss_options){.kind = LOSS_SQUARE, .target = target});
}

static mzt_status run_gradients(eval_context *c, const unet_tensors *t, const host_tensor *target) {
    dtype type;
    TRY(precision_resolve(c->p, &c->e->limits, &type, c->error));
    graph *g = graph_create(c->m->host, type, type);
    if (!g) return error_memory(c->error, "graph", sizeof *g);
    output_gradients(g, describe_loss(c, g, t, false));
    network n = {0};
    float loss = 0;
    mzt_status status = network_create(c->e, g, c->m->weights[MODEL_UNET], &n, c->error);
    if (status >= 0) status = eval_set_unet(c, &n, t);
    if (status >= 0) status = network_set(&n, "target", target->values, target->count, c->error);
    if (status >= 0) status = network_run(&n, c->error);
    if (status >= 0) status = network_get(&n, "loss", &loss, 1, c->error);
    if (status >= 0) status = save(c, &n, "grad.", "train.grad.", "loss", &loss, 1);
    network_destroy(&n);
    return status;
}

mzt_status eval_gradients(eval_context *c) {
    unet_tensors t = {0};
    host_tensor target = {0};
    mzt_status status = read_training(c, &t, &target);
    if (status >= 0) status = run_gradients(c, &t, &target);
    eval_release_unet(c, &t);
    tensor_release(c->m->host, &target);
    return status;
}

/* --------------------------------------------------------------------------------------------------
 * optimiser -- */

static mzt_status run_steps(eval_context *c, network *n) {
    static const optimizer_config config = {.learning_rate = 1e-3,
                                            .final = 1,
                                            .schedule = LEARNING_CONSTANT,
                                            .weight_decay = 0.01,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon = 1e-8};
    float table[STEPS * OPTIMIZER_ROW_LENGTH], losses[STEPS];
    optimizer_table(&config, 0, STEPS, 1, table);
    TRY(network_set(n, "optimizer.table", table, STEPS * OPTIMIZER_ROW_LENGTH, c->error));
    TRY(optimizer_reset(n->program, c->error));
    TRY(program_run_phase(n->program, "setup", NULL, c->error));
    for (uint32_t i = 0; i < STEPS; i++) {
        TRY(program_run_phase(n->program, "step", NULL, c->error));
        TRY(network_get(n, "loss", &losses[i], 1, c->error));
    }
    return save(c, n, "", "train.adamw.", "adamw_losses", losses, STEPS);
}

static mzt_status run_adamw(eval_context *c, const unet_tensors *t, const host_tensor *target) {
    dtype type;
    TRY(precision_resolve(c->p, &c->e->limits, &type, c->error));
    graph *g = graph_create(c->m->host, type, type);
    if (!g) return error_memory(c->error, "graph", sizeof *g);
    graph_gradients d = {0};
    tensor loss = describe_loss(c, g, t, true);
    graph_differentiate(g, &loss, 1, NULL, &d);
    optimizer_describe(g, &d, &(optimizer_options){.rows = STEPS, .decay_vectors = true});
    graph_gradients_release(c->m->host, &d);
    graph_output(g, loss, "loss");
    network n = {0};
    mzt_status status = network_create(c->e, g, c->m->weights[MODEL_UNET], &n, c->error);
    if (status >= 0) status = eval_set_unet(c, &n, t);
    if (status >= 0) status = network_set(&n, "target", target->values, target->count, c->error);
    if (status >= 0) status = run_steps(c, &n);
    network_destroy(&n);
    return status;
}

mzt_status eval_adamw(eval_context *c) {
    unet_tensors t = {0};
    host_tensor target = {0};
    mzt_status status = read_training(c, &t, &target);
    if (status >= 0) status = run_adamw(c, &t, &target);
    eval_release_unet(c, &t);
    tensor_release(c->m->host, &target);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * autoencoder -- */

/* decode(mean(encode(picture))), without noise and without scaling. */
static tensor describe_autoencoder(eval_context *c, graph *g, tensor picture) {
    const vae_config *config = &c->m->vae;
    const vae_options options = {.has = model_vae_has, .user = c->m};
    tensor moments = vae_describe_encoder(g, config, picture, &options);
    return vae_describe_decoder(g, config, graph_slice(g, moments, 0, config->latent_channels), &options);
}

mzt_status eval_vae_gradients(eval_context *c) {
    host_tensor picture = {0};
    dtype type;
    float loss = 0;
    network n = {0};
    if (!c->m->weights[MODEL_VAE])
        return error_set(c->error, MZT_ERROR_NOT_FOUND, "%s has no vae", c->m->path);
    TRY(precision_resolve(c->p, &c->e->limits, &type, c->error));
    TRY(tensor_read(c->m->host, c->in, "vae.image", 4, &picture, c->error));
    const shape4 shape = {picture.shape[0], picture.shape[2], picture.shape[3], picture.shape[1]};
    graph *g = graph_create(c->m->host, type, type);
    mzt_status status = g ? MZT_OK : error_memory(c->error, "graph", sizeof *g);
    if (status >= 0) {
        tensor output = describe_autoencoder(c, g, graph_input(g, "picture", type, shape));
        tensor target = graph_input(g, "target", DTYPE_F32, shape);
        output_gradients(g, graph_loss(g, output, "loss", &(graph_loss_options){.target = target}));
        status = network_create(c->e, g, c->m->weights[MODEL_VAE], &n, c->error);
    }
    if (status >= 0) status = network_set(&n, "picture", picture.values, picture.count, c->error);
    if (status >= 0) status = network_set(&n, "target", picture.values, picture.count, c->error);
    if (status >= 0) status = network_run(&n, c->error);
    if (status >= 0) status = network_get(&n, "loss", &loss, 1, c->error);
    if (status >= 0) status = save(c, &n, "grad.", "train.vae_grad.", "vae_loss", &loss, 1);
    network_destroy(&n);
    tensor_release(c->m->host, &picture);
    return status;
}
