/* What each dispatch is told: one list of 32-bit words per op, read by C (runtime/plan/op.h makes structs of them) and by GLSL
 * (params.glsl makes push constant blocks of them), so that both sides cannot drift apart. At most 128 bytes each: the
 * smallest push constant space that Vulkan guarantees.
 *
 * U(name) is an unsigned word, F(name) a float. `first` always comes first: the index of the first workgroup of this launch.
 * Plans hold 0 there; an executor that cuts one dispatch into several launches sets it.
 *
 * Layout of every activation is NHWC: [n][h][w][c], dense; "rows" means n*h*w. Sizes count elements. */
#ifndef MZT_PARAMS_H
#define MZT_PARAMS_H

/* -- linear: out[m][n] = epilogue( [x0 | x1][m][k0 + k1] * weight[n][k0 + k1]^T ), also every 1x1 convolution of stride 1.
 * With EPILOGUE_GEGLU weight and bias have 2n rows: value rows first, then gate rows; out = value * gelu(gate).
 * vec is [samples][vec_stride]: row r adds vec[(r / rows_per_sample) * vec_stride + vec_offset + column]
 * (vec_stride 0: one row for all samples). */
#define MZT_PARAMS_LINEAR(U, F)                                                                                        \
    U(first) U(m) U(n) U(k0) U(k1) U(flags) U(rows_per_sample) U(vec_stride) U(vec_offset)

/* -- conv2d: source [n][h][w][c0 | c1], weight [cout][kh][kw][c0 + c1] (tap-major), out [n][oh][ow][cout].
 * With CONV_UPSAMPLE2 the convolution reads the source as if enlarged x2 by nearest neighbour, and pads around that; h and w
 * stay the sizes before enlarging. Only output pixels row0 ... row0 + rows - 1 of the n*oh*ow are computed. The *_base words
 * are subtracted from element indices, for bindings that show only a window of a large buffer
 * (out_base serves `residual` too). vec is as in linear, with rows_per_sample = oh*ow. */
#define MZT_PARAMS_CONV2D(U, F)                                                                                        \
    U(first) U(n) U(h) U(w) U(c0) U(c1) U(cout) U(kh) U(kw) U(stride) U(pad_top) U(pad_left) U(oh) U(ow) U(flags)      \
    U(vec_stride) U(vec_offset) U(row0) U(rows) U(x0_base) U(x1_base) U(out_base)

/* -- attention: for each of batch x heads: out = softmax(scale * q k^T) v, with lq queries, lk keys, head size d.
 * Element (sample b, position l, head, i) of q is q[(b*lq + l) * q_stride + q_offset + head*d + i]; k and v use lk; out uses
 * lq, o_stride and offset 0. ATTENTION_CAUSAL: key j is visible to query i only when j <= i. */
#define MZT_PARAMS_ATTENTION(U, F)                                                                                     \
    U(first) U(batch) U(heads) U(d) U(lq) U(lk) U(q_stride) U(k_stride) U(v_stride) U(o_stride) U(q_offset)            \
    U(k_offset) U(v_offset) U(flags) F(scale)

/* -- group_norm_stats: source [n][hw][c0 | c1] cut into `chunks` runs of rows_per_chunk rows a sample (the last may be
 * shorter); out f32 [n][chunks][groups][2]: mean, and sum of squared distances to that mean, of each group in each chunk.
 * Only chunks chunk0 ... chunk0 + chunk_count - 1 of the n*chunks are computed (all: 0 and n*chunks). The *_base words are
 * subtracted from element indices, as in conv2d; `partial` is always bound whole. */
#define MZT_PARAMS_GROUP_NORM_STATS(U, F)                                                                              \
    U(first) U(n) U(hw) U(c0) U(c1) U(groups) U(chunks) U(rows_per_chunk) U(chunk0) U(chunk_count) U(x0_base) U(x1_base)

/* -- group_norm: joins those partial results (Chan's formula) and writes [n][hw][c0 + c1]:
 * (x - mean) / sqrt(variance + eps) * gamma + beta, then SiLU if NORM_SILU. Only rows row0 ... row0 + rows - 1 of the n*hw
 * are written (all: 0 and n*hw). The *_base words are subtracted from element indices, as in conv2d. */
#define MZT_PARAMS_GROUP_NORM(U, F)                                                                                    \
    U(first) U(n) U(hw) U(c0) U(c1) U(groups) U(chunks) U(rows_per_chunk) U(flags) F(eps) U(row0) U(rows) U(x0_base)   \
    U(x1_base) U(out_base)

/* -- layer_norm: each row of c. */
#define MZT_PARAMS_LAYER_NORM(U, F) U(first) U(rows) U(c) F(eps)

/* -- unary: out = f(scale * x + shift), f by `kind` (UNARY_*). Input and output types may differ: this is also the cast. */
#define MZT_PARAMS_UNARY(U, F) U(first) U(count) U(kind) F(scale) F(shift)

/* -- binary: out[i] = a_scale*a[i] + b_scale*b[i % b_count] (BINARY_ADD), or a[i] * b[i % b_count] (BINARY_MUL). */
#define MZT_PARAMS_BINARY(U, F) U(first) U(count) U(b_count) U(kind) F(a_scale) F(b_scale)

/* -- geglu: out[rows][c] = x[rows][0 ... c - 1] * gelu(x[rows][c ... 2c - 1]), rows of x being 2c long. */
#define MZT_PARAMS_GEGLU(U, F) U(first) U(rows) U(c)

/* -- concat: out[rows][c0 + c1] = [x0 | x1]. */
#define MZT_PARAMS_CONCAT(U, F) U(first) U(rows) U(c0) U(c1)

/* -- slice: out[rows][c] = x[rows][offset ... offset + c - 1], rows of x being x_c long. */
#define MZT_PARAMS_SLICE(U, F) U(first) U(rows) U(x_c) U(offset) U(c)

/* -- upsample: nearest neighbour x2: [n][h][w][c] to [n][2h][2w][c]. */
#define MZT_PARAMS_UPSAMPLE(U, F) U(first) U(n) U(h) U(w) U(c)

/* -- embedding: out[r] = table[ids[r]] + positions[r % length]; ids at or above `vocabulary` read row 0. length 0: no
 * positions. The table's binding begins at row table_first and shows table_rows rows (all: 0 and vocabulary); output rows whose
 * id lies outside that window are left untouched, so that a table larger than a binding may be is read in several dispatches. */
#define MZT_PARAMS_EMBEDDING(U, F)                                                                                     \
    U(first) U(rows) U(c) U(vocabulary) U(length) U(table_first) U(table_rows)

/* -- timestep_embedding: t f32 [rows] to [rows][dim], half = dim / 2:
 * f_i = exp(-log(max_period) * i / (half - shift)); [sin(scale t f) | cos(scale t f)], or cosine first with
 * TIMESTEP_FLIP. An odd dim ends in a zero. */
#define MZT_PARAMS_TIMESTEP_EMBEDDING(U, F) U(first) U(rows) U(dim) U(flags) F(shift) F(max_period) F(scale)

/* -- gather_rows: out[r] = x[index[r / block] * block + r % block], rows of c; an index beyond x reads the last block. */
#define MZT_PARAMS_GATHER_ROWS(U, F) U(first) U(rows) U(c) U(block) U(x_rows)

/* -- sampler_input: the network's input of this call. Slots f32 [slots][count], count = pixels * c. For each of
 * `repeat` copies: out[copy][pixel][c + extra_c] = [ sum_j row.in[j] * slot_j | extra[pixel][extra_c] ]. The row is
 * table[min(step[0], calls - 1)]; the table is f32 [calls][128]; slots that are not there (slots ... 5) count as zero. */
#define MZT_PARAMS_SAMPLER_INPUT(U, F) U(first) U(pixels) U(c) U(extra_c) U(repeat) U(slots) U(calls)

/* -- sampler_update: model output [repeat][count] (with repeat 2: unconditional half first), guidance, then the linear
 * update of all slots by table[min(step[0], calls - 1)] (see src/sample/program.h). noise f32 [noise_rows][count]; a row that
 * names a noise outside of 0 ... noise_rows - 1 gets none. */
#define MZT_PARAMS_SAMPLER_UPDATE(U, F) U(first) U(count) U(repeat) U(slots) U(calls) U(noise_rows)

/* -- step_advance: step[0] += 1. */
#define MZT_PARAMS_STEP_ADVANCE(U, F) U(first)

/* Flags of linear and conv2d: v = sum + bias + vec; v = activation(v); v += residual. */
#define EPILOGUE_BIAS       1u
#define EPILOGUE_VEC        2u
#define EPILOGUE_RESIDUAL   4u
#define EPILOGUE_SILU       8u
#define EPILOGUE_GELU       16u
#define EPILOGUE_QUICK_GELU 32u
#define EPILOGUE_GEGLU      64u
#define CONV_UPSAMPLE2      256u
#define CONV_WRAP_X         512u  /* circular padding, for tileable pictures */
#define CONV_WRAP_Y         1024u

#define ATTENTION_CAUSAL 1u
#define NORM_SILU        1u
#define TIMESTEP_FLIP    1u

#define UNARY_IDENTITY   0u
#define UNARY_SILU       1u
#define UNARY_GELU       2u  /* exact: x * (1 + erf(x / sqrt 2)) / 2 */
#define UNARY_QUICK_GELU 3u  /* x * sigmoid(1.702 x) */

/* The most slots, and the floats in a row of the sampler's table. */
#define SAMPLER_MAX_SLOTS   6u
#define SAMPLER_ROW_LENGTH  128u

#define BINARY_ADD 0u
#define BINARY_MUL 1u

#endif
