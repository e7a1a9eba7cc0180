/* Gradients of attention for cpu-reference: probabilities are computed again from the stored logarithm of
 * their denominator (Dao et al., "FlashAttention", 2022), one query or key at a time. */
#include <math.h>

#include "cpu/reference.h"

/* First element of the vector of `head` at position `at` of [batch][length][heads*d]. */
static uint64_t place(uint64_t sample, uint64_t length, uint64_t at, uint64_t heads, uint64_t head,
                      uint64_t d) {
    return ((sample * length + at) * heads + head) * d;
}

static double dot(const double *a, const double *b, uint64_t d) {
    double sum = 0;
    for (uint64_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

bool reference_attention_stats(const cpu_call *call, uint64_t first, uint64_t last) {
    const attention_stats_params *p = &call->params->attention_stats;
    const cpu_operand *o = call->operands;
    double *scores = host_calloc(call->host, (uint64_t)p->lk + 2 * (uint64_t)p->d, sizeof *scores);
    if (!scores) return false;
    double *q = scores + p->lk, *row = q + p->d;
    for (uint64_t item = first; item < last; item++) {
        uint64_t query = item % p->lq, head = item / p->lq % p->heads, sample = item / p->lq / p->heads;
        uint64_t visible = p->flags & ATTENTION_CAUSAL && query + 1 < p->lk ? query + 1 : p->lk;
        uint64_t at = place(sample, p->lq, query, p->heads, head, p->d);
        double largest = -INFINITY, sum = 0;
        operand_load_row(&o[ATTENTION_STATS_Q], at, p->d, q, 1);
        for (uint64_t j = 0; j < visible; j++) {
            operand_load_row(&o[ATTENTION_STATS_K], place(sample, p->lk, j, p->heads, head, p->d), p->d, row,
                             1);
            scores[j] = (double)p->scale * dot(q, row, p->d);
            largest = fmax(largest, scores[j]);
        }
        for (uint64_t j = 0; j < visible; j++)
            sum += exp(scores[j] - largest);
        operand_load_row(&o[ATTENTION_STATS_OUT], at, p->d, q, 1);
        operand_load_row(&o[ATTENTION_STATS_DOUT], at, p->d, row, 1);
        operand_store(&o[ATTENTION_STATS_STATS], item * 2, largest + log(sum));
        operand_store(&o[ATTENTION_STATS_STATS], item * 2 + 1, dot(q, row, p->d));
    }
    host_free(call->host, scores);
    return true;
}

/* The vectors of one query and one key, and the gradient that they add to. */
typedef struct pair {
    double *q, *k, *v, *dout, *sums;
} pair;

/* Adds what query i and key j give; the vectors of the item itself are loaded already. */
static void add_pair(const cpu_call *call, const pair *x, uint64_t sample, uint64_t head, uint64_t i,
                     uint64_t j) {
    const attention_grad_params *p = &call->params->attention_grad;
    const cpu_operand *o = call->operands;
    uint64_t query = place(sample, p->lq, i, p->heads, head, p->d),
             key = place(sample, p->lk, j, p->heads, head, p->d);
    if (p->kind == ATTENTION_GRAD_Q) {
        operand_load_row(&o[ATTENTION_GRAD_IN_K], key, p->d, x->k, 1);
        operand_load_row(&o[ATTENTION_GRAD_IN_V], key, p->d, x->v, 1);
    } else {
        operand_load_row(&o[ATTENTION_GRAD_IN_Q], query, p->d, x->q, 1);
        operand_load_row(&o[ATTENTION_GRAD_DOUT], query, p->d, x->dout, 1);
    }
    uint64_t stats = ((sample * p->heads + head) * p->lq + i) * 2;
    double probability =
        exp((double)p->scale * dot(x->q, x->k, p->d) - operand_load(&o[ATTENTION_GRAD_STATS], stats));
    double factor = probability;
    if (p->kind != ATTENTION_GRAD_V)
        factor *=
            (double)p->scale * (dot(x->dout, x->v, p->d) - operand_load(&o[ATTENTION_GRAD_STATS], stats + 1));
    const double *direction = p->kind == ATTENTION_GRAD_Q   ? x->k
                              : p->kind == ATTENTION_GRAD_K ? x->q
                                                            : x->dout;
    for (uint32_t c = 0; c < p->d; c++)
        x->sums[c] += factor * direction[c];
}

/* Items are [batch][heads][lq] for dq, [batch][heads][lk] for dk and dv. */
bool reference_attention_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const attention_grad_params *p = &call->params->attention_grad;
    const cpu_operand *o = call->operands;
    uint64_t d = p->d, length = p->kind == ATTENTION_GRAD_Q ? p->lq : p->lk;
    bool causal = p->flags & ATTENTION_CAUSAL;
    double *block = host_calloc(call->host, 5 * d, sizeof *block);
    if (!block) return false;
    pair x = {block, block + d, block + 2 * d, block + 3 * d, block + 4 * d};
    for (uint64_t item = first; item < last; item++) {
        uint64_t at = item % length, head = item / length % p->heads, sample = item / length / p->heads;
        uint64_t mine = place(sample, length, at, p->heads, head, d);
        for (uint64_t c = 0; c < d; c++)
            x.sums[c] = 0;
        if (p->kind == ATTENTION_GRAD_Q) {
            operand_load_row(&o[ATTENTION_GRAD_IN_Q], mine, d, x.q, 1);
            operand_load_row(&o[ATTENTION_GRAD_DOUT], mine, d, x.dout, 1);
            for (uint64_t j = 0; j < p->lk && (!causal || j <= at); j++)
                add_pair(call, &x, sample, head, at, j);
        } else {
            operand_load_row(&o[ATTENTION_GRAD_IN_K], mine, d, x.k, 1);
            operand_load_row(&o[ATTENTION_GRAD_IN_V], mine, d, x.v, 1);
            for (uint64_t i = causal ? at : 0; i < p->lq; i++)
                add_pair(call, &x, sample, head, i, at);
        }
        for (uint64_t c = 0; c < d; c++)
            operand_store(&o[ATTENTION_GRAD_DX], mine + c, x.sums[c]);
    }
    host_free(call->host, block);
    return true;
}
