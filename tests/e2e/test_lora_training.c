/* Training adapters: what they compute beside the layers is what loading computes with them merged; they need
 * little state; a run that was stopped goes on bit by bit; a model learns a picture that it did not know.
 * Fine-tuning begins where a model ended. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/lora-training-test"
#include "tiny_model.h"

#include "graph/adapter.h"
#include "model/unet.h"
#include "pipeline/model_lora.h"
#include "sample/random.h"
#include "train/dataset.h"
#include "train/latents.h"
#include "train/run.h"
#include "train_data.h"
#include "weights/lora.h"

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

#define FULL_JSON                                                                                            \
    "{\"resolution\": 32, \"batch\": 2, " DATA_AND_LOG "\"optimizer\": {\"learning_rate\": 0.0}}"

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
    must(file_write(&host, t.config, FULL_JSON, sizeof FULL_JSON - 1, &error));
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
    train_data_remove(t.root);
}

/* Every weight of a network is the tiny model's own, bit for bit. */
static void expect_same_weights(const model *m, model_component component) {
    const weights_set *from = tiny->weights[component], *to = m->weights[component];
    assert_true(weights_count(to) > 10);
    for (uint32_t i = 0; i < weights_count(to); i++) {
        const weights_tensor *now = weights_at(to, i), *then = weights_find(from, now->name);
        assert_non_null(then);
        assert_int_equal(now->count, then->count);
        if (memcmp(now->data, then->data, (size_t)now->count * sizeof(float)) != 0)
            fail_msg("%s has changed", now->name);
    }
}

/* Fine-tuning with a learning rate of 0 gives the model back. */
static void test_rate_zero(void **state) {
    (void)state;
    static const char autoencoder[] =
        "{\"resolution\": 32, \"batch\": 2, \"data\": {\"held_out\": 0}, \"log\": {\"sample_minutes\": 0}, "
        "\"optimizer\": {\"learning_rate\": 0}, \"vae\": {\"in_channels\": 3, \"out_channels\": 3, "
        "\"latent_channels\": 4, "
        "\"block_out_channels\": [32, 32, 32, 32], \"layers_per_block\": 1, \"norm_num_groups\": 8, "
        "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", "
        "\"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", "
        "\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}}";
    training t;
    train_result result;
    model *m;
    char latest[400];
    begin_training(&t, FULL_JSON);
    must(train(&t, TINY, "", 2, false, &result));
    snprintf(latest, sizeof latest, "%s/latest", t.output);
    must(model_open(&host, latest, &m, &error));
    expect_same_weights(m, MODEL_UNET);
    expect_same_weights(m, MODEL_TEXT_ENCODER);
    model_close(m);
    snprintf(latest, sizeof latest, "%s-vae", t.output);
    must(file_write(&host, t.config, autoencoder, sizeof autoencoder - 1, &error));
    const train_request request = {.kind = TRAIN_AUTOENCODER,
                                   .data = t.data,
                                   .config = t.config,
                                   .output = latest,
                                   .init = TINY,
                                   .steps = 2};
    must(train_run(&host, cpu, &request, &result, &error));
    snprintf(latest, sizeof latest, "%s-vae/latest", t.output);
    must(latents_open_autoencoder(&host, latest, &m, &error));
    expect_same_weights(m, MODEL_VAE);
    model_close(m);
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
    must(file_write(&host, t.config, "{\"resolution\": 32, \"lora\": {\"rank\": 4}}", 39, &error));
    assert_true(train(&t, TINY "/vae", "", 1, false, &result) < 0);
    assert_non_null(strstr(error.message, "adapters are trained for a whole model"));
    must(file_write(&host, t.config, "{\"resolution\": 32}", 18, &error));
    assert_true(train(&t, NULL, "", 1, false, &result) < 0);
    assert_non_null(strstr(error.message, "--init"));
    train_data_remove(t.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_rate_zero),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_new_concept),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
