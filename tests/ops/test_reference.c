/* cpu-reference judges every other kernel; here it is judged itself: by values worked out by hand, and for
 * convolutions by a second formulation that writes the enlarged, padded picture out before it sums. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cpu/reference.h"
#include "ops_cases.h"

#define F32(array)                                                                                           \
    (cpu_operand) {                                                                                          \
        (array), DTYPE_F32                                                                                   \
    }
#define U32(array)                                                                                           \
    (cpu_operand) {                                                                                          \
        (array), DTYPE_U32                                                                                   \
    }

static void run(op o, const op_params *params, cpu_call call) {
    base_host host = host_make(NULL);
    mzt_error error = {0};
    assert_int_equal(op_check(o, params, &error), MZT_OK);
    call.op = o;
    call.params = params;
    call.host = &host;
    assert_int_equal(reference_run(NULL, &call, &error), MZT_OK);
}

static void expect(const float *out, const double *expected, int count) {
    for (int i = 0; i < count; i++) {
        if (!(fabs((double)out[i] - expected[i]) <= 2e-7 * fmax(1, fabs(expected[i]))))
            fail_msg("element %d is %.9g, expected %.9g", i, (double)out[i], expected[i]);
    }
}

/* The binding numbers of cpu/bindings.h are those of the op table. */
static void test_bindings(void **state) {
    (void)state;
    static const struct {
        op o;
        int index;
        const char *name;
    } rows[] = {
        {OP_LINEAR, LINEAR_X0, "x0"},
        {OP_LINEAR, LINEAR_X1, "x1"},
        {OP_LINEAR, LINEAR_WEIGHT, "weight"},
        {OP_LINEAR, LINEAR_BIAS, "bias"},
        {OP_LINEAR, LINEAR_VEC, "vec"},
        {OP_LINEAR, LINEAR_RESIDUAL, "residual"},
        {OP_LINEAR, LINEAR_OUT, "out"},
        {OP_CONV2D, CONV2D_X0, "x0"},
        {OP_CONV2D, CONV2D_X1, "x1"},
        {OP_CONV2D, CONV2D_WEIGHT, "weight"},
        {OP_CONV2D, CONV2D_BIAS, "bias"},
        {OP_CONV2D, CONV2D_VEC, "vec"},
        {OP_CONV2D, CONV2D_RESIDUAL, "residual"},
        {OP_CONV2D, CONV2D_OUT, "out"},
        {OP_ATTENTION, ATTENTION_Q, "q"},
        {OP_ATTENTION, ATTENTION_K, "k"},
        {OP_ATTENTION, ATTENTION_V, "v"},
        {OP_ATTENTION, ATTENTION_OUT, "out"},
        {OP_GROUP_NORM_STATS, GROUP_NORM_STATS_X0, "x0"},
        {OP_GROUP_NORM_STATS, GROUP_NORM_STATS_X1, "x1"},
        {OP_GROUP_NORM_STATS, GROUP_NORM_STATS_PARTIAL, "partial"},
        {OP_GROUP_NORM, GROUP_NORM_X0, "x0"},
        {OP_GROUP_NORM, GROUP_NORM_X1, "x1"},
        {OP_GROUP_NORM, GROUP_NORM_PARTIAL, "partial"},
        {OP_GROUP_NORM, GROUP_NORM_GAMMA, "gamma"},
        {OP_GROUP_NORM, GROUP_NORM_BETA, "beta"},
        {OP_GROUP_NORM, GROUP_NORM_OUT, "out"},
        {OP_LAYER_NORM, LAYER_NORM_X, "x"},
        {OP_LAYER_NORM, LAYER_NORM_GAMMA, "gamma"},
        {OP_LAYER_NORM, LAYER_NORM_BETA, "beta"},
        {OP_LAYER_NORM, LAYER_NORM_OUT, "out"},
        {OP_UNARY, UNARY_X, "x"},
        {OP_UNARY, UNARY_OUT, "out"},
        {OP_BINARY, BINARY_A, "a"},
        {OP_BINARY, BINARY_B, "b"},
        {OP_BINARY, BINARY_OUT, "out"},
        {OP_GEGLU, GEGLU_X, "x"},
        {OP_GEGLU, GEGLU_OUT, "out"},
        {OP_CONCAT, CONCAT_X0, "x0"},
        {OP_CONCAT, CONCAT_X1, "x1"},
        {OP_CONCAT, CONCAT_OUT, "out"},
        {OP_SLICE, SLICE_X, "x"},
        {OP_SLICE, SLICE_OUT, "out"},
        {OP_UPSAMPLE, UPSAMPLE_X, "x"},
        {OP_PIXEL_SHUFFLE, PIXEL_SHUFFLE_X, "x"},
        {OP_PIXEL_SHUFFLE, PIXEL_SHUFFLE_OUT, "out"},
        {OP_UPSAMPLE, UPSAMPLE_OUT, "out"},
        {OP_EMBEDDING, EMBEDDING_IDS, "ids"},
        {OP_EMBEDDING, EMBEDDING_TABLE, "table"},
        {OP_EMBEDDING, EMBEDDING_POSITIONS, "positions"},
        {OP_EMBEDDING, EMBEDDING_OUT, "out"},
        {OP_TIMESTEP_EMBEDDING, TIMESTEP_EMBEDDING_T, "t"},
        {OP_TIMESTEP_EMBEDDING, TIMESTEP_EMBEDDING_OUT, "out"},
        {OP_GATHER_ROWS, GATHER_ROWS_X, "x"},
        {OP_GATHER_ROWS, GATHER_ROWS_INDEX, "index"},
        {OP_GATHER_ROWS, GATHER_ROWS_OUT, "out"},
        {OP_SAMPLER_INPUT, SAMPLER_INPUT_SLOTS, "slots"},
        {OP_SAMPLER_INPUT, SAMPLER_INPUT_TABLE, "table"},
        {OP_SAMPLER_INPUT, SAMPLER_INPUT_STEP, "step"},
        {OP_SAMPLER_INPUT, SAMPLER_INPUT_EXTRA, "extra"},
        {OP_SAMPLER_INPUT, SAMPLER_INPUT_OUT, "out"},
        {OP_SAMPLER_UPDATE, SAMPLER_UPDATE_OUTPUT, "output"},
        {OP_SAMPLER_UPDATE, SAMPLER_UPDATE_TABLE, "table"},
        {OP_SAMPLER_UPDATE, SAMPLER_UPDATE_STEP, "step"},
        {OP_SAMPLER_UPDATE, SAMPLER_UPDATE_NOISE, "noise"},
        {OP_SAMPLER_UPDATE, SAMPLER_UPDATE_SLOTS, "slots"},
        {OP_STEP_ADVANCE, STEP_ADVANCE_STEP, "step"},
        {OP_GUIDANCE, GUIDANCE_OUTPUT, "output"},
        {OP_GUIDANCE, GUIDANCE_TABLE, "table"},
        {OP_GUIDANCE, GUIDANCE_STEP, "step"},
        {OP_GUIDANCE, GUIDANCE_SLOTS, "slots"},
        {OP_GUIDANCE, GUIDANCE_KNOWN, "known"},
        {OP_GUIDANCE, GUIDANCE_MASK, "mask"},
        {OP_GUIDANCE, GUIDANCE_OUT, "out"},
        {OP_TRANSPOSE_WEIGHT, TRANSPOSE_WEIGHT_WEIGHT, "weight"},
        {OP_TRANSPOSE_WEIGHT, TRANSPOSE_WEIGHT_OUT, "out"},
        {OP_DILATE, DILATE_X, "x"},
        {OP_DILATE, DILATE_OUT, "out"},
        {OP_WEIGHT_GRAD, WEIGHT_GRAD_X, "x"},
        {OP_WEIGHT_GRAD, WEIGHT_GRAD_DY, "dy"},
        {OP_WEIGHT_GRAD, WEIGHT_GRAD_OUT, "out"},
        {OP_COLUMN_SUM, COLUMN_SUM_X, "x"},
        {OP_COLUMN_SUM, COLUMN_SUM_OUT, "out"},
        {OP_REDUCE_SUM, REDUCE_SUM_X, "x"},
        {OP_REDUCE_SUM, REDUCE_SUM_OUT, "out"},
        {OP_UNARY_GRAD, UNARY_GRAD_X, "x"},
        {OP_UNARY_GRAD, UNARY_GRAD_DY, "dy"},
        {OP_UNARY_GRAD, UNARY_GRAD_DX, "dx"},
        {OP_GEGLU_GRAD, GEGLU_GRAD_X, "x"},
        {OP_GEGLU_GRAD, GEGLU_GRAD_DY, "dy"},
        {OP_GEGLU_GRAD, GEGLU_GRAD_DX, "dx"},
        {OP_LAYER_NORM_GRAD, LAYER_NORM_GRAD_X, "x"},
        {OP_LAYER_NORM_GRAD, LAYER_NORM_GRAD_GAMMA, "gamma"},
        {OP_LAYER_NORM_GRAD, LAYER_NORM_GRAD_DY, "dy"},
        {OP_LAYER_NORM_GRAD, LAYER_NORM_GRAD_DX, "dx"},
        {OP_LAYER_NORM_PARAM_GRAD, LAYER_NORM_PARAM_GRAD_X, "x"},
        {OP_LAYER_NORM_PARAM_GRAD, LAYER_NORM_PARAM_GRAD_DY, "dy"},
        {OP_LAYER_NORM_PARAM_GRAD, LAYER_NORM_PARAM_GRAD_OUT, "out"},
        {OP_GROUP_NORM_GRAD_STATS, GROUP_NORM_GRAD_STATS_X, "x"},
        {OP_GROUP_NORM_GRAD_STATS, GROUP_NORM_GRAD_STATS_PARTIAL, "partial"},
        {OP_GROUP_NORM_GRAD_STATS, GROUP_NORM_GRAD_STATS_DY, "dy"},
        {OP_GROUP_NORM_GRAD_STATS, GROUP_NORM_GRAD_STATS_OUT, "out"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_X, "x"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_PARTIAL, "partial"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_GAMMA, "gamma"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_SUMS, "sums"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_DY, "dy"},
        {OP_GROUP_NORM_GRAD, GROUP_NORM_GRAD_DX, "dx"},
        {OP_ATTENTION_STATS, ATTENTION_STATS_Q, "q"},
        {OP_ATTENTION_STATS, ATTENTION_STATS_K, "k"},
        {OP_ATTENTION_STATS, ATTENTION_STATS_OUT, "out"},
        {OP_ATTENTION_STATS, ATTENTION_STATS_DOUT, "dout"},
        {OP_ATTENTION_STATS, ATTENTION_STATS_STATS, "stats"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_IN_Q, "q"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_IN_K, "k"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_IN_V, "v"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_DOUT, "dout"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_STATS, "stats"},
        {OP_ATTENTION_GRAD, ATTENTION_GRAD_DX, "dx"},
        {OP_GATHER_ROWS_GRAD, GATHER_ROWS_GRAD_INDEX, "index"},
        {OP_GATHER_ROWS_GRAD, GATHER_ROWS_GRAD_DY, "dy"},
        {OP_GATHER_ROWS_GRAD, GATHER_ROWS_GRAD_DX, "dx"},
        {OP_UPSAMPLE_GRAD, UPSAMPLE_GRAD_DY, "dy"},
        {OP_UPSAMPLE_GRAD, UPSAMPLE_GRAD_DX, "dx"},
        {OP_LOSS, LOSS_X, "x"},
        {OP_LOSS, LOSS_IN_TARGET, "target"},
        {OP_LOSS, LOSS_WEIGHT, "weight"},
        {OP_LOSS, LOSS_OUT, "out"},
        {OP_LOSS_GRAD, LOSS_GRAD_X, "x"},
        {OP_LOSS_GRAD, LOSS_GRAD_TARGET, "target"},
        {OP_LOSS_GRAD, LOSS_GRAD_WEIGHT, "weight"},
        {OP_LOSS_GRAD, LOSS_GRAD_FACTOR, "factor"},
        {OP_LOSS_GRAD, LOSS_GRAD_DX, "dx"},
        {OP_SQUARE_SUM, SQUARE_SUM_X, "x"},
        {OP_SQUARE_SUM, SQUARE_SUM_OUT, "out"},
        {OP_ADAMW, ADAMW_GRADIENT, "gradient"},
        {OP_ADAMW, ADAMW_TABLE, "table"},
        {OP_ADAMW, ADAMW_STEP, "step"},
        {OP_ADAMW, ADAMW_IN_NORM, "norm"},
        {OP_ADAMW, ADAMW_WEIGHT, "weight"},
        {OP_ADAMW, ADAMW_M, "m"},
        {OP_ADAMW, ADAMW_V, "v"},
        {OP_ADAMW, ADAMW_IN_AVERAGE, "average"},
        {OP_ACCUMULATE, ACCUMULATE_X, "x"},
        {OP_ACCUMULATE, ACCUMULATE_INDEX, "index"},
        {OP_ACCUMULATE, ACCUMULATE_SUM, "sum"},
        {OP_LOSS_SCALE, LOSS_SCALE_IN_SQUARES, "squares"},
        {OP_LOSS_SCALE, LOSS_SCALE_STATE, "state"},
    };
    uint32_t bindings = 0;
    for (uint32_t o = 0; o < OP_COUNT; o++)
        bindings += op_get((op)o)->binding_count;
    assert_int_equal(bindings, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(op_get(rows[i].o)->bindings[rows[i].index].name, rows[i].name);
}

static void test_activations(void **state) {
    (void)state;
    /* Phi(1) = 0.841344746..., Phi(3) = 0.998650101...; sigmoid(1) = 0.731058578...; sigmoid(1.702) =
     * 0.845795765... */
    assert_true(fabs(reference_activation(UNARY_GELU, 1) - 0.8413447460685429) < 1e-15);
    assert_true(fabs(reference_activation(UNARY_GELU, -1) + 0.15865525393145707) < 1e-15);
    assert_true(fabs(reference_activation(UNARY_GELU, 3) - 2.99595030590511) < 1e-13);
    assert_true(fabs(reference_activation(UNARY_SILU, 1) - 0.7310585786300049) < 1e-15);
    assert_true(fabs(reference_activation(UNARY_SILU, -1000)) < 1e-300);
    assert_true(fabs(reference_activation(UNARY_QUICK_GELU, 1) - 0.8457957659328212) < 1e-10);
    assert_true(reference_activation(UNARY_IDENTITY, -2.5) == -2.5);
}

/* [x0 | x1] W^T + bias, + vec per sample, GEGLU, residual; two rows, each of them a sample. */
static void test_linear(void **state) {
    (void)state;
    float x0[] = {1, 2, 3, 4}, x1[] = {5, 6}, weight[] = {1, 10, 100, 2, 0, -1}, bias[] = {0.5f, 1};
    float vec[] = {9, 0, 100, 9, 1000, 2000}, residual[] = {1, 2, 3, 4}, out[4];
    op_params p = {.linear = {.m = 2,
                              .n = 2,
                              .k0 = 2,
                              .k1 = 1,
                              .flags = EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL,
                              .rows_per_sample = 1,
                              .vec_stride = 3,
                              .vec_offset = 1}};
    cpu_call call = {
        .operands = {F32(x0), F32(x1), F32(weight), F32(bias), F32(vec), F32(residual), F32(out)}};
    run(OP_LINEAR, &p, call);
    /* 1 + 20 + 500; 2 - 5; 3 + 40 + 600; 6 - 6 */
    expect(out, (double[]){521 + 0.5 + 0 + 1, -3 + 1 + 100 + 2, 643 + 0.5 + 1000 + 3, 0 + 1 + 2000 + 4}, 4);
    p.linear.flags = EPILOGUE_BIAS | EPILOGUE_GEGLU | EPILOGUE_RESIDUAL;
    p.linear.n = 1;
    run(OP_LINEAR, &p, call);
    /* value 521.5, gate -2: gelu(-2) = -0.04550026389635842; value 643.5, gate 1 */
    expect(out, (double[]){521.5 * -0.04550026389635842 + 1, 643.5 * 0.8413447460685429 + 2}, 2);
}

/* A 3x3 filter of ones over 1 ... 9, padded by 1: sums of neighbourhoods. */
static void test_conv2d_by_hand(void **state) {
    (void)state;
    float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, weight[] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, out[9];
    op_params p = {.conv2d = {.n = 1,
                              .h = 3,
                              .w = 3,
                              .c0 = 1,
                              .cout = 1,
                              .kh = 3,
                              .kw = 3,
                              .stride = 1,
                              .pad_top = 1,
                              .pad_left = 1,
                              .oh = 3,
                              .ow = 3,
                              .rows = 9}};
    cpu_call call = {.operands = {F32(x), {0}, F32(weight), {0}, {0}, {0}, F32(out)}};
    run(OP_CONV2D, &p, call);
    expect(out, (double[]){12, 21, 16, 27, 45, 33, 24, 39, 28}, 9);
    /* Only below and to the right, stride 2, as AutoencoderKL's downsampling: 1+2+4+5+3+6+7+8+9, 3+6+9,
     * 7+8+9, 9 */
    p.conv2d.pad_top = p.conv2d.pad_left = 0;
    p.conv2d.stride = p.conv2d.oh = p.conv2d.ow = 2;
    p.conv2d.rows = 4;
    run(OP_CONV2D, &p, call);
    expect(out, (double[]){45, 18, 24, 9}, 4);
    /* Circular in both directions: every neighbourhood is the whole picture. */
    p.conv2d.pad_top = p.conv2d.pad_left = p.conv2d.stride = 1;
    p.conv2d.oh = p.conv2d.ow = 3;
    p.conv2d.rows = 9;
    p.conv2d.flags = CONV_WRAP_X | CONV_WRAP_Y;
    run(OP_CONV2D, &p, call);
    expect(out, (double[]){45, 45, 45, 45, 45, 45, 45, 45, 45}, 9);
    /* A window: the last line alone, with bindings that begin at the line above and at the line itself. */
    p.conv2d.flags = 0;
    p.conv2d.row0 = 6;
    p.conv2d.rows = 3;
    p.conv2d.x0_base = 3;
    p.conv2d.out_base = 6;
    call.operands[CONV2D_X0].data = x + 3;
    run(OP_CONV2D, &p, call);
    expect(out, (double[]){24, 39, 28}, 3);
}

/* The concatenated, enlarged and padded picture of one sample, [height][width][c], written out. */
static double *pad_picture(const conv2d_params *p, const float *x0, const float *x1, uint32_t sample,
                           uint32_t height, uint32_t width) {
    uint32_t scale = p->flags & CONV_UPSAMPLE2 ? 2 : 1, c = p->c0 + p->c1;
    double *picture = calloc((size_t)height * width * c, sizeof *picture);
    assert_non_null(picture);
    for (uint32_t y = 0; y < p->h; y++) {
        for (uint32_t x = 0; x < p->w; x++) {
            for (uint32_t i = 0; i < c; i++) {
                uint32_t pixel = (sample * p->h + y) * p->w + x;
                double value =
                    i < p->c0 ? (double)x0[pixel * p->c0 + i] : (double)x1[pixel * p->c1 + i - p->c0];
                for (uint32_t copy = 0; copy < scale * scale; copy++) {
                    uint32_t to_y = p->pad_top + y * scale + copy / scale,
                             to_x = p->pad_left + x * scale + copy % scale;
                    if (to_y < height && to_x < width) picture[(to_y * width + to_x) * c + i] = value;
                }
            }
        }
    }
    return picture;
}

static void check_conv2d(const ops_case *c) {
    const conv2d_params *p = &c->params.conv2d;
    uint32_t height = (p->oh - 1) * p->stride + p->kh, width = (p->ow - 1) * p->stride + p->kw,
             channels = p->c0 + p->c1;
    float *data[OP_MAX_BINDINGS] = {NULL};
    cpu_call call = {0};
    for (uint32_t i = 0; i < op_get(OP_CONV2D)->binding_count; i++) {
        if (c->elements[i] == 0) continue;
        uint64_t whole =
            (uint64_t)p->n * p->h * p->w * (i == CONV2D_X1 ? p->c1 : p->c0); /* also what no tap reads */
        data[i] = calloc(i <= CONV2D_X1 ? whole : c->elements[i], sizeof(float));
        assert_non_null(data[i]);
        ops_case_fill(c, i, data[i]);
        call.operands[i] = F32(data[i]);
    }
    run(OP_CONV2D, &c->params, call);
    for (uint32_t sample = 0; sample < p->n; sample++) {
        double *picture = pad_picture(p, data[CONV2D_X0], data[CONV2D_X1], sample, height, width);
        for (uint32_t i = 0; i < p->oh * p->ow * p->cout; i++) {
            uint32_t o = i % p->cout, ox = i / p->cout % p->ow, oy = i / p->cout / p->ow;
            double sum = data[CONV2D_BIAS] ? (double)data[CONV2D_BIAS][o] : 0;
            for (uint32_t k = 0; k < p->kh * p->kw * channels; k++) {
                uint32_t y = oy * p->stride + k / channels / p->kw, x = ox * p->stride + k / channels % p->kw;
                sum += (double)data[CONV2D_WEIGHT][o * p->kh * p->kw * channels + k] *
                       picture[(y * width + x) * channels + k % channels];
            }
            float found = data[CONV2D_OUT][sample * p->oh * p->ow * p->cout + i];
            if (!(fabs((double)found - sum) <= 1e-6 * fmax(1, fabs(sum))))
                fail_msg("case %u, sample %u, element %u is %.9g, expected %.9g", c->index, sample, i,
                         (double)found, sum);
        }
        free(picture);
    }
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++)
        free(data[i]);
}

/* Concat, strides, one-sided padding and enlarging against the second formulation. */
static void test_conv2d_random(void **state) {
    (void)state;
    uint32_t checked = 0;
    for (uint32_t i = 0; i < 120; i++) {
        ops_case c;
        ops_case_make(OP_CONV2D, i, DTYPE_F32, DTYPE_F32, &c);
        if (c.params.conv2d.rows != c.params.conv2d.n * c.params.conv2d.oh * c.params.conv2d.ow) continue;
        c.params.conv2d.flags &= EPILOGUE_BIAS | CONV_UPSAMPLE2;
        if (!ops_case_complete(&c)) continue;
        check_conv2d(&c);
        checked++;
    }
    assert_in_range(checked, 40, 120);
}

static void test_attention(void **state) {
    (void)state;
    /* scores of the second query: 0 and ln 3, so its weights are 1/4 and 3/4 */
    float q[] = {5, logf(3)}, k[] = {0, 1}, v[] = {10, 20}, out[2];
    op_params p = {.attention = {.batch = 1,
                                 .heads = 1,
                                 .d = 1,
                                 .lq = 2,
                                 .lk = 2,
                                 .q_stride = 1,
                                 .k_stride = 1,
                                 .v_stride = 1,
                                 .o_stride = 1,
                                 .flags = ATTENTION_CAUSAL,
                                 .scale = 1}};
    cpu_call call = {.operands = {F32(q), F32(k), F32(v), F32(out)}};
    run(OP_ATTENTION, &p, call);
    expect(out, (double[]){10, 17.5}, 2);
    p.attention.flags = 0;
    p.attention.scale = 2; /* weights of the second: 1/10, 9/10 */
    run(OP_ATTENTION, &p, call);
    expect(out, (double[]){10 / (1 + exp(10)) + 20 / (1 + exp(-10)), 19}, 2);
    /* Two heads of size 1 in rows that hold q, k and v side by side: {q0 q1 k0 k1 v0 v1}; one key, so out =
     * v. */
    float packed[] = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6}, both[4];
    op_params packed_p = {.attention = {.batch = 2,
                                        .heads = 2,
                                        .d = 1,
                                        .lq = 1,
                                        .lk = 1,
                                        .q_stride = 6,
                                        .k_stride = 6,
                                        .v_stride = 6,
                                        .o_stride = 2,
                                        .k_offset = 2,
                                        .v_offset = 4,
                                        .scale = 1}};
    cpu_call packed_call = {.operands = {F32(packed), F32(packed), F32(packed), F32(both)}};
    run(OP_ATTENTION, &packed_p, packed_call);
    expect(both, (double[]){5, 6, -5, -6}, 4);
}

/* Two groups over channels {1 | 3 5 7}: the first group spans both sources. Three rows in chunks of two. */
static void test_group_norm(void **state) {
    (void)state;
    float x0[] = {1, 2, 3}, x1[] = {3, 10, 30, 4, 20, 60, 5, 30, 90}, partial[8], out[12];
    float gamma[] = {1, 2, 1, 1}, beta[] = {0, 1, 0, 0};
    op_params s = {.group_norm_stats = {.n = 1,
                                        .hw = 3,
                                        .c0 = 1,
                                        .c1 = 3,
                                        .groups = 2,
                                        .chunks = 2,
                                        .rows_per_chunk = 2,
                                        .chunk_count = 2}};
    run(OP_GROUP_NORM_STATS, &s, (cpu_call){.operands = {F32(x0), F32(x1), F32(partial)}});
    /* {1 3 2 4}: mean 2.5, squares 5; {10 30 20 60}: mean 30, squares 1400; {3 5}: 4, 2; {30 90}: 60, 1800 */
    expect(partial, (double[]){2.5, 5, 30, 1400, 4, 2, 60, 1800}, 8);
    op_params p = {.group_norm = {.n = 1,
                                  .hw = 3,
                                  .c0 = 1,
                                  .c1 = 3,
                                  .groups = 2,
                                  .chunks = 2,
                                  .rows_per_chunk = 2,
                                  .eps = 0.25f,
                                  .rows = 3}};
    run(OP_GROUP_NORM, &p,
        (cpu_call){.operands = {F32(x0), F32(x1), F32(partial), F32(gamma), F32(beta), F32(out)}});
    /* {1 3 2 4 3 5}: mean 3, variance 10/6; {10 30 20 60 30 90}: mean 40, variance
     * (900+100+400+400+100+2500)/6 */
    double a = 1 / sqrt(10.0 / 6 + 0.25), b = 1 / sqrt(4400.0 / 6 + 0.25);
    expect(out,
           (double[]){-2 * a, 1, -30 * b, -10 * b, -a, 2 * a + 1, -20 * b, 20 * b, 0, 4 * a + 1, -10 * b,
                      50 * b},
           12);
    p.group_norm.flags = NORM_SILU;
    run(OP_GROUP_NORM, &p,
        (cpu_call){.operands = {F32(x0), F32(x1), F32(partial), F32(gamma), F32(beta), F32(out)}});
    expect(out, (double[]){-2 * a / (1 + exp(2 * a)), 0.7310585786300049}, 2);
}

static void test_layer_norm(void **state) {
    (void)state;
    float x[] = {1, 2, 3, 10, 10, 10}, gamma[] = {1, 1, 2}, beta[] = {0, 5, 0}, out[6];
    op_params p = {.layer_norm = {.rows = 2, .c = 3, .eps = 1.0f}};
    run(OP_LAYER_NORM, &p, (cpu_call){.operands = {F32(x), F32(gamma), F32(beta), F32(out)}});
    double scale = 1 / sqrt(2.0 / 3 + 1);
    expect(out, (double[]){-scale, 5, 2 * scale, 0, 5, 0}, 6);
}

static void test_elementwise(void **state) {
    (void)state;
    float a[] = {1, 2, 3, 4}, b[] = {10, 20}, out[8];
    op_params p = {.binary = {.count = 4, .b_count = 2, .kind = BINARY_ADD, .a_scale = 2, .b_scale = -1}};
    run(OP_BINARY, &p, (cpu_call){.operands = {F32(a), F32(b), F32(out)}});
    expect(out, (double[]){-8, -16, -4, -12}, 4);
    p.binary.kind = BINARY_MUL;
    run(OP_BINARY, &p, (cpu_call){.operands = {F32(a), F32(b), F32(out)}});
    expect(out, (double[]){10, 40, 30, 80}, 4);
    op_params unary = {.unary = {.count = 4, .kind = UNARY_IDENTITY, .scale = 3, .shift = -1}};
    run(OP_UNARY, &unary, (cpu_call){.operands = {F32(a), F32(out)}});
    expect(out, (double[]){2, 5, 8, 11}, 4);
    op_params geglu = {.geglu = {.rows = 2, .c = 1}};
    run(OP_GEGLU, &geglu, (cpu_call){.operands = {F32(a), F32(out)}});
    expect(out, (double[]){2 * 0.9772498680518208, 3 * 4 * 0.9999683287581669}, 2);
    float t[] = {1};
    op_params embedding = {.timestep_embedding = {.rows = 1, .dim = 5, .max_period = 10000, .scale = 1}};
    run(OP_TIMESTEP_EMBEDDING, &embedding, (cpu_call){.operands = {F32(t), F32(out)}});
    expect(out, (double[]){sin(1), sin(0.01), cos(1), cos(0.01), 0}, 5);
    embedding.timestep_embedding.flags = TIMESTEP_FLIP;
    embedding.timestep_embedding.shift = 1; /* frequencies 1 and 1/10000 */
    run(OP_TIMESTEP_EMBEDDING, &embedding, (cpu_call){.operands = {F32(t), F32(out)}});
    expect(out, (double[]){cos(1), cos(0.0001), sin(1), sin(0.0001), 0}, 5);
}

static void test_rows(void **state) {
    (void)state;
    float x[] = {1, 2, 3, 4, 5, 6}, y[] = {7, 8}, out[16];
    op_params concat = {.concat = {.rows = 2, .c0 = 3, .c1 = 1}};
    run(OP_CONCAT, &concat, (cpu_call){.operands = {F32(x), F32(y), F32(out)}});
    expect(out, (double[]){1, 2, 3, 7, 4, 5, 6, 8}, 8);
    op_params slice = {.slice = {.rows = 2, .x_c = 3, .offset = 1, .c = 2}};
    run(OP_SLICE, &slice, (cpu_call){.operands = {F32(x), F32(out)}});
    expect(out, (double[]){2, 3, 5, 6}, 4);
    op_params upsample = {.upsample = {.n = 1, .h = 2, .w = 1, .c = 2}};
    run(OP_UPSAMPLE, &upsample, (cpu_call){.operands = {F32(x), F32(out)}});
    expect(out, (double[]){1, 2, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4}, 16);
    float fine[] = {11, 12, 13, 14, 21, 22, 23, 24}; /* two rows of four pixels */
    op_params shuffle = {.pixel_shuffle = {.n = 1, .h = 1, .w = 2, .c = 1, .block = 2, .inverse = 1}};
    run(OP_PIXEL_SHUFFLE, &shuffle, (cpu_call){.operands = {F32(fine), F32(out)}});
    expect(out, (double[]){11, 12, 21, 22, 13, 14, 23, 24}, 8);
    shuffle.pixel_shuffle.inverse = 0;
    memcpy(fine, out, sizeof fine);
    run(OP_PIXEL_SHUFFLE, &shuffle, (cpu_call){.operands = {F32(fine), F32(out)}});
    expect(out, (double[]){11, 12, 13, 14, 21, 22, 23, 24}, 8);
    uint32_t ids[] = {1, 7, 0, 2};
    op_params embedding = {.embedding = {.rows = 4, .c = 2, .vocabulary = 3, .length = 2, .table_rows = 3}};
    float positions[] = {10, 20, 30, 40};
    run(OP_EMBEDDING, &embedding, (cpu_call){.operands = {U32(ids), F32(x), F32(positions), F32(out)}});
    expect(out, (double[]){13, 24, 31, 42, 11, 22, 35, 46}, 8);
    embedding.embedding.table_first = embedding.embedding.table_rows = 1; /* only id 1 is in this window */
    float none[] = {-1, -1};
    memcpy(out + 2, none, sizeof none);
    run(OP_EMBEDDING, &embedding, (cpu_call){.operands = {U32(ids), F32(x + 2), F32(positions), F32(out)}});
    expect(out, (double[]){13, 24, -1, -1, 11, 22, 35, 46}, 8);
    uint32_t index[] = {1, 99};
    op_params gather = {.gather_rows = {.rows = 2, .c = 2, .block = 1, .x_rows = 3}};
    run(OP_GATHER_ROWS, &gather, (cpu_call){.operands = {F32(x), U32(index), F32(out)}});
    expect(out, (double[]){3, 4, 5, 6}, 4);
    gather.gather_rows = (gather_rows_params){.rows = 2, .c = 1, .block = 2, .x_rows = 6};
    run(OP_GATHER_ROWS, &gather, (cpu_call){.operands = {F32(x), U32(index), F32(out)}});
    expect(out, (double[]){3, 4}, 2);
}

static void test_sampler(void **state) {
    (void)state;
    float slots[] = {1, 2, 10, 20}, table[2 * 128] = {0}, out[6], extra[] = {7}, noise[] = {100, 200};
    float model[] = {1, 2, 3, 6};
    uint32_t step[] = {9}; /* beyond the table: its last row, 1 */
    float *row = table + 128;
    row[8] = 2, row[9] = 1;                  /* input = 2 slot0 + slot1 */
    row[16] = 1, row[1] = 2, row[2] = 12;    /* d = slot0 + 2 m, clamped to 12 */
    row[24] = 1.5f, row[6] = 0, row[7] = -1; /* guidance 1.5; noise1 is array 0, noise2 none */
    row[32] = 1, row[33] = 1, row[38] = 3;   /* slot0' = slot0 + slot1 + 3 d + 0.5 noise1 + 1000 noise2 */
    row[40] = 0.5f, row[41] = 1000;
    row[48] = 4, row[55] = 1; /* slot1' = 4 slot0 + m */
    op_params in = {
        .sampler_input = {.pixels = 1, .c = 2, .extra_c = 1, .repeat = 2, .slots = 2, .calls = 2}};
    run(OP_SAMPLER_INPUT, &in,
        (cpu_call){.operands = {F32(slots), F32(table), U32(step), F32(extra), F32(out)}});
    expect(out, (double[]){12, 24, 7, 12, 24, 7}, 6);
    op_params up = {.sampler_update = {.count = 2, .repeat = 2, .slots = 2, .calls = 2, .noise_rows = 1}};
    run(OP_SAMPLER_UPDATE, &up,
        (cpu_call){.operands = {F32(model), F32(table), U32(step), F32(noise), F32(slots)}});
    /* m = 1 + 1.5 * 2 = 4 and 2 + 1.5 * 4 = 8; d = 1 + 8 = 9 and 2 + 16 = 18, clamped to 12 */
    expect(slots, (double[]){11 + 27 + 50, 22 + 36 + 100, 8, 16}, 4);
    op_params advance = {.step_advance = {0}};
    run(OP_STEP_ADVANCE, &advance, (cpu_call){.operands = {U32(step)}});
    assert_int_equal(step[0], 10);
}

/* u = (1, 3), c = (2, 6): guidance 2 gives (3, 9), whose deviation 3 is to become halfway c's 2. */
static void test_guidance(void **state) {
    (void)state;
    float model[] = {1, 3, 2, 6}, table[128] = {0}, out[2], slots[] = {10, 20, 1, 2}, known[] = {100, 50},
          mask[] = {1, 0.25f};
    uint32_t step[] = {0};
    table[1] = 2, table[16] = 1, table[17] = 3, table[24] = 2; /* d = slot0 + 3 slot1 + 2 m */
    op_params p = {
        .guidance = {.samples = 1, .count = 2, .repeat = 2, .slots = 2, .calls = 1, .rescale = 0.5f}};
    run(OP_GUIDANCE, &p,
        (cpu_call){.operands = {F32(model), F32(table), U32(step), [GUIDANCE_OUT] = F32(out)}});
    double factor = 0.5 * 2 / 3 + 0.5;
    expect(out, (double[]){3 * factor, 9 * factor}, 2);
    p.guidance.rescale = 0;
    p.guidance.masked = 1;
    run(OP_GUIDANCE, &p,
        (cpu_call){
            .operands = {F32(model), F32(table), U32(step), F32(slots), F32(known), F32(mask), F32(out)}});
    /* the second is 1/4 of 9 and 3/4 of that m with 20 + 3 * 2 + 2 m = 50 */
    expect(out, (double[]){3, 0.25 * 9 + 0.75 * 12}, 2);
}

/* Half-precision operands are rounded on store: 1 + 2^-11 lies between two halves, the even one is 1. */
static void test_rounding(void **state) {
    (void)state;
    float x[] = {1.00048828125f, 3.0009765625f};
    uint16_t out[2];
    op_params p = {.unary = {.count = 2, .kind = UNARY_IDENTITY, .scale = 1}};
    run(OP_UNARY, &p, (cpu_call){.operands = {F32(x), {out, DTYPE_F16}}});
    assert_int_equal(out[0], f16_from_f32(1.0f));
    assert_int_equal(out[1], f16_from_f32(3.0009765625f));
    run(OP_UNARY, &p, (cpu_call){.operands = {F32(x), {out, DTYPE_BF16}}});
    assert_int_equal(out[0], 0x3f80);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bindings),      cmocka_unit_test(test_activations),
        cmocka_unit_test(test_linear),        cmocka_unit_test(test_conv2d_by_hand),
        cmocka_unit_test(test_conv2d_random), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_group_norm),    cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_elementwise),   cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sampler),       cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
