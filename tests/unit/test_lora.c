/* LoRA files: every layout against its formula in double, several files together, names that match nothing.
 */
#include <math.h>

#define FOLDER MZT_BINARY_DIR "/test_lora"
#include "lora_files.h"

/* ---------------------------------------------------------------------------------------------------------------------
 * comparing -- */

/* What applying files to a network gives for a tensor, as f32; also read in odd pieces, which must give the
 * same bits. */
static float *merged(const char *const *files, const double *scales, uint32_t count, lora_network network,
                     const weights_set *below, const char *tensor) {
    lora_stack *stack;
    weights_set *set;
    must(lora_stack_create(&host, &stack, &error));
    for (uint32_t i = 0; i < count; i++)
        must(lora_stack_add(stack, path_of(files[i]), scales[i], &error));
    must(lora_stack_apply(stack, network, below, &set, &error));
    must(lora_stack_finish(stack, &error));
    const weights_tensor *t = weights_find(set ? set : below, tensor);
    assert_non_null(t);
    float *whole = calloc(t->count, sizeof *whole), *pieces = calloc(t->count, sizeof *pieces);
    assert_true(whole && pieces);
    must(weights_convert(t, 0, t->count, DTYPE_F32, whole, &error));
    for (uint64_t first = 0, size = 1; first < t->count; first += size, size = size % 7 + 1) {
        if (size > t->count - first) size = t->count - first;
        must(weights_convert(t, first, size, DTYPE_F32, pieces + first, &error));
    }
    assert_memory_equal(whole, pieces, t->count * sizeof *whole);
    free(pieces);
    weights_close(set);
    lora_stack_destroy(stack);
    return whole;
}

/* The file changes `tensor` by exactly `delta`. */
static void expect_delta(const char *file, double scale, lora_network network, const weights_set *below,
                         const char *tensor, const double *delta) {
    float *found = merged(&file, &scale, 1, network, below, tensor);
    const weights_tensor *t = weights_find(below, tensor);
    float *base = calloc(t->count, sizeof *base);
    double worst = 0;
    must(weights_convert(t, 0, t->count, DTYPE_F32, base, &error));
    for (uint64_t i = 0; i < t->count; i++) {
        const double wanted = (double)base[i] + scale * delta[i], off = fabs((double)found[i] - wanted);
        if (off > worst) worst = off;
    }
    if (!(worst < 4e-6)) fail_msg("%s: %s is off by %g", file, tensor, worst);
    free(base);
    free(found);
}

/* delta[o][j] = factor * sum over k of up[o][k] down[k][j] */
static void product(double *delta, const float *up, const float *down, uint64_t rank, uint64_t columns,
                    double factor) {
    for (uint64_t o = 0; o < OUT; o++)
        for (uint64_t j = 0; j < columns; j++) {
            double sum = 0;
            for (uint64_t k = 0; k < rank; k++)
                sum += (double)up[o * rank + k] * (double)down[k * columns + j];
            delta[o * columns + j] = factor * sum;
        }
}

/* -----------------------------------------------------------------------------------------------------------------------
 * layouts -- */

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *down, *up, *tensor;
        lora_network network;
        bool one_by_one, filter;
    } cases[] = {
        {"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
         "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_up.weight", LINEAR,
         LORA_UNET, false, false},
        {"lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
         "lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_q.lora_up.weight", LINEAR, LORA_UNET,
         false, false},
        {"unet." LINEAR ".lora_A.weight", "unet." LINEAR ".lora_B.weight", LINEAR, LORA_UNET, false, false},
        {"base_model.model." LINEAR ".lora_A.default.weight",
         "base_model.model." LINEAR ".lora_B.default.weight", LINEAR, LORA_UNET, false, false},
        {"unet." LINEAR ".lora.down.weight", "unet." LINEAR ".lora.up.weight", LINEAR, LORA_UNET, false,
         false},
        {"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
         "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.up.weight", LINEAR,
         LORA_UNET, false, false},
        {"up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.down.weight",
         "up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight", OUTPUT,
         LORA_UNET, false, false},
        {"lora_unet_output_blocks_3_1_transformer_blocks_0_attn2_to_out_0.lora_down.weight",
         "lora_unet_output_blocks_3_1_transformer_blocks_0_attn2_to_out_0.lora_up.weight", OUTPUT, LORA_UNET,
         false, false},
        {"lora_unet_input_blocks_4_0_in_layers_2.lora_down.weight",
         "lora_unet_input_blocks_4_0_in_layers_2.lora_up.weight", FILTER, LORA_UNET, false, true},
        {"lora_unet_input_blocks_3_0_op.lora_down.weight", "lora_unet_input_blocks_3_0_op.lora_up.weight",
         "down_blocks.0.downsamplers.0.conv", LORA_UNET, false, true},
        {"lora_unet_output_blocks_2_1_conv.lora_down.weight",
         "lora_unet_output_blocks_2_1_conv.lora_up.weight", "up_blocks.0.upsamplers.0.conv", LORA_UNET, false,
         true},
        {"lora_unet_output_blocks_2_0_out_layers_3.lora_down.weight",
         "lora_unet_output_blocks_2_0_out_layers_3.lora_up.weight", "up_blocks.0.resnets.2.conv2", LORA_UNET,
         false, true},
        {"lora_unet_middle_block_1_proj_in.lora_down.weight",
         "lora_unet_middle_block_1_proj_in.lora_up.weight", "mid_block.attentions.0.proj_in", LORA_UNET, true,
         false},
        {"diffusion_model.time_embed.2.lora_A.weight", "diffusion_model.time_embed.2.lora_B.weight",
         "time_embedding.linear_2", LORA_UNET, false, false},
        {"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight",
         "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", TEXT, LORA_TEXT, false,
         false},
        {"lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight",
         "lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", TEXT, LORA_TEXT, false,
         false},
        {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
         "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", "text_model.encoder.layers.0.mlp.fc1",
         LORA_TEXT_2, false, false},
        {"text_encoder." TEXT ".lora_linear_layer.down.weight",
         "text_encoder." TEXT ".lora_linear_layer.up.weight", TEXT, LORA_TEXT, false, false},
        {"text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.down.weight",
         "text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.up.weight", TEXT, LORA_TEXT, false,
         false},
        {"text_encoder_2." TEXT ".lora_A.weight", "text_encoder_2." TEXT ".lora_B.weight", TEXT, LORA_TEXT_2,
         false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maker m = {.count = 0};
        char tensor[120];
        double delta[OUT * IN * KERNEL * KERNEL];
        const uint64_t kernel = cases[i].filter ? KERNEL : 1, columns = IN * kernel * kernel;
        const bool four = cases[i].filter || cases[i].one_by_one;
        float *down = make(&m, cases[i].down, four ? 4 : 2, (uint64_t[]){2, IN, kernel, kernel});
        float *up = make(&m, cases[i].up, four ? 4 : 2, (uint64_t[]){OUT, 2, 1, 1});
        product(delta, up, down, 2, columns, 1);
        save(&m, "names", NULL, 0);
        snprintf(tensor, sizeof tensor, "%s.weight", cases[i].tensor);
        expect_delta("names", 0.7, cases[i].network, cases[i].network == LORA_UNET ? unet : text, tensor,
                     delta);
    }
}

/* alpha / rank; a rank of more than one group of four; half precision. */
static void test_alpha(void **state) {
    (void)state;
    maker m = {.count = 0};
    double delta[OUT * IN];
    uint16_t halves[5 * IN];
    float *down = make(&m, KOHYA ".lora_down.weight", SHAPE(5, IN)),
          *up = make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 5));
    make_scalar(&m, KOHYA ".alpha", 2);
    for (int i = 0; i < 5 * IN; i++) { /* the file has f16 */
        halves[i] = f16_from_f32(down[i]);
        down[i] = f32_from_f16(halves[i]);
    }
    product(delta, up, down, 5, IN, 2.0 / 5);
    m.tensors[0].dtype = WEIGHTS_F16;
    m.tensors[0].data = (const uint8_t *)halves;
    save(&m, "alpha", NULL, 0);
    expect_delta("alpha", 1, LORA_UNET, unet, LINEAR ".weight", delta);
    expect_delta("alpha", -3, LORA_UNET, unet, LINEAR ".weight", delta);
}

static void test_metadata(void **state) {
    (void)state;
    static const char *const metadata[] = {
        "lora_adapter_metadata", "{\"unet.lora_alpha\": 8, \"unet.r\": 4, \"unet.use_rslora\": true, "
                                 "\"unet.alpha_pattern\": {\"attn2.to_out.0\": 3}}"};
    maker m = {.count = 0};
    double linear[OUT * IN], output[OUT * IN];
    float *down = make(&m, "unet." LINEAR ".lora_A.weight", SHAPE(4, IN)),
          *up = make(&m, "unet." LINEAR ".lora_B.weight", SHAPE(OUT, 4));
    product(linear, up, down, 4, IN, 8 / 2.0);
    down = make(&m, "unet." OUTPUT ".lora_A.weight", SHAPE(4, IN));
    up = make(&m, "unet." OUTPUT ".lora_B.weight", SHAPE(OUT, 4));
    product(output, up, down, 4, IN, 3 / 2.0);
    save(&m, "metadata", metadata, 1);
    expect_delta("metadata", 0.1, LORA_UNET, unet, LINEAR ".weight", linear);
    expect_delta("metadata", 0.1, LORA_UNET, unet, OUTPUT ".weight", output);
}

/* Tucker's form: delta[o][i][k] = sum over a, b of up[o][a] mid[a][b][k] down[b][i] */
static void tucker(double *delta, const float *up, const float *mid, const float *down, uint64_t ranks[2],
                   bool turned) {
    enum { K = KERNEL * KERNEL };
    for (uint64_t o = 0; o < OUT; o++)
        for (uint64_t i = 0; i < IN; i++)
            for (uint64_t k = 0; k < K; k++) {
                double sum = 0;
                for (uint64_t a = 0; a < ranks[0]; a++)
                    for (uint64_t b = 0; b < ranks[1]; b++)
                        sum += (double)(turned ? up[a * OUT + o] : up[o * ranks[0] + a]) *
                               (double)mid[(a * ranks[1] + b) * K + k] * (double)down[b * IN + i];
                delta[(o * IN + i) * K + k] = sum;
            }
}

static void test_locon(void **state) {
    (void)state;
    enum { COUNT = OUT * IN * KERNEL * KERNEL };
    maker m = {.count = 0};
    double delta[COUNT];
    uint64_t ranks[2] = {3, 3};
    float *down = make(&m, CONV ".lora_down.weight", SHAPE(3, IN, 1, 1)),
          *up = make(&m, CONV ".lora_up.weight", SHAPE(OUT, 3, 1, 1)),
          *mid = make(&m, CONV ".lora_mid.weight", SHAPE(3, 3, KERNEL, KERNEL));
    make_scalar(&m, CONV ".alpha", 1.5f);
    tucker(delta, up, mid, down, ranks, false);
    for (int i = 0; i < COUNT; i++)
        delta[i] *= 0.5;
    save(&m, "locon", NULL, 0);
    expect_delta("locon", 0.25, LORA_UNET, unet, FILTER ".weight", delta);
}

static void test_loha(void **state) {
    (void)state;
    enum { COUNT = OUT * IN * KERNEL * KERNEL };
    maker m = {.count = 0};
    double delta[COUNT], second[COUNT];
    uint64_t ranks[2] = {2, 2};
    float *a = make(&m, KOHYA ".hada_w1_a", SHAPE(OUT, 2)), *b = make(&m, KOHYA ".hada_w1_b", SHAPE(2, IN));
    product(delta, a, b, 2, IN, 1);
    a = make(&m, KOHYA ".hada_w2_a", SHAPE(OUT, 2));
    b = make(&m, KOHYA ".hada_w2_b", SHAPE(2, IN));
    product(second, a, b, 2, IN, 1);
    make_scalar(&m, KOHYA ".alpha", 1);
    for (int i = 0; i < OUT * IN; i++)
        delta[i] *= second[i] * 0.5;
    save(&m, "loha", NULL, 0);
    expect_delta("loha", 0.5, LORA_UNET, unet, LINEAR ".weight", delta);

    a = make(&m, CONV ".hada_w1_a", SHAPE(2, OUT));
    b = make(&m, CONV ".hada_w1_b", SHAPE(2, IN));
    tucker(delta, a, make(&m, CONV ".hada_t1", SHAPE(2, 2, KERNEL, KERNEL)), b, ranks, true);
    a = make(&m, CONV ".hada_w2_a", SHAPE(2, OUT));
    b = make(&m, CONV ".hada_w2_b", SHAPE(2, IN));
    tucker(second, a, make(&m, CONV ".hada_t2", SHAPE(2, 2, KERNEL, KERNEL)), b, ranks, true);
    for (int i = 0; i < COUNT; i++)
        delta[i] *= second[i];
    save(&m, "loha", NULL, 0);
    expect_delta("loha", 0.1, LORA_UNET, unet, FILTER ".weight", delta);
}

/* delta[ia * c + ic][ib * d + id][k] = w1[ia][ib] w2[ic][id][k] */
static void kronecker(double *delta, const double *w1, const double *w2, uint64_t a, uint64_t b, uint64_t c,
                      uint64_t d, uint64_t k, double factor) {
    for (uint64_t ia = 0; ia < a; ia++)
        for (uint64_t ic = 0; ic < c; ic++)
            for (uint64_t ib = 0; ib < b; ib++)
                for (uint64_t id = 0; id < d; id++)
                    for (uint64_t t = 0; t < k; t++)
                        delta[((ia * c + ic) * b * d + ib * d + id) * k + t] =
                            factor * w1[ia * b + ib] * w2[(ic * d + id) * k + t];
}

static void multiply(double *out, const float *a, const float *b, uint64_t rows, uint64_t rank,
                     uint64_t columns) {
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < columns; c++) {
            out[r * columns + c] = 0;
            for (uint64_t k = 0; k < rank; k++)
                out[r * columns + c] += (double)a[r * rank + k] * (double)b[k * columns + c];
        }
}

static void widen(double *out, const float *in, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        out[i] = (double)in[i];
}

static void test_lokr(void **state) {
    (void)state;
    maker m = {.count = 0};
    double delta[OUT * IN * KERNEL * KERNEL], w1[16], w2[3 * IN * KERNEL * KERNEL];
    /* [2,1] x [3,5], both whole: alpha means nothing */
    widen(w1, make(&m, KOHYA ".lokr_w1", SHAPE(2, 1)), 2);
    widen(w2, make(&m, KOHYA ".lokr_w2", SHAPE(3, IN)), 3 * IN);
    make_scalar(&m, KOHYA ".alpha", 7);
    kronecker(delta, w1, w2, 2, 1, 3, IN, 1, 1);
    save(&m, "lokr", NULL, 0);
    expect_delta("lokr", 0.5, LORA_UNET, unet, LINEAR ".weight", delta);
    /* [3,5] x [2,1], both of rank 2 */
    float *a = make(&m, KOHYA ".lokr_w1_a", SHAPE(3, 2)), *b = make(&m, KOHYA ".lokr_w1_b", SHAPE(2, IN));
    multiply(w1, a, b, 3, 2, IN);
    a = make(&m, KOHYA ".lokr_w2_a", SHAPE(2, 2));
    b = make(&m, KOHYA ".lokr_w2_b", SHAPE(2, 1));
    multiply(w2, a, b, 2, 2, 1);
    make_scalar(&m, KOHYA ".alpha", 3);
    kronecker(delta, w1, w2, 3, IN, 2, 1, 1, 1.5);
    save(&m, "lokr", NULL, 0);
    expect_delta("lokr", 0.5, LORA_UNET, unet, LINEAR ".weight", delta);
    /* filters: [2,1] x [3,5,3,3] of rank 2, first as it is, then in Tucker's form */
    widen(w1, make(&m, CONV ".lokr_w1", SHAPE(2, 1)), 2);
    a = make(&m, CONV ".lokr_w2_a", SHAPE(3, 2));
    b = make(&m, CONV ".lokr_w2_b", SHAPE(2, IN * KERNEL * KERNEL));
    multiply(w2, a, b, 3, 2, IN * KERNEL * KERNEL);
    kronecker(delta, w1, w2, 2, 1, 3, IN, KERNEL * KERNEL, 1);
    save(&m, "lokr", NULL, 0);
    expect_delta("lokr", 0.5, LORA_UNET, unet, FILTER ".weight", delta);
    widen(w1, make(&m, CONV ".lokr_w1", SHAPE(2, 1)), 2);
    a = make(&m, CONV ".lokr_w2_a", SHAPE(2, 3));
    b = make(&m, CONV ".lokr_w2_b", SHAPE(2, IN));
    const float *core = make(&m, CONV ".lokr_t2", SHAPE(2, 2, KERNEL, KERNEL));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < IN; i++)
            for (int k = 0; k < KERNEL * KERNEL; k++) {
                double *sum = &w2[(c * IN + i) * KERNEL * KERNEL + k];
                *sum = 0;
                for (int x = 0; x < 2; x++)
                    for (int y = 0; y < 2; y++)
                        *sum += (double)a[x * 3 + c] * (double)core[(x * 2 + y) * KERNEL * KERNEL + k] *
                                (double)b[y * IN + i];
            }
    kronecker(delta, w1, w2, 2, 1, 3, IN, KERNEL * KERNEL, 1);
    save(&m, "lokr", NULL, 0);
    expect_delta("lokr", 0.3, LORA_UNET, unet, FILTER ".weight", delta);
}

static void test_diff(void **state) {
    (void)state;
    maker m = {.count = 0};
    double weight[OUT * IN], bias[OUT];
    widen(weight,
          make(&m, "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_out_0.diff",
               SHAPE(OUT, IN)),
          OUT * IN);
    widen(
        bias,
        make(&m, "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_out_0.diff_b", SHAPE(OUT)),
        OUT);
    save(&m, "diff", NULL, 0);
    expect_delta("diff", 0.5, LORA_UNET, unet, OUTPUT ".weight", weight);
    expect_delta("diff", 0.5, LORA_UNET, unet, OUTPUT ".bias", bias);
}

/* --------------------------------------------------------------------------------------------------------------------
 * several files -- */

static void test_two_add_up(void **state) {
    (void)state;
    static const char *const files[] = {"two", "first"};
    const double scales[] = {0.5, -2};
    maker m = {.count = 0};
    double first[OUT * IN], second[OUT * IN];
    float *down = make(&m, KOHYA ".lora_down.weight", SHAPE(3, IN)),
          *up = make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 3));
    product(first, up, down, 3, IN, 1);
    save(&m, "first", NULL, 0);
    down = make(&m, "unet." LINEAR ".lora_A.weight", SHAPE(1, IN));
    up = make(&m, "unet." LINEAR ".lora_B.weight", SHAPE(OUT, 1));
    product(second, up, down, 1, IN, 1);
    save(&m, "two", NULL, 0);
    float *found = merged(files, scales, 2, LORA_UNET, unet, LINEAR ".weight"), base[OUT * IN];
    must(weights_convert(weights_find(unet, LINEAR ".weight"), 0, OUT * IN, DTYPE_F32, base, &error));
    for (int i = 0; i < OUT * IN; i++)
        assert_true(fabs((double)found[i] - ((double)base[i] + 0.5 * second[i] - 2 * first[i])) < 4e-6);
    free(found);
}

/* A tensor that is cut from a larger one, as the layers of attention are in some files. */
static void test_cut_tensor(void **state) {
    (void)state;
    maker m = {.count = 0};
    weights_tensor part;
    weights_set *below, *set;
    lora_stack *stack;
    float plain[OUT * IN], found[OUT * IN];
    double delta[OUT * IN];
    float *down = make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN)),
          *up = make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2));
    product(delta, up, down, 2, IN, 1);
    save(&m, "cut", NULL, 0);
    make(&m, LINEAR ".weight", SHAPE(3 * OUT, IN));
    must(weights_rows(&m.tensors[0], OUT, OUT, &part, &error));
    must(weights_create(&host, "cut", &(weights_source){.tensors = &part, .count = 1}, &below, &error));
    must(lora_stack_create(&host, &stack, &error));
    must(lora_stack_add(stack, path_of("cut"), 1, &error));
    must(lora_stack_apply(stack, LORA_UNET, below, &set, &error));
    must(weights_convert(weights_at(below, 0), 0, OUT * IN, DTYPE_F32, plain, &error));
    must(weights_convert(weights_at(set, 0), 0, OUT * IN, DTYPE_F32, found, &error));
    for (int i = 0; i < OUT * IN; i++)
        assert_true(fabs((double)found[i] - (double)plain[i] - delta[i]) < 4e-6);
    weights_close(set);
    weights_close(below);
    lora_stack_destroy(stack);
    release(&m);
}

static void test_scale_zero(void **state) {
    (void)state;
    lora_stack *stack;
    weights_set *set;
    must(lora_stack_create(&host, &stack, &error));
    must(lora_stack_add(stack, path_of("first"), 0, &error));
    must(lora_stack_apply(stack, LORA_UNET, unet, &set, &error));
    must(lora_stack_finish(stack, &error));
    assert_null(set); /* the weights are read from where they always are */
    lora_stack_destroy(stack);
}

static void test_unmatched(void **state) {
    (void)state;
    maker m = {.count = 0};
    lora_stack *stack;
    weights_set *set;
    make(&m, KOHYA ".lora_down.weight", SHAPE(2, IN));
    make(&m, KOHYA ".lora_up.weight", SHAPE(OUT, 2));
    make(&m, "lora_unet_nowhere.lora_down.weight", SHAPE(2, IN));
    make(&m, "lora_unet_nowhere.lora_up.weight", SHAPE(OUT, 2));
    make(&m, "something_else", SHAPE(1));
    save(&m, "some", NULL, 0);
    must(lora_stack_create(&host, &stack, &error));
    must(lora_stack_add(stack, path_of("some"), 1, &error));
    must(lora_stack_apply(stack, LORA_UNET, unet, &set, &error));
    warning[0] = 0;
    must(lora_stack_finish(stack, &error));
    assert_non_null(strstr(
        warning,
        "2 of 3 modules are not in this model: \"lora_unet_nowhere.lora_down.weight\", \"something_else\""));
    uint32_t modules, tensors;
    lora_stack_count(stack, &modules, &tensors);
    assert_int_equal(modules, 1);
    assert_int_equal(tensors, 1);
    weights_close(set);
    lora_stack_destroy(stack);
    must(lora_stack_create(&host, &stack, &error)); /* a UNet's file on a text encoder */
    must(lora_stack_add(stack, path_of("some"), 1, &error));
    must(lora_stack_apply(stack, LORA_TEXT, text, &set, &error));
    assert_null(set);
    assert_int_equal(lora_stack_finish(stack, &error), MZT_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "none of its 3 modules is in this model"));
    lora_stack_destroy(stack);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_metadata),   cmocka_unit_test(test_locon),
        cmocka_unit_test(test_loha),       cmocka_unit_test(test_lokr),
        cmocka_unit_test(test_diff),       cmocka_unit_test(test_two_add_up),
        cmocka_unit_test(test_scale_zero), cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_cut_tensor),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
