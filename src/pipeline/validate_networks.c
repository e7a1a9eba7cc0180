/* The networks of a model for validation; see validate_networks.h. */
#include "pipeline/validate_networks.h"

#include <string.h>

#include "model/clip.h"
#include "model/load.h"
#include "model/unet.h"
#include "model/vae.h"
#include "pipeline/denoise.h"
#include "pipeline/stored.h"
#include "sample/compile.h"
#include "sample/random.h"

enum { VALIDATE_STEPS = 4, VALIDATE_TOKENS = 77 };

static graph *describe_text(const model *m, dtype type, const validate_network *which, mzt_error *error) {
    const clip_config *config = &m->text[which->component == MODEL_TEXT_ENCODER_2];
    graph *g = model_graph(m, which->component, type);
    if (!g) {
        error_memory(error, "graph", sizeof *g);
        return NULL;
    }
    uint32_t length = config->positions < VALIDATE_TOKENS ? config->positions : VALIDATE_TOKENS;
    clip_inputs inputs = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){2, length, 1, 1}),
                          .eos_rows = graph_input(g, "eos", DTYPE_U32, (shape4){2, 1, 1, 1})};
    clip_outputs outputs = clip_describe(g, config, &inputs, 1);
    graph_output(g, outputs.last_hidden_state, "last");
    graph_output(g, outputs.hidden_state, "hidden");
    if (config->projection)
        graph_output(g, outputs.text_embeds, "embeds");
    else
        graph_output(g, outputs.pooler_output, "pooled");
    return g;
}

/* The step loop itself, as generation runs it: conditional and unconditional halves, a few rows of a sampler.
 */
static graph *describe_unet(const model *m, dtype type, const validate_network *which, mzt_error *error) {
    sampler_config config = m->sampler;
    sampler_request steps = sampler_request_default(VALIDATE_STEPS);
    sampler_program *sampler;
    if (sampler_compile(m->host, &config, &steps, &sampler, error) < 0) return NULL;
    const uint32_t latents = m->unet.out_channels;
    conditioning text = {.rows = 2, .length = VALIDATE_TOKENS, .channels = m->unet.context_channels};
    float pretend = 0;
    if (m->unet.text_time) {
        text.pooled_channels = m->unet.addition_input_channels - 6 * m->unet.addition_time_channels;
        text.pooled = &pretend; /* only its presence counts here */
    }
    denoise_request request = {.images = 1,
                               .height = which->latent_size,
                               .width = which->latent_size,
                               .guided = true,
                               .guidance = 7.5,
                               .sampler = sampler,
                               .text = &text};
    if (m->unet.in_channels > latents) {
        request.extra = &pretend;
        request.extra_channels = m->unet.in_channels - latents;
    }
    graph *g = denoise_describe(m, type, &request, error);
    sampler_program_destroy(m->host, sampler);
    return g;
}

static graph *describe_vae(const model *m, dtype type, const validate_network *which, mzt_error *error) {
    graph *g = model_graph(m, which->component, type);
    if (!g) {
        error_memory(error, "graph", sizeof *g);
        return NULL;
    }
    const uint32_t size = which->latent_size, factor = vae_factor(&m->vae);
    vae_options options = {.has = model_vae_has, .user = m};
    if (strcmp(which->name, "vae_decoder") == 0) {
        tensor latent = graph_input(g, "latent", type, (shape4){1, size, size, m->vae.latent_channels});
        graph_output(g, vae_describe_decoder(g, &m->vae, latent, &options), "picture");
    } else {
        tensor picture =
            graph_input(g, "picture", type, (shape4){1, size * factor, size * factor, m->vae.in_channels});
        graph_output(g, vae_describe_encoder(g, &m->vae, picture, &options), "moments");
    }
    return g;
}

uint32_t validate_networks(const model *m, uint32_t latent_size,
                           validate_network networks[VALIDATE_NETWORK_COUNT]) {
    uint32_t count = 0, multiple = unet_multiple(&m->unet), size = latent_size ? latent_size : 16;
    size = ceil_div(size, multiple) * multiple;
    for (int i = 0; i < 2; i++) {
        model_component part = i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER;
        if (m->weights[part])
            networks[count++] =
                (validate_network){model_component_name(part), part, 0, m->text[i].vocabulary, describe_text};
    }
    if (m->weights[MODEL_UNET])
        networks[count++] = (validate_network){"unet", MODEL_UNET, size, 0, describe_unet};
    if (m->weights[MODEL_VAE]) {
        networks[count++] = (validate_network){"vae_encoder", MODEL_VAE, size, 0, describe_vae};
        networks[count++] = (validate_network){"vae_decoder", MODEL_VAE, size, 0, describe_vae};
    }
    return count;
}

static mzt_status prepare(const model *m, executor *e, const plan *p, const weights_set *weights,
                          program **out, mzt_error *error) {
    TRY(executor_prepare(e, p, out, error));
    TRY(model_load(m->host, *out, weights, error));
    return program_seal(*out, error);
}

mzt_status validate_network_create(const model *m, executor *device, executor *reference, dtype type,
                                   const validate_network *which, network_pair *out, mzt_error *error) {
    *out = (network_pair){0};
    graph *g = which->describe(m, type, which, error);
    if (!g) return error && error->status < 0 ? error->status : MZT_ERROR_OUT_OF_MEMORY;
    graph_options options = {.max_range = device->limits.max_range};
    mzt_status status = graph_compile(g, &options, &out->plan, error);
    graph_destroy(g);
    const weights_set *weights = m->weights[which->component];
    if (status >= 0) status = prepare(m, device, out->plan, weights, &out->device, error);
    if (status >= 0) status = prepare(m, reference, out->plan, weights, &out->reference, error);
    return status;
}

void validate_network_destroy(network_pair *both) {
    program_destroy(both->device);
    program_destroy(both->reference);
    plan_destroy(both->plan);
    *both = (network_pair){0};
}

/* The sampler's table has a meaning of its own: a plain Euler step in the clean estimate. */
static void fill_table(float *table, uint64_t count) {
    memset(table, 0, count * sizeof *table);
    for (uint64_t row = 0; row < count / SAMPLER_ROW_FLOATS; row++) {
        float *r = table + row * SAMPLER_ROW_FLOATS;
        r[SAMPLER_ROW_Q] = -0.5f;
        r[SAMPLER_ROW_INPUT] = 0.8f;
        r[SAMPLER_ROW_PREDICTION] = 1.1f;
        r[SAMPLER_ROW_GUIDANCE] = 7.5f;
        r[SAMPLER_ROW_NOISE1] = r[SAMPLER_ROW_NOISE2] = -1;
        for (int slot = 0; slot < SAMPLER_SLOTS; slot++) {
            float *update = r + SAMPLER_ROW_UPDATE + slot * SAMPLER_FORM_SIZE;
            update[SAMPLER_COLUMN_SLOT + slot] = 0.9f;
            update[SAMPLER_COLUMN_DENOISED] = 0.3f / (float)(slot + 1);
            update[SAMPLER_COLUMN_OUTPUT] = 0.1f;
        }
    }
}

static void fill(const plan *p, uint32_t index, float *values, uint64_t count) {
    const char *name = plan_string(p, p->buffers[index].name);
    if (strcmp(name, "table") == 0) {
        fill_table(values, count);
        return;
    }
    random_normals(1, index, 0, count, values);
    if (strcmp(name, "timesteps") == 0)
        for (uint64_t i = 0; i < count; i++)
            values[i] = (float)(i * 131 % 1000);
    if (strcmp(name, "time_ids") == 0)
        for (uint64_t i = 0; i < count; i++)
            values[i] = (float)(i * 64 % 1024);
}

mzt_status validate_network_inputs(const validate_network *which, program *target, mzt_error *error) {
    const plan *p = target->plan;
    const base_host *host = target->owner->host;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *buffer = &p->buffers[i];
        if (buffer->role != PLAN_ROLE_INPUT && buffer->role != PLAN_ROLE_STATE) continue;
        const dtype type = (dtype)buffer->dtype;
        uint64_t count = buffer->bytes / dtype_size(type);
        float *values = host_calloc(host, (size_t)count, sizeof *values);
        void *bytes = host_calloc(host, (size_t)buffer->bytes, 1);
        mzt_status status = values && bytes ? MZT_OK : error_memory(error, "validation input", buffer->bytes);
        if (status >= 0 && type == DTYPE_U32) {
            uint32_t *ids = bytes; /* a step counter and row numbers stay 0 */
            bool tokens = strcmp(plan_string(p, buffer->name), "ids") == 0;
            for (uint64_t k = 0; tokens && k < count; k++)
                ids[k] = (uint32_t)(k * 7919 % which->vocabulary);
        } else if (status >= 0) {
            fill(p, i, values, count);
            dtype_convert(type, bytes, DTYPE_F32, values, (size_t)count);
        }
        if (status >= 0) status = program_write(target, i, 0, bytes, buffer->bytes, error);
        host_free(host, values);
        host_free(host, bytes);
        if (status < 0) return status;
    }
    return MZT_OK;
}
