/* Text encoders, UNet and autoencoder of the reference checkpoints against the outputs that diffusers and
 * transformers give (relative error ||out - reference|| / ||reference||), in every precision, and the UNet as
 * a step loop runs it.
 *
 * MZT_TEST_DEVICE names one device ("vulkan:llvmpipe"); without it, cpu-reference and cpu are tested. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "executor.h"
#include "model/clip.h"
#include "model/load.h"
#include "model/tensor_layout.h"
#include "model/unet.h"
#include "model/vae.h"
#include "vulkan_env.h"

/* Largest relative error of a whole network, by activation type. */
static const double limits[] = {[DTYPE_F32] = 1e-4, [DTYPE_F16] = 5e-3, [DTYPE_BF16] = 2e-2};

static base_host host;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* ----------------------------------------------------------------------------------------------------
 * reference -- */

typedef struct reference {
    const char *model; /* "sd1-tiny" */
    char folder[600];
    safetensors_file *file;
} reference;

static void reference_open(reference *r, const char *model) {
    const char *shared = getenv("MZT_SHARED");
    char path[640];
    mzt_error error;
    r->model = model;
    snprintf(r->folder, sizeof r->folder, "%s/reference/%s", shared ? shared : MZT_SOURCE_DIR "/../shared",
             model);
    snprintf(path, sizeof path, "%s/reference.safetensors", r->folder);
    if (!file_exists(path)) {
        print_message("%s is absent: skipped\n", path);
        skip();
    }
    must(safetensors_open(&host, path, &r->file, &error), &error);
}

static const weights_tensor *find(const reference *r, const char *name) {
    const weights_tensor *found = safetensors_find(r->file, name);
    if (!found) fail_msg("%s: no tensor %s", r->folder, name);
    return found;
}

/* The tensor as f32, [N,C,H,W] turned to [N,H,W,C]. Free with free(). */
static float *values(const reference *r, const char *name) {
    const weights_tensor *t = find(r, name);
    mzt_error error;
    float *out = malloc(t->count * sizeof *out);
    assert_non_null(out);
    must(weights_convert(t, 0, t->count, DTYPE_F32, out, &error), &error);
    if (t->rank != 4) return out;
    float *turned = malloc(t->count * sizeof *turned);
    assert_non_null(turned);
    layout_nhwc_from_nchw(turned, out, (uint32_t)t->shape[0], (uint32_t)t->shape[1], (uint32_t)t->shape[2],
                          (uint32_t)t->shape[3]);
    free(out);
    return turned;
}

/* The shape as an activation's: pictures NHWC, sequences {n, length, 1, c}, vectors {n, 1, 1, c}. */
static shape4 shape_of(const reference *r, const char *name) {
    const weights_tensor *t = find(r, name);
    uint32_t s[4] = {1, 1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++)
        s[i] = (uint32_t)t->shape[i];
    if (t->rank == 4) return (shape4){s[0], s[2], s[3], s[1]};
    if (t->rank == 3) return (shape4){s[0], s[1], 1, s[2]};
    return (shape4){s[0], 1, 1, s[1]};
}

/* ------------------------------------------------------------------------------------------------------
 * running -- */

typedef struct prepared {
    executor *e;
    dtype type;
    plan *plan;
    program *program;
} prepared;

static json_doc *read_config(const reference *r, const char *component) {
    char path[700];
    json_doc *doc = NULL;
    mzt_error error;
    snprintf(path, sizeof path, "%s/%s/config.json", r->folder, component);
    must(json_read(&host, path, &doc, &error), &error);
    return doc;
}

/* Compiles the graph (and destroys it), prepares it on the device and loads the component's weights. */
static void prepare(prepared *s, graph *g, const reference *r, const char *component) {
    mzt_error error;
    char folder[700];
    weights_set *weights = NULL;
    graph_options options = {.max_range = s->e->limits.max_range};
    must(graph_compile(g, &options, &s->plan, &error), &error);
    graph_destroy(g);
    must(executor_prepare(s->e, s->plan, &s->program, &error), &error);
    snprintf(folder, sizeof folder, "%s/%s", r->folder, component);
    must(weights_open(&host, folder, &weights, &error), &error);
    must(model_load(&host, s->program, weights, &error), &error);
    weights_close(weights);
    must(program_seal(s->program, &error), &error);
}

static void finish(prepared *s) {
    program_destroy(s->program);
    plan_destroy(s->plan);
    s->program = NULL;
    s->plan = NULL;
}

static uint32_t buffer_of(const prepared *s, const char *name) {
    uint32_t buffer = plan_find_buffer(s->plan, name);
    if (buffer == PLAN_NONE) fail_msg("the plan has no buffer %s", name);
    return buffer;
}

/* Writes f32 values in the buffer's own type. */
static void put(prepared *s, const char *name, const float *data) {
    uint32_t buffer = buffer_of(s, name);
    const plan_buffer *b = &s->plan->buffers[buffer];
    mzt_error error;
    void *converted = malloc(b->bytes);
    assert_non_null(converted);
    dtype_convert((dtype)b->dtype, converted, DTYPE_F32, data, b->bytes / dtype_size((dtype)b->dtype));
    must(program_write(s->program, buffer, 0, converted, b->bytes, &error), &error);
    free(converted);
}

static void put_reference(prepared *s, const reference *r, const char *name) {
    float *data = values(r, name);
    put(s, name, data);
    free(data);
}

static void put_u32(prepared *s, const char *name, const uint32_t *data) {
    uint32_t buffer = buffer_of(s, name);
    mzt_error error;
    must(program_write(s->program, buffer, 0, data, s->plan->buffers[buffer].bytes, &error), &error);
}

static void run(prepared *s, const char *phase) {
    mzt_error error;
    must(program_run_phase(s->program, phase, NULL, &error), &error);
}

/* Compares the output `name` (f32) with the reference tensor of that name. `first` and `channels` choose some
 * of the output's channels (channels 0: all). */
static void compare_part(prepared *s, const reference *r, const char *what, const char *name,
                         const char *output, uint32_t first, uint32_t channels) {
    const uint32_t buffer = buffer_of(s, output);
    const plan_buffer *b = &s->plan->buffers[buffer];
    const uint64_t count = find(r, name)->count;
    const uint32_t stride = b->shape[3], used = channels ? channels : stride;
    mzt_error error;
    float *expected = values(r, name), *got = malloc(b->bytes);
    assert_non_null(got);
    assert_int_equal(b->bytes / sizeof *got / stride * used, count);
    must(program_read(s->program, buffer, 0, got, b->bytes, &error), &error);
    double difference = 0, norm = 0;
    for (uint64_t i = 0; i < count; i++) {
        double e = expected[i], d = (double)got[i / used * stride + first + i % used] - e;
        difference += d * d;
        norm += e * e;
    }
    double relative = sqrt(difference / norm);
    print_message("%-14s %-4s %-9s %-44s %.3g (limit %.0e)\n", s->e->limits.spec, dtype_name(s->type),
                  r->model, what, relative, limits[s->type]);
    free(expected);
    free(got);
    if (!(relative <= limits[s->type])) fail_msg("%s: relative error %.3g", what, relative);
}

static void compare(prepared *s, const reference *r, const char *name) {
    compare_part(s, r, name, name, name, 0, 0);
}

/* ---------------------------------------------------------------------------------------------------
 * components -- */

static void check_text(prepared *s, const reference *r, const char *component) {
    char names[4][80];
    static const char *const leaves[] = {"last_hidden_state", "hidden_states.penultimate", "pooler_output",
                                         "text_embeds"};
    mzt_error error;
    clip_config config;
    json_doc *doc = read_config(r, component);
    must(clip_config_read(json_root(doc), &config, &error), &error);
    json_destroy(doc);
    for (uint32_t i = 0; i < 4; i++)
        snprintf(names[i], sizeof names[i], "%s.%s", component, leaves[i]);

    const weights_tensor *ids = find(r, "input_ids");
    const uint32_t batch = (uint32_t)ids->shape[0], length = (uint32_t)ids->shape[1];
    graph *g = graph_create(&host, s->type, s->type);
    clip_inputs inputs = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){batch, length, 1, 1}),
                          .eos_rows = graph_input(g, "eos_rows", DTYPE_U32, (shape4){batch, 1, 1, 1})};
    clip_outputs outputs = clip_describe(g, &config, &inputs, 1);
    const tensor all[4] = {outputs.last_hidden_state, outputs.hidden_state, outputs.pooler_output,
                           outputs.text_embeds};
    bool wanted[4];
    for (uint32_t i = 0; i < 4; i++) {
        wanted[i] = safetensors_find(r->file, names[i]) != NULL;
        if (wanted[i]) graph_output(g, all[i], names[i]);
    }
    prepare(s, g, r, component);
    uint32_t rows[8], *tokens = malloc(ids->count * sizeof *tokens);
    assert_non_null(tokens);
    assert_true(batch <= 8);
    must(weights_convert(ids, 0, ids->count, DTYPE_U32, tokens, &error), &error);
    clip_eos_rows(&config, tokens, batch, length, rows);
    put_u32(s, "ids", tokens);
    put_u32(s, "eos_rows", rows);
    free(tokens);
    run(s, "main");
    for (uint32_t i = 0; i < 4; i++)
        if (wanted[i]) compare(s, r, names[i]);
    finish(s);
}

enum { CALLS = 3, CALL = 1 }; /* of the step loop, and the one that is run */

/* `looping`: time embeddings of all calls first, then one evaluation of call CALL. */
static void check_unet(prepared *s, const reference *r, bool looping) {
    mzt_error error;
    unet_config config;
    json_doc *doc = read_config(r, "unet");
    must(unet_config_read(json_root(doc), &config, &error), &error);
    json_destroy(doc);
    graph *g = graph_create(&host, s->type, s->type);
    const uint32_t batch = shape_of(r, "unet.sample").n;
    unet_inputs inputs = {
        .timesteps =
            graph_input(g, "timesteps", DTYPE_F32, (shape4){looping ? CALLS * batch : batch, 1, 1, 1}),
        .context =
            graph_input(g, "unet.encoder_hidden_states", s->type, shape_of(r, "unet.encoder_hidden_states")),
    };
    if (looping) {
        inputs.sample = graph_varying_input(g, "unet.sample", s->type, shape_of(r, "unet.sample"));
        inputs.step = graph_state(g, "step", DTYPE_U32, (shape4){1, 1, 1, 1});
    } else {
        inputs.sample = graph_input(g, "unet.sample", s->type, shape_of(r, "unet.sample"));
    }
    if (config.text_time) {
        shape4 ids = shape_of(r, "unet.time_ids");
        inputs.text_embeds = graph_input(g, "unet.text_embeds", s->type, shape_of(r, "unet.text_embeds"));
        inputs.time_ids = graph_input(g, "unet.time_ids", DTYPE_F32, (shape4){ids.n * ids.c, 1, 1, 1});
    }
    graph_output(g, unet_describe(g, &config, &inputs, NULL), "unet.output");
    prepare(s, g, r, "unet");
    float timesteps[CALLS * 8], *given = values(r, "unet.timestep");
    assert_true(batch <= 8);
    for (uint32_t i = 0; i < CALLS * batch; i++) /* other calls have other timesteps */
        timesteps[i] = i / batch == (looping ? CALL : 0) ? given[i % batch] : 17.0f * (float)i;
    free(given);
    put(s, "timesteps", timesteps);
    put_reference(s, r, "unet.sample");
    put_reference(s, r, "unet.encoder_hidden_states");
    if (config.text_time) {
        put_reference(s, r, "unet.text_embeds");
        put_reference(s, r, "unet.time_ids");
    }
    if (looping) {
        put_u32(s, "step", (const uint32_t[]){CALL});
        run(s, "setup");
    }
    run(s, looping ? "step" : "main");
    compare_part(s, r, looping ? "unet.output in a step loop" : "unet.output", "unet.output", "unet.output",
                 0, 0);
    finish(s);
}

static void check_vae(prepared *s, const reference *r) {
    mzt_error error;
    vae_config config;
    json_doc *doc = read_config(r, "vae");
    must(vae_config_read(json_root(doc), &config, &error), &error);
    json_destroy(doc);

    graph *g = graph_create(&host, s->type, s->type);
    tensor latent = graph_input(g, "vae.latent", s->type, shape_of(r, "vae.latent"));
    graph_output(g, vae_describe_decoder(g, &config, latent, NULL), "vae.decoded");
    prepare(s, g, r, "vae");
    put_reference(s, r, "vae.latent");
    run(s, "main");
    compare(s, r, "vae.decoded");
    finish(s);

    g = graph_create(&host, s->type, s->type);
    tensor picture = graph_input(g, "vae.image", s->type, shape_of(r, "vae.image"));
    graph_output(g, vae_describe_encoder(g, &config, picture, NULL), "moments");
    prepare(s, g, r, "vae");
    put_reference(s, r, "vae.image");
    run(s, "main");
    compare_part(s, r, "vae.mean", "vae.mean", "moments", 0, config.latent_channels);
    compare_part(s, r, "vae.logvar", "vae.logvar", "moments", config.latent_channels, config.latent_channels);
    finish(s);
}

/* -------------------------------------------------------------------------------------------------------
 * devices -- */

static void check_device(const char *spec, const char *model) {
    reference r;
    mzt_error error;
    executor *e = NULL;
    reference_open(&r, model);
    must(device_open(&host, spec, &e, &error), &error);
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (uint32_t i = 0; i < 3; i++) {
        prepared s = {.e = e, .type = types[i]};
        if (types[i] == DTYPE_F16 && !e->limits.f16) continue;
        if (types[i] == DTYPE_BF16 && !e->limits.bf16) continue;
        check_text(&s, &r, "text_encoder");
        if (safetensors_find(r.file, "text_encoder_2.last_hidden_state"))
            check_text(&s, &r, "text_encoder_2");
        check_unet(&s, &r, false);
        check_unet(&s, &r, true);
        check_vae(&s, &r);
    }
    executor_destroy(e);
    safetensors_close(r.file);
}

static void check_model(const char *model) {
    const char *device = getenv("MZT_TEST_DEVICE");
    host = host_make(NULL);
    if (device) {
        check_device(device, model);
        return;
    }
    check_device("cpu-reference", model);
    check_device("cpu", model);
}

static void test_sd1(void **state) {
    (void)state;
    check_model("sd1-tiny");
}

static void test_sd2(void **state) {
    (void)state;
    check_model("sd2-tiny");
}

static void test_sdxl(void **state) {
    (void)state;
    check_model("sdxl-tiny");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd1),
        cmocka_unit_test(test_sd2),
        cmocka_unit_test(test_sdxl),
    };
    vulkan_env_set();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
