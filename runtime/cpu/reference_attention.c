/* Attention for cpu-reference: one query at a time, its whole row of scores in memory. */
#include <math.h>

#include "cpu/reference.h"

/* scores[j] = scale * q . k_j for the visible keys, then softmax over them. Returns how many are visible. */
static uint64_t softmax_scores(const cpu_call *call, uint64_t sample, uint64_t head, uint64_t query,
                               double *scores, double *q, double *row) {
    const attention_params *p = &call->params->attention;
    const cpu_operand *o = call->operands;
    uint64_t visible = p->flags & ATTENTION_CAUSAL && query + 1 < p->lk ? query + 1 : p->lk;
    operand_load_row(&o[ATTENTION_Q], (sample * p->lq + query) * p->q_stride + p->q_offset + head * p->d,
                     p->d, q, 1);
    double largest = -INFINITY, sum = 0;
    for (uint64_t j = 0; j < visible; j++) {
        operand_load_row(&o[ATTENTION_K], (sample * p->lk + j) * p->k_stride + p->k_offset + head * p->d,
                         p->d, row, 1);
        double dot = 0;
        for (uint32_t i = 0; i < p->d; i++)
            dot += q[i] * row[i];
        scores[j] = dot * (double)p->scale;
        if (scores[j] > largest) largest = scores[j];
    }
    for (uint64_t j = 0; j < visible; j++)
        sum += scores[j] = exp(scores[j] - largest);
    for (uint64_t j = 0; j < visible; j++)
        scores[j] /= sum;
    return visible;
}

bool reference_attention(const cpu_call *call, uint64_t first, uint64_t last) {
    const attention_params *p = &call->params->attention;
    const cpu_operand *o = call->operands;
    double *scores = host_calloc(call->host, (uint64_t)p->lk + 3 * (uint64_t)p->d, sizeof *scores);
    if (!scores) return false;
    double *q = scores + p->lk, *row = q + p->d, *sums = row + p->d;
    for (uint64_t item = first; item < last; item++) {
        uint64_t query = item % p->lq, head = item / p->lq % p->heads, sample = item / p->lq / p->heads;
        uint64_t visible = softmax_scores(call, sample, head, query, scores, q, row);
        for (uint32_t i = 0; i < p->d; i++)
            sums[i] = 0;
        for (uint64_t j = 0; j < visible; j++) {
            operand_load_row(&o[ATTENTION_V], (sample * p->lk + j) * p->v_stride + p->v_offset + head * p->d,
                             p->d, row, 1);
            for (uint32_t i = 0; i < p->d; i++)
                sums[i] += scores[j] * row[i];
        }
        uint64_t out = (sample * p->lq + query) * p->o_stride + head * p->d;
        for (uint32_t i = 0; i < p->d; i++)
            operand_store(&o[ATTENTION_OUT], out + i, sums[i]);
    }
    host_free(call->host, scores);
    return true;
}
