/* The starting noise; see start.h. */
#include "pipeline/start.h"

#include <math.h>

#include "model/tensor_layout.h"

void start_slerp(float *a, const float *b, uint64_t count, double share) {
    double dot = 0, aa = 0, bb = 0;
    for (uint64_t i = 0; i < count; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    double cosine = aa > 0 && bb > 0 ? dot / sqrt(aa * bb) : 1, from = 1 - share, to = share;
    if (fabs(cosine) < 0.9995) {
        double angle = acos(cosine);
        from = sin((1 - share) * angle) / sin(angle);
        to = sin(share * angle) / sin(angle);
    }
    for (uint64_t i = 0; i < count; i++)
        a[i] = (float)(from * a[i] + to * b[i]);
}

mzt_status start_noise_begin(const base_host *host, const start_request *request, shape4 s, uint32_t draws,
                             start_noise *out, mzt_error *error) {
    const uint64_t one = (uint64_t)s.h * s.w * s.c;
    uint64_t all = 0;
    *out = (start_noise){.request = *request, .latent = s, .draws = draws};
    if (!size_mul(one * s.n, draws, &all) || all > SIZE_MAX / sizeof(float))
        return error_memory(error, "noise", UINT64_MAX);
    out->noise = host_calloc(host, (size_t)all, sizeof *out->noise);
    out->drawn = host_calloc(host, 2 * (size_t)one, sizeof *out->drawn);
    if (out->noise && out->drawn) return MZT_OK;
    start_noise_destroy(host, out);
    return error_memory(error, "noise", all * sizeof *out->noise);
}

bool start_noise_next(start_noise *n) {
    const start_request *r = &n->request;
    const shape4 s = n->latent;
    const uint64_t one = (uint64_t)s.h * s.w * s.c;
    const bool varied = r->variation_strength > 0;
    if (n->picture == s.n) return false;
    if (n->draw == 0) {
        if (varied) {
            random_start(&n->stream, r->rng, r->variation_seed + n->picture);
            random_next(&n->stream, one, n->drawn + one);
        }
        random_start(&n->stream, r->rng, start_seed(r, n->picture));
    }
    random_next(&n->stream, one, n->drawn);
    if (n->draw == 0 && varied) start_slerp(n->drawn, n->drawn + one, one, r->variation_strength);
    float *to = n->noise + (n->draw * (uint64_t)s.n + n->picture) * one;
    layout_nhwc_from_nchw(to, n->drawn, 1, s.c, s.h, s.w);
    if (++n->draw == n->draws) {
        n->draw = 0;
        n->picture++;
    }
    return n->picture < s.n;
}

void start_noise_destroy(const base_host *host, start_noise *n) {
    if (n->noise) host_free(host, n->noise);
    if (n->drawn) host_free(host, n->drawn);
    *n = (start_noise){0};
}
