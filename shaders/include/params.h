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

/* -- pixel_shuffle: depth to space, x [n][h][w][block*block*c] to out [n][h*block][w*block][c]; channel (i*block + j)*c + k of a
 * coarse pixel is channel k of the fine one in its row i and column j (ONNX's DepthToSpace in mode DCR, but NHWC). With
 * `inverse` 1 space to depth: x is the fine picture and out the coarse one. */
#define MZT_PARAMS_PIXEL_SHUFFLE(U, F) U(first) U(n) U(h) U(w) U(c) U(block) U(inverse)

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

/* -- guidance: model output [repeat][samples][count] to the m that sampler_update is given with repeat 1, by
 * row = table[min(step[0], calls - 1)]: m = u + row.guidance * (c - u) (repeat 2), then m *= rescale * std(c) / std(m) + 1 -
 * rescale for each sample (Lin et al. 2023, arXiv 2305.08891; nothing happens where std(m) is 0 or rescale is 0). With
 * `masked`, m = mask * m + (1 - mask) * k, where k is the output for which the clean estimate is `known`: k = (known -
 * sum_j row.p[j] * slot_j) / row.q; rows of q 0 are left alone. known and mask are [samples][count], slots f32
 * [slots][samples][count]. */
#define MZT_PARAMS_GUIDANCE(U, F)                                                                                      \
    U(first) U(samples) U(count) U(repeat) U(slots) U(calls) U(masked) F(rescale)

/* ------------------------------------------------------------------------------------------------- training --
 * d<name> is the gradient of the loss in <name>. Sums over many rows are made in `splits` parts, which a reduce_sum adds up
 * afterwards in their order: no atomics, so every run gives the same bits. Part s of rows_per_split rows holds rows
 * s*rows_per_split ... (s+1)*rows_per_split - 1; the last may be shorter, and splits = rows / rows_per_split, rounded up. */

/* -- transpose_weight: weight [o][kh][kw][i] to out [i][kh][kw][o], the filter turned by 180 degrees:
 * out[a][y][x][b] = weight[b][kh - 1 - y][kw - 1 - x][a]. A matrix [o][i] has kh = kw = 1. With it the input gradient of a
 * linear layer is a linear layer, and that of a convolution a convolution of the (dilated) output gradient. */
#define MZT_PARAMS_TRANSPOSE_WEIGHT(U, F) U(first) U(o) U(kh) U(kw) U(i)

/* -- dilate: x [n][h][w][c] to out [n][oh][ow][c]: out[.][top + stride*y][left + stride*x] = x[.][y][x], zero elsewhere. For
 * input gradients of strided convolutions (zeros between), of slices and of croppings (zeros around). */
#define MZT_PARAMS_DILATE(U, F) U(first) U(n) U(h) U(w) U(c) U(stride) U(oh) U(ow) U(top) U(left)

/* -- weight_grad: x [n][h][w][c], dy [n][oh][ow][cout] to out f32 [splits][cout][kh][kw][c]:
 * out[s][o][r][t][i] = sum over the output pixels (b, y, z) of part s (of the n*oh*ow) of
 * dy[b][y][z][o] * x[b][y*stride + r - pad_top][z*stride + t - pad_left][i], x being zero outside, or repeating with
 * CONV_WRAP_X, CONV_WRAP_Y. A linear layer of m rows is n = h = oh = kh = kw = stride = 1, w = ow = m. */
#define MZT_PARAMS_WEIGHT_GRAD(U, F)                                                                                   \
    U(first) U(n) U(h) U(w) U(c) U(cout) U(kh) U(kw) U(stride) U(pad_top) U(pad_left) U(oh) U(ow) U(flags) U(splits)   \
    U(rows_per_split)

/* -- column_sum: x [samples][rows][c] to out f32 [splits][out_samples][c]: out[s][sample0 + b][i] = sum of x[b][r][i] over the
 * rows r of part s (of the `rows` of one sample). Gradients of biases (samples 1), of vec, and of operands that were repeated.
 * Only where a dispatch was cut by samples is out_samples larger than samples, and sample0 not 0; `out` is then bound whole. */
#define MZT_PARAMS_COLUMN_SUM(U, F)                                                                                    \
    U(first) U(samples) U(rows) U(c) U(splits) U(rows_per_split) U(out_samples) U(sample0)

/* -- reduce_sum: out[i] = scale * sum over p < parts of x[p*stride + offset + i], for i < count; in f32, p ascending. */
#define MZT_PARAMS_REDUCE_SUM(U, F) U(first) U(parts) U(count) U(stride) U(offset) F(scale)

/* -- unary_grad: dx = scale * f'(scale * x + shift) * dy, f by `kind` (UNARY_*). */
#define MZT_PARAMS_UNARY_GRAD(U, F) U(first) U(count) U(kind) F(scale) F(shift)

/* -- geglu_grad: x [rows][value c | gate c], dy [rows][c] to dx [rows][2c] = [dy * gelu(gate) | dy * value * gelu'(gate)],
 * gelu'(z) = (1 + erf(z / sqrt 2)) / 2 + z * exp(-z^2 / 2) / sqrt(2 pi). */
#define MZT_PARAMS_GEGLU_GRAD(U, F) U(first) U(rows) U(c)

/* -- layer_norm_grad: with xh = (x - mean) * r, r = 1 / sqrt(variance + eps) and g = dy * gamma of one row of c:
 * dx = r * (g - sum(g) / c - xh * sum(g * xh) / c). */
#define MZT_PARAMS_LAYER_NORM_GRAD(U, F) U(first) U(rows) U(c) F(eps)

/* -- layer_norm_param_grad: x, dy [rows][c] to out f32 [splits][2][c]: sum over the rows of a part of dy (first half: dbeta)
 * and of dy * xh (second half: dgamma), xh as above. */
#define MZT_PARAMS_LAYER_NORM_PARAM_GRAD(U, F) U(first) U(rows) U(c) U(splits) U(rows_per_split) F(eps)

/* -- group_norm_grad_stats: x, dy [n][hw][c] and `partial`, the statistics of the forward pass ([n][chunks][groups][2], see
 * group_norm_stats), to out f32 [chunks][n][2][c]: sum over the rows of a chunk of a sample of dy, and of dy * xh with
 * xh = (x - mean) * r, mean and r = 1 / sqrt(variance + eps) those of the sample's group (all chunks joined). out is
 * [chunks][out_samples][2][c], of which samples sample0 ... sample0 + n - 1 are written, as in column_sum. */
#define MZT_PARAMS_GROUP_NORM_GRAD_STATS(U, F)                                                                         \
    U(first) U(n) U(hw) U(c) U(groups) U(chunks) U(rows_per_chunk) F(eps) U(out_samples) U(sample0)

/* -- group_norm_grad: sums f32 [n][2][c] are those results added over the chunks. With m = hw * c / groups elements in a group,
 * a = sum over the group's channels of gamma * sums[.][0], b = the same of sums[.][1]:
 * dx [n][hw][c] = r * (gamma * dy - (a + xh * b) / m). */
#define MZT_PARAMS_GROUP_NORM_GRAD(U, F) U(first) U(n) U(hw) U(c) U(groups) U(chunks) U(rows_per_chunk) F(eps)

/* -- attention_stats: q [batch][lq][heads*d], k [batch][lk][heads*d], out and dout like q, to stats f32
 * [batch][heads][lq][2]: log(sum over the visible keys j of exp(scale * q . k_j)), and dout . out, of each query and head. */
#define MZT_PARAMS_ATTENTION_STATS(U, F) U(first) U(batch) U(heads) U(d) U(lq) U(lk) U(flags) F(scale)

/* -- attention_grad: one of three gradients by `kind`, from q, k, v, dout and stats (l_i, e_i) as above. With
 * p_ij = exp(scale * q_i . k_j - l_i) for visible keys, else 0, and s_ij = p_ij * (dout_i . v_j - e_i), per sample and head:
 * ATTENTION_GRAD_Q: dq_i = scale * sum_j s_ij k_j, [batch][lq][heads*d]; ATTENTION_GRAD_K: dk_j = scale * sum_i s_ij q_i,
 * ATTENTION_GRAD_V: dv_j = sum_i p_ij dout_i, both [batch][lk][heads*d]. */
#define MZT_PARAMS_ATTENTION_GRAD(U, F) U(first) U(batch) U(heads) U(d) U(lq) U(lk) U(kind) U(flags) F(scale)

/* -- gather_rows_grad: dy [rows][c] to dx f32 [x_rows][c]: row b*block + j of dx is the sum, by ascending r, of the rows
 * dy[r*block + j] for which index[r] is b; an index beyond the blocks of x counts as block `beyond`. Embeddings have
 * block 1 and beyond 0; gather_rows has beyond = x_rows / block - 1. Only blocks block0 ... block0 + blocks - 1 are made (all:
 * 0 and x_rows / block), and the binding of dx begins with the first of them. */
#define MZT_PARAMS_GATHER_ROWS_GRAD(U, F) U(first) U(rows) U(c) U(block) U(x_rows) U(beyond) U(block0) U(blocks)

/* -- upsample_grad: dy [n][2h][2w][c] to dx [n][h][w][c], sums of 2x2. */
#define MZT_PARAMS_UPSAMPLE_GRAD(U, F) U(first) U(n) U(h) U(w) U(c)

/* -- loss: out f32: out[out_first + p] = scale * sum over elements i of part p (p*per_part ... ) of
 * weight[(weight_first + i) / weight_each] * f(x[i] - target[i]), for p < parts = count / per_part, rounded up.
 * weight_each 0: no weights; without a target (LOSS_TARGET not set) target is 0. out_first and weight_first are 0 but for the
 * later pieces of a dispatch that was cut: out and weight are bound whole.
 * f by kind: LOSS_SQUARE d^2; LOSS_HUBER d^2 / (2 beta) where |d| < beta, else |d| - beta / 2 (beta 0: |d|);
 * LOSS_EXP exp(d) - 1 - d (half of it, with half the squared mean, is the divergence of N(mean, exp d) from N(0, 1)). */
#define MZT_PARAMS_LOSS(U, F)                                                                                          \
    U(first) U(count) U(parts) U(per_part) U(kind) U(flags) U(weight_each) F(beta) F(scale) U(out_first) U(weight_first)

/* -- loss_grad: dx[i] = scale * weight[(weight_first + i) / weight_each] * f'(x[i] - target[i]), and with LOSS_SCALED that times
 * factor[LOSS_SCALE_NOW], see loss_scale; f'(0) of |d| is 0. */
#define MZT_PARAMS_LOSS_GRAD(U, F) U(first) U(count) U(kind) U(flags) U(weight_each) F(beta) F(scale) U(weight_first)

/* -- square_sum: out[out_first + p] = sum of x[i]^2 over part p (p*per_part ... ) of the count elements; `out` is bound whole,
 * so that the sums of many tensors lie side by side. parts = count / per_part, rounded up. */
#define MZT_PARAMS_SQUARE_SUM(U, F) U(first) U(count) U(parts) U(per_part) U(out_first)

/* -- adamw (Loshchilov and Hutter, 2019), in place. Row t = table[min(step[0], steps - 1)] of OPTIMIZER_ROW_LENGTH floats;
 * the places in it are the ROW_* below. k = t[GRADIENT_SCALE], and with `norm` (the sum of squares of all gradients) and
 * t[MAX_NORM] > 0, k *= min(1, MAX_NORM / (GRADIENT_SCALE * sqrt(norm[0]) + 1e-6)). If norm[0] is not finite, nothing changes.
 *   g = k * gradient; m = BETA1 * m + (1 - BETA1) * g; v = BETA2 * v + (1 - BETA2) * g^2; r = LEARNING_RATE * rate
 *   weight = (1 - r * WEIGHT_DECAY * decay) * weight - r * (m / BIAS1) / (sqrt(v / BIAS2) + EPSILON)
 *   average = EMA_DECAY * average + (1 - EMA_DECAY) * weight
 * with BIASn = 1 - BETAn^(number of this step, from 1). `rate` and `decay` belong to the tensor. All f32. With ADAMW_SCALED
 * (and ADAMW_NORM) `norm` is the state of loss_scale: the sum of squares is norm[LOSS_SCALE_SQUARES], and GRADIENT_SCALE is
 * multiplied by norm[LOSS_SCALE_INVERSE]. */
#define MZT_PARAMS_ADAMW(U, F) U(first) U(count) U(steps) U(flags) F(rate) F(decay)

/* -- accumulate: sum[i] = x[i] where index[0] is 0, else sum[i] + x[i]: gradients of several batches. */
#define MZT_PARAMS_ACCUMULATE(U, F) U(first) U(count)

/* -- loss_scale: by how much losses are raised before they are differentiated, so that small gradients survive in f16 (Micikevicius
 * et al. 2018, arXiv 1710.03740). squares[0] is the sum of the squares of this step's gradients. state [LOSS_SCALE_LENGTH]:
 * state[SQUARES] = squares[0], state[INVERSE] = 1 / state[NOW]; then, if squares[0] is finite, state[GOOD] += 1, and when that
 * reaches grow_after it is 0 again and state[NOW] *= 2, at most `most`; if not, state[NOW] /= 2, at least `least`, state[GOOD]
 * = 0 and state[SKIPPED] += 1. */
#define MZT_PARAMS_LOSS_SCALE(U, F) U(first) U(grow_after) F(least) F(most)

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
#define UNARY_EXP        4u
#define UNARY_TANH       5u
#define UNARY_RELU       6u
#define UNARY_KINDS      7u

/* The most slots, and the floats in a row of the sampler's table. */
#define SAMPLER_MAX_SLOTS   6u
#define SAMPLER_ROW_LENGTH  128u

#define BINARY_ADD 0u
#define BINARY_MUL 1u

#define ATTENTION_GRAD_Q 0u
#define ATTENTION_GRAD_K 1u
#define ATTENTION_GRAD_V 2u

#define LOSS_SQUARE 0u
#define LOSS_HUBER  1u
#define LOSS_EXP    2u
#define LOSS_TARGET 1u /* flags: a target is bound; the state of loss_scale is */
#define LOSS_SCALED 2u

#define ADAMW_NORM    1u /* flags: which optional bindings there are */
#define ADAMW_AVERAGE 2u
#define ADAMW_SCALED  4u

/* The state of loss_scale. */
#define LOSS_SCALE_LENGTH  8u
#define LOSS_SCALE_NOW     0u
#define LOSS_SCALE_SQUARES 1u
#define LOSS_SCALE_INVERSE 2u
#define LOSS_SCALE_GOOD    3u
#define LOSS_SCALE_SKIPPED 4u

/* A row of the optimiser's table. */
#define OPTIMIZER_ROW_LENGTH        16u
#define OPTIMIZER_ROW_LEARNING_RATE 0u
#define OPTIMIZER_ROW_BETA1         1u
#define OPTIMIZER_ROW_BETA2         2u
#define OPTIMIZER_ROW_EPSILON       3u
#define OPTIMIZER_ROW_WEIGHT_DECAY  4u
#define OPTIMIZER_ROW_BIAS1         5u
#define OPTIMIZER_ROW_BIAS2         6u
#define OPTIMIZER_ROW_MAX_NORM      7u
#define OPTIMIZER_ROW_GRADIENT_SCALE 8u
#define OPTIMIZER_ROW_EMA_DECAY     9u

#endif
