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

mzt_status start_noise(const base_host *host, const start_request *request, shape4 s, uint32_t draws,
                       float **noise, mzt_error *error) {
    const uint64_t one = (uint64_t)s.h * s.w * s.c, batch = one * s.n;
    uint64_t all = 0;
    *noise = NULL;
    if (!size_mul(batch, draws, &all) || all > SIZE_MAX / sizeof(float))
        return error_memory(error, "noise", UINT64_MAX);
    float *made = host_calloc(host, (size_t)all, sizeof *made),
          *drawn = host_calloc(host, 2 * (size_t)one, sizeof *drawn);
    random_stream *stream = host_calloc(host, 1, sizeof *stream);
    mzt_status status = MZT_OK;
    if (!made || !drawn || !stream) status = error_memory(error, "noise", all * sizeof *made);
    for (uint32_t i = 0; status >= 0 && i < s.n; i++) {
        if (request->variation_strength > 0) {
            random_start(stream, request->rng, request->variation_seed + i);
            random_next(stream, one, drawn + one);
        }
        random_start(stream, request->rng, start_seed(request, i));
        for (uint32_t k = 0; k < draws; k++) {
            random_next(stream, one, drawn);
            if (k == 0 && request->variation_strength > 0)
                start_slerp(drawn, drawn + one, one, request->variation_strength);
            layout_nhwc_from_nchw(made + k * batch + i * one, drawn, 1, s.c, s.h, s.w);
        }
    }
    host_free(host, drawn);
    host_free(host, stream);
    if (status < 0)
        host_free(host, made);
    else
        *noise = made;
    return status;
}
