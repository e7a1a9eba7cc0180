/* LoRA from end to end, on a small model with random weights: files change pictures as they say, the command
 * remembers them, and training adapters gives a file that generates what the training saw. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/lora-test"
#include "tiny_model.h"

#include <sys/wait.h>

#include "graph/adapter.h"
#include "graph/differentiate.h"
#include "image/png.h"
#include "model/unet.h"
#include "pipeline/model_lora.h"
#include "sample/random.h"
#include "train/dataset.h"
#include "train/run.h"
#include "train_data.h"
#include "weights/lora.h"

#define STYLE FOLDER "/loras/style.safetensors"

static int run(const char *arguments) {
    char line[2000];
    snprintf(line, sizeof line, "\"%s/mezzotint\" %s >\"%s/out.txt\" 2>\"%s/error.txt\"", MZT_BINARY_DIR,
             arguments, FOLDER, FOLDER);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_text(const char *file, const char *words) {
    char *text;
    uint64_t size;
    must(file_read(&host, file, 1u << 20, &text, &size, &error));
    if (!strstr(text, words)) fail_msg("\"%s\" does not say \"%s\"", text, words);
    host_free(&host, text);
}

static void expect_failure(const char *arguments, int code, const char *words) {
    const int found = run(arguments);
    if (found != code) fail_msg("%s: exit code %d, expected %d", arguments, found, code);
    expect_text(FOLDER "/error.txt", words);
}

/* A LoRA of rank 2 for two layers of the UNet and one of the text encoder. */
static int begin_with_style(void **state) {
    static const char *const modules[] = {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v",
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj"};
    enum { MODULES = sizeof modules / sizeof *modules, WIDTH = 32, RANK = 2 };
    static float values[2 * MODULES][WIDTH * RANK];
    static char names[2 * MODULES][120];
    weights_tensor tensors[2 * MODULES];
    if (begin(state) != 0) return 1;
    for (uint32_t i = 0; i < 2 * MODULES; i++) {
        const bool up = i % 2;
        snprintf(names[i], sizeof names[i], "%s.lora_%s.weight", modules[i / 2], up ? "up" : "down");
        random_normals(21, i, 0, WIDTH * RANK, values[i]);
        for (int k = 0; k < WIDTH * RANK; k++)
            values[i][k] *= 0.5f;
        tensors[i] = (weights_tensor){.name = names[i],
                                      .file = "test",
                                      .dtype = WEIGHTS_F32,
                                      .rank = 2,
                                      .count = WIDTH * RANK,
                                      .shape = {up ? WIDTH : RANK, up ? RANK : WIDTH},
                                      .data = (const uint8_t *)values[i]};
    }
    return folder_create(&host, FOLDER "/loras", &error) < 0 ||
           safetensors_save(&host, STYLE, tensors, 2 * MODULES, NULL, 0, &error) < 0;
}

/* ---------------------------------------------------------------------------------------------------------
 * applying -- */

/* The picture with these scales of the same file. */
static image picture_with(const double *scales, uint32_t count) {
    model_lora loras[4];
    model *m;
    generate_result result;
    const generate_request request = small_request("a red apple");
    for (uint32_t i = 0; i < count; i++)
        loras[i] = (model_lora){STYLE, scales[i]};
    must(model_open(&host, TINY, &m, &error));
    must(model_apply_loras(m, loras, count, &error));
    must(pipeline_generate(m, cpu, &request, &result, &error));
    image picture = result.images[0];
    result.images[0] = (image){0};
    generate_result_destroy(&result);
    model_close(m);
    return picture;
}

static void test_scales(void **state) {
    (void)state;
    image plain = picture_with(NULL, 0), none = picture_with((double[]){0}, 1),
          whole = picture_with((double[]){1}, 1), halves = picture_with((double[]){0.5, 0.5}, 2),
          cancelled = picture_with((double[]){1, -1}, 2);
    const size_t bytes = (size_t)plain.width * plain.height * plain.channels;
    assert_memory_equal(plain.pixels, none.pixels, bytes);
    const double changed = psnr(&plain, &whole), together = psnr(&whole, &halves),
                 back = psnr(&plain, &cancelled);
    print_message("plain against scale 1: %.1f dB; 0.5 twice: %.1f dB; 1 and -1: %.1f dB\n", changed,
                  together, back);
    assert_true(changed < 35);
    assert_true(together > 55);
    assert_true(back > 55);
    image *const all[] = {&plain, &none, &whole, &halves, &cancelled};
    for (int i = 0; i < 5; i++)
        image_free(&host, all[i]);
}

static void expect_same_pixels(const char *a, const char *b, bool same) {
    image x, y;
    must(image_png_read(&host, a, NULL, &x, NULL, &error));
    must(image_png_read(&host, b, NULL, &y, NULL, &error));
    const bool equal = x.width == y.width && x.height == y.height &&
                       memcmp(x.pixels, y.pixels, (size_t)x.width * x.height * x.channels) == 0;
    if (equal != same) fail_msg("%s and %s %s", a, b, same ? "differ" : "are equal");
    image_free(&host, &x);
    image_free(&host, &y);
}

#define GENERATE "generate \"a cat\" --device cpu --steps 2 --seed 3 -q -m \"" TINY "\" "

static void test_command(void **state) {
    (void)state;
    assert_int_equal(run(GENERATE "-o \"" FOLDER "/plain.png\""), 0);
    assert_int_equal(run(GENERATE "--lora \"" STYLE ":0.8\" -o \"" FOLDER "/a.png\""), 0);
    assert_int_equal(run(GENERATE "--lora \"" STYLE ":0\" -o \"" FOLDER "/zero.png\""), 0);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/a.png", false);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/zero.png", true);
    /* a tag finds the file in the folder loras beside the model, and so does --from */
    assert_int_equal(run("generate \"a cat <lora:style:0.8>\" --device cpu --steps 2 --seed 3 -q -m \"" TINY
                         "\" -o \"" FOLDER "/tag.png\""),
                     0);
    expect_same_pixels(FOLDER "/a.png", FOLDER "/tag.png", true);
    assert_int_equal(run("generate --from \"" FOLDER "/a.png\" -q --device cpu -m \"" TINY "\" -o \"" FOLDER
                         "/again.png\""),
                     0);
    expect_same_pixels(FOLDER "/a.png", FOLDER "/again.png", true);
    /* an option's scale replaces the tag's */
    assert_int_equal(run("generate --from \"" FOLDER "/a.png\" -q --device cpu -m \"" TINY
                         "\" --lora \"" STYLE ":0\" -o \"" FOLDER "/none.png\""),
                     0);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/none.png", true);
    assert_int_equal(run("info \"" FOLDER "/a.png\""), 0);
    expect_text(FOLDER "/out.txt", "a cat <lora:style:0.8");
    expect_text(FOLDER "/out.txt", "style: ");
    expect_failure(GENERATE "--lora \"" FOLDER "/absent.safetensors\"", 1, "absent.safetensors");
    expect_failure(GENERATE "--lora \"" STYLE ":1e9\"", 2, "scale 1e+09");
    expect_failure(GENERATE "--lora \"" TINY "/unet/diffusion_pytorch_model.safetensors\"", 1, "is a LoRA's");
    expect_failure(GENERATE "--negative \"<lora:style:1>\"", 2, "in the negative prompt");
    expect_failure("generate \"<lora:other>\" -m \"" TINY "\"", 1, "other.safetensors in");
    expect_failure("generate \"<lora:../style:1>\" -m \"" TINY "\"", 2, "without folders");
    expect_failure("generate \"<lora:style:x>\" -m \"" TINY "\"", 2, "expected <lora:NAME:SCALE>");
    expect_failure("generate \"<lora:other>\" -m \"" TINY "\" --lora-dir \"" FOLDER "\"", 1,
                   "other.safetensors in " FOLDER);
}

/* ---------------------------------------------------------------------------------------------------------
 * training -- */

#define DATA_AND_LOG                                                                                         \
    "\"data\": {\"held_out\": 0, \"captions\": \"plain\", \"latent_variants\": 1}, \"log\": "                \
    "{\"sample_minutes\": 0}, "
#define ALL_LAYERS                                                                                           \
    "\"lora\": {\"rank\": 4, \"alpha\": 2, \"targets\": [\"attention\", \"feed_forward\", \"projections\", " \
    "\"convolutions\"], "                                                                                    \
    "\"text_encoder\": true%s}"

static const char lora_json[] =
    "{\"resolution\": 32, \"batch\": 2, " DATA_AND_LOG
    "\"optimizer\": {\"learning_rate\": 0.01, \"warmup\": 0, \"ema\": 0}, " ALL_LAYERS "}";

typedef struct training {
    char root[256], data[300], config[300], output[300];
    double mebibytes; /* of the step's program, as its line says */
} training;

static void on_line(void *user, const char *text) {
    training *t = user;
    const char *gflop = strstr(text, "GFLOP a step of "), *memory = gflop ? strchr(gflop, ',') : NULL;
    if (memory) t->mebibytes = strtod(memory + 1, NULL);
}

static void begin_training(training *t, const char *config) {
    train_data_temporary(t->root);
    snprintf(t->data, sizeof t->data, "%s/data", t->root);
    snprintf(t->config, sizeof t->config, "%s/config.json", t->root);
    snprintf(t->output, sizeof t->output, "%s/run", t->root);
    must(folder_create(&host, t->data, &error));
    train_data_write(&host, t->data, 2, 32);
    must(file_write(&host, t->config, config, strlen(config), &error));
}

static mzt_status train(training *t, const char *init, const char *end, uint64_t steps, bool resume,
                        train_result *result) {
    char output[400];
    snprintf(output, sizeof output, "%s%s", t->output, end);
    const train_request request = {.kind = TRAIN_DENOISER,
                                   .data = t->data,
                                   .config = t->config,
                                   .output = output,
                                   .init = init,
                                   .steps = steps,
                                   .resume = resume,
                                   .line = on_line,
                                   .user = t};
    return train_run(&host, cpu, &request, result, &error);
}

static char *output_file(const training *t, const char *end, const char *name) {
    static char paths[2][500];
    static unsigned next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s%s/latest/%s", t->output, end, name);
    return path;
}

static uint64_t file_bytes(const char *path) {
    file_mapping mapping;
    must(file_map(path, &mapping, &error));
    const uint64_t size = mapping.size;
    file_unmap(&mapping);
    return size;
}

/* The UNet, for one latent of 4 x 4. */
static graph *describe_unet(const graph_adapters *adapters) {
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    g->adapters = adapters;
    const unet_inputs inputs = {.sample = graph_input(g, "sample", DTYPE_F32, (shape4){1, 4, 4, 4}),
                                .timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){1, 1, 1, 1}),
                                .context = graph_input(g, "context", DTYPE_F32, (shape4){1, 7, 1, 32})};
    graph_output(g, unet_describe(g, &tiny->unet, &inputs, NULL), "output");
    return g;
}

static void run_unet(network *n, float output[64]) {
    float sample[64], context[7 * 32], timestep = 300;
    random_normals(3, 1, 0, 64, sample);
    random_normals(3, 2, 0, 7 * 32, context);
    must(network_set(n, "sample", sample, 64, &error));
    must(network_set(n, "context", context, 7 * 32, &error));
    must(network_set(n, "timesteps", &timestep, 1, &error));
    must(network_run(n, &error));
    must(network_get(n, "output", output, 64, &error));
}

/* Which modules of a kohya file a graph's names mean. */
typedef struct kohya_file {
    safetensors_file *file;
} kohya_file;

static const weights_tensor *find_adapter(const kohya_file *k, const char *module, const char *end) {
    char name[300];
    assert_true(lora_kohya_name(LORA_UNET, module, name, sizeof name - 30));
    strcat(name, end);
    return safetensors_find(k->file, name);
}

static bool in_file(const void *user, const char *module) {
    return find_adapter(user, module, ".lora_up.weight") != NULL;
}

/* The UNet with adapters beside its layers, as training has it, its weights from the model and the file. */
static void open_adapted(const kohya_file *k, network *n) {
    const graph_adapters adapters = {.rank = 4, .scale = 0.5f, .chooses = in_file, .user = k};
    graph *g = describe_unet(&adapters);
    must(graph_compile(g, &(graph_options){0}, &n->plan, &error));
    graph_destroy(g);
    must(executor_prepare(cpu, n->plan, &n->program, &error));
    for (uint32_t i = 0; i < n->plan->piece_count; i++) {
        const plan_piece *piece = &n->plan->pieces[i];
        const char *name = plan_string(n->plan, piece->name);
        const weights_tensor *t = weights_find(tiny->weights[MODEL_UNET], name);
        char module[300];
        if (graph_is_adapter(NULL, name)) {
            snprintf(module, sizeof module, "%.*s", (int)(strstr(name, ".lora_") - name), name);
            t = find_adapter(k, module, strstr(name, ".lora_"));
        }
        assert_non_null(t);
        float *values = calloc(t->count, sizeof *values);
        must(weights_pack(t, piece->packing == PLAN_PACK_CONV_OHWI ? WEIGHTS_OIHW_TO_OHWI : WEIGHTS_PLAIN,
                          DTYPE_F32, values, t->count * sizeof *values, &error));
        must(program_write(n->program, piece->buffer, piece->element * sizeof *values, values,
                           t->count * sizeof *values, &error));
        free(values);
    }
    must(program_seal(n->program, &error));
}

/* What training computes with adapters beside the layers, loading computes with them merged. */
static void expect_merged_equals_adapted(const char *file) {
    kohya_file k;
    network adapted = {0}, merged = {0}, plain = {0};
    model *m;
    float a[64], b[64], c[64];
    double off = 0, changed = 0, size = 0;
    const model_lora lora = {file, 1};
    must(safetensors_open(&host, file, &k.file, &error));
    open_adapted(&k, &adapted);
    must(model_open(&host, TINY, &m, &error));
    must(network_create(cpu, describe_unet(NULL), m->weights[MODEL_UNET], &plain, &error));
    must(model_apply_loras(m, &lora, 1, &error));
    must(network_create(cpu, describe_unet(NULL), m->weights[MODEL_UNET], &merged, &error));
    run_unet(&adapted, a);
    run_unet(&merged, b);
    run_unet(&plain, c);
    for (int i = 0; i < 64; i++) {
        off = fmax(off, fabs((double)a[i] - (double)b[i]));
        changed = fmax(changed, fabs((double)a[i] - (double)c[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    print_message("beside the layers against merged: %.1e of %.2f, against none: %.1e\n", off, size, changed);
    assert_true(off < 2e-5 * size);
    assert_true(changed > 0.01 * size);
    network_destroy(&adapted);
    network_destroy(&merged);
    network_destroy(&plain);
    model_close(m);
    safetensors_close(k.file);
}

static void test_training(void **state) {
    (void)state;
    training t;
    train_result result, full;
    char config[1500];
    snprintf(config, sizeof config, lora_json, "");
    begin_training(&t, config);
    if (train(&t, TINY, "", 4, false, &result) < 0) fail_msg("%s", error.message);
    const double lora_mebibytes = t.mebibytes;
    expect_merged_equals_adapted(output_file(&t, "", "lora.safetensors"));
    /* stopped and resumed: the same bits */
    must(train(&t, TINY, "-b", 2, false, &result));
    must(train(&t, TINY, "-b", 4, true, &result));
    char *data[2];
    uint64_t size[2];
    must(file_read(&host, output_file(&t, "", "lora.safetensors"), 1u << 28, &data[0], &size[0], &error));
    must(file_read(&host, output_file(&t, "-b", "lora.safetensors"), 1u << 28, &data[1], &size[1], &error));
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    host_free(&host, data[0]);
    host_free(&host, data[1]);
    assert_true(train(&t, NULL, "-b", 5, true, &result) < 0);
    assert_non_null(strstr(error.message, "name it with --init"));
    /* diffusers' layout of the same */
    snprintf(config, sizeof config, lora_json, ", \"layout\": \"diffusers\"");
    must(file_write(&host, t.config, config, strlen(config), &error));
    must(train(&t, TINY, "-d", 4, false, &result));
    model *a, *b;
    must(model_open(&host, TINY, &a, &error));
    must(model_open(&host, TINY, &b, &error));
    must(model_apply_loras(a, &(model_lora){output_file(&t, "", "lora.safetensors"), 1}, 1, &error));
    must(model_apply_loras(b, &(model_lora){output_file(&t, "-d", "lora.safetensors"), 1}, 1, &error));
    static const char layer[] = "mid_block.resnets.0.conv1.weight";
    const weights_tensor *x = weights_find(a->weights[MODEL_UNET], layer),
                         *y = weights_find(b->weights[MODEL_UNET], layer);
    float *p = calloc(x->count, sizeof *p), *q = calloc(x->count, sizeof *q);
    must(weights_convert(x, 0, x->count, DTYPE_F32, p, &error));
    must(weights_convert(y, 0, x->count, DTYPE_F32, q, &error));
    for (uint64_t i = 0; i < x->count; i++)
        assert_true(fabsf(p[i] - q[i]) < 1e-6f);
    free(p);
    free(q);
    model_close(a);
    model_close(b);
    /* all of the model instead: more state, more memory */
    static const char full_json[] =
        "{\"resolution\": 32, \"batch\": 2, " DATA_AND_LOG "\"optimizer\": {\"learning_rate\": 0.0}}";
    must(file_write(&host, t.config, full_json, sizeof full_json - 1, &error));
    must(train(&t, TINY, "-full", 1, false, &full));
    const double share = (double)file_bytes(output_file(&t, "", "training_state.safetensors")) /
                         (double)file_bytes(output_file(&t, "-full", "training_state.safetensors"));
    print_message("%llu of %llu parameters; state %.2f of full training's, memory %.1f of %.1f MiB\n",
                  (unsigned long long)result.parameters, (unsigned long long)full.parameters, share,
                  lora_mebibytes, t.mebibytes);
    assert_true(result.parameters < full.parameters / 3);
    assert_true(share < 0.34);
    assert_true(lora_mebibytes <
                0.8 * t.mebibytes); /* activations are the same; frozen weights lie there twice */
    /* a learning rate of 0 gives the model back, bit for bit */
    model *again;
    char latest[400];
    snprintf(latest, sizeof latest, "%s-full/latest", t.output);
    must(model_open(&host, latest, &again, &error));
    for (int part = 0; part < 2; part++) {
        const weights_set *from = tiny->weights[part ? MODEL_TEXT_ENCODER : MODEL_UNET],
                          *to = again->weights[part ? MODEL_TEXT_ENCODER : MODEL_UNET];
        assert_true(weights_count(to) > 10);
        for (uint32_t i = 0; i < weights_count(to); i++) {
            const weights_tensor *now = weights_at(to, i), *then = weights_find(from, now->name);
            assert_non_null(then);
            assert_int_equal(now->count, then->count);
            if (memcmp(now->data, then->data, (size_t)now->count * sizeof(float)) != 0)
                fail_msg("%s has changed", now->name);
        }
    }
    model_close(again);
    train_data_remove(t.root);
}

/* --------------------------------------------------------------------------------------------------- a new
 * concept -- */

/* A model that knows seven of the eight pictures learns the last one by adapters alone. */
#define SMALL_DATA                                                                                           \
    "\"resolution\": 16, \"batch\": 8, \"data\": {\"held_out\": 0, \"captions\": \"plain\", "                \
    "\"caption_dropout\": 0"
#define SMALL_LOG "\"log\": {\"sample_minutes\": 0}"

static const char autoencoder_json[] =
    "{" SMALL_DATA
    "}, \"optimizer\": {\"learning_rate\": 0.003, \"warmup\": 20, \"steps\": 400, \"ema\": 0.98, "
    "\"weight_decay\": 0}, " SMALL_LOG
    ", \"loss\": {\"kl\": 1e-5, \"scales\": 2}, \"vae\": {\"in_channels\": 4, "
    "\"out_channels\": 4, \"latent_channels\": 4, \"block_out_channels\": [16, 32], \"layers_per_block\": 1, "
    "\"norm_num_groups\": 8, \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], "
    "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}}";

static const char denoiser_json[] =
    "{" SMALL_DATA
    ", \"latent_variants\": 1}, \"optimizer\": {\"learning_rate\": 0.003, \"warmup\": 20, \"steps\": 500, "
    "\"ema\": 0.98, \"weight_decay\": 0}, " SMALL_LOG
    ", \"denoiser\": {\"objective\": \"v\", \"vocabulary\": 640, "
    "\"max_length\": 8}, \"unet\": {\"in_channels\": 4, \"out_channels\": 4, \"block_out_channels\": [16, "
    "32], "
    "\"layers_per_block\": 1, \"norm_num_groups\": 8, \"attention_head_dim\": 2, \"cross_attention_dim\": "
    "32, "
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", "
    "\"CrossAttnUpBlock2D\"]}, \"text_encoder\": {\"hidden_size\": 32, \"intermediate_size\": 64, "
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2}}";

static const char concept_json[] =
    "{" SMALL_DATA
    ", \"latent_variants\": 1}, \"optimizer\": {\"learning_rate\": 0.01, \"warmup\": 10, \"steps\": 300, "
    "\"ema\": 0.95, \"weight_decay\": 0}, \"log\": {\"sample_minutes\": 1000, \"guidance\": 1, "
    "\"sample_steps\": 5}, "
    "\"lora\": {\"targets\": [\"attention\", \"feed_forward\", \"projections\", \"convolutions\"], "
    "\"text_encoder\": true}}";

static const char tuning_json[] =
    "{" SMALL_DATA ", \"latent_variants\": 1}, \"optimizer\": {\"learning_rate\": 1e-6}, " SMALL_LOG "}";

static void run_training(const training *t, train_kind kind, const char *config, const char *init,
                         const char *end, uint32_t lora, uint64_t steps, train_result *result) {
    char output[400];
    snprintf(output, sizeof output, "%s%s", t->output, end);
    must(file_write(&host, t->config, config, strlen(config), &error));
    const train_request request = {.kind = kind,
                                   .data = t->data,
                                   .config = t->config,
                                   .output = output,
                                   .init = init,
                                   .lora = lora,
                                   .steps = steps};
    must(train_run(&host, cpu, &request, result, &error));
}

/* The picture of the last caption, against the one that was trained on, over white. */
static double psnr_of_last(const model *m, const char *data) {
    static const uint8_t white[3] = {255, 255, 255};
    const char *name = train_data_name(TRAIN_DATA_SHAPES - 1);
    const dataset_options options = {.held_out = 0};
    const augment_options place = {.resolution = 16, .channels = 4};
    dataset *d;
    dataset_facts facts;
    float values[16 * 16 * 4];
    image wanted, wanted_over, made_over;
    generate_result result;
    generate_request request = generate_request_default();
    must(dataset_open(&host, data, &options, &d, &error));
    must(dataset_picture(d, NULL, &place, false, 0, 0, d->count - 1, values, &facts, &error));
    dataset_close(d);
    must(image_from_floats(&host, values, 16, 16, 4, &wanted, &error));
    request.prompt = name;
    request.guidance = 1;
    request.seed = 77;
    must(pipeline_generate(m, cpu, &request, &result, &error));
    must(image_over_colour(&host, &wanted, white, &wanted_over, &error));
    must(image_over_colour(&host, &result.images[0], white, &made_over, &error));
    const double db = psnr(&wanted_over, &made_over);
    image_free(&host, &wanted);
    image_free(&host, &wanted_over);
    image_free(&host, &made_over);
    generate_result_destroy(&result);
    return db;
}

/* The first `count` pictures in place of those that were there. */
static void write_pictures(const training *t, uint32_t count) {
    char path[400];
    snprintf(path, sizeof path, "%s/metadata.jsonl", t->data);
    remove(path);
    train_data_write(&host, t->data, count, 32);
}

/* Keeps only the last line of metadata.jsonl. */
static void keep_last_picture(const training *t) {
    char path[400], *text;
    uint64_t size;
    snprintf(path, sizeof path, "%s/metadata.jsonl", t->data);
    must(file_read(&host, path, 1u << 20, &text, &size, &error));
    while (size && text[size - 1] == '\n')
        text[--size] = '\0';
    char *last = strrchr(text, '\n');
    must(file_write(&host, path, last ? last + 1 : text, strlen(last ? last + 1 : text), &error));
    host_free(&host, text);
}

static void test_new_concept(void **state) {
    (void)state;
    training t;
    train_result base, tuned, learned;
    char autoencoder[400], whole[400], latest[480], sheet[480];
    begin_training(&t, autoencoder_json);
    write_pictures(&t, TRAIN_DATA_SHAPES); /* the autoencoder sees all */
    run_training(&t, TRAIN_AUTOENCODER, autoencoder_json, NULL, "-vae", 0, 0, &base);
    snprintf(autoencoder, sizeof autoencoder, "%s-vae/latest", t.output);
    snprintf(whole, sizeof whole, "%s-whole/latest", t.output);
    write_pictures(&t, TRAIN_DATA_SHAPES - 1);
    run_training(&t, TRAIN_DENOISER, denoiser_json, autoencoder, "-whole", 0, 0, &base);
    /* fine-tuning of all weights begins where that ended */
    run_training(&t, TRAIN_DENOISER, tuning_json, whole, "-tuned", 0, 1, &tuned);
    print_message("loss %.4f at the end, %.4f at the beginning of fine-tuning\n", base.loss, tuned.loss);
    assert_true(base.loss < 0.1 && tuned.loss < 2 * base.loss + 0.01);
    write_pictures(&t, TRAIN_DATA_SHAPES);
    keep_last_picture(&t);
    run_training(&t, TRAIN_DENOISER, concept_json, whole, "-lora", 8, 0, &learned);
    model *m;
    must(model_open(&host, whole, &m, &error));
    const double before = psnr_of_last(m, t.data);
    snprintf(latest, sizeof latest, "%s-lora/latest/lora.safetensors", t.output);
    must(model_apply_loras(m, &(model_lora){latest, 1}, 1, &error));
    const double after = psnr_of_last(m, t.data);
    model_close(m);
    print_message("%s: %.1f dB before, %.1f dB with %llu adapter values, loss %.4f\n",
                  train_data_name(TRAIN_DATA_SHAPES - 1), before, after,
                  (unsigned long long)learned.parameters, learned.loss);
    assert_true(after > 18 && after > before + 8);
    snprintf(sheet, sizeof sheet, "%s-lora/samples-000000300.png", t.output);
    assert_true(file_exists(sheet));
    train_data_remove(t.root);
}

static void test_mistakes(void **state) {
    (void)state;
    training t;
    train_result result;
    begin_training(&t, "{\"resolution\": 32, \"lora\": {\"rank\": 4, \"targets\": [\"everything\"]}}");
    assert_true(train(&t, TINY, "", 1, false, &result) < 0);
    assert_non_null(strstr(error.message, "expected attention, feed_forward, projections or convolutions"));
    must(file_write(&host, t.config, "{\"resolution\": 32, \"lora\": {\"rankk\": 4}}", 40, &error));
    assert_true(train(&t, TINY, "", 1, false, &result) < 0);
    assert_non_null(strstr(error.message, "rank"));
    must(file_write(&host, t.config, "{\"resolution\": 32}", 18, &error));
    assert_true(train(&t, NULL, "", 1, false, &result) < 0);
    assert_non_null(strstr(error.message, "--init"));
    train_data_remove(t.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales),   cmocka_unit_test(test_command),     cmocka_unit_test(test_training),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_new_concept),
    };
    return cmocka_run_group_tests(tests, begin_with_style, end);
}
