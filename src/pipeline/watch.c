/* Watching a picture come about: the step loop run step by step, with a look at the clean estimate after
 * each. See generation.h. */
#include <string.h>

#include "pipeline/autoencoder.h"
#include "pipeline/generation.h"

/* Counts calls from the beginning of the run, not of the step. */
typedef struct step_control {
    const run_control *inner;
    uint32_t done;
} step_control;

static bool keep_going(void *user, uint32_t repetitions, double share) {
    const step_control *s = user;
    return !s->inner->keep_going || s->inner->keep_going(s->inner->user, s->done + repetitions, share);
}

/* The estimate after step `step`: kept for the trajectory, shown as a preview. */
static mzt_status look(generation *g, uint32_t step) {
    const generate_request *r = g->request;
    const uint64_t one = generation_latent_count(g);
    TRY(denoiser_estimate(&g->denoiser, g->estimate, g->error));
    if (r->trajectory) memcpy(g->estimates + step * one, g->estimate, (size_t)one * sizeof *g->estimate);
    if (!r->preview) return MZT_OK;
    image picture = {0};
    TRY(latent_map_apply(g->m->host, &g->map, g->estimate, g->latent.w, g->latent.h, &picture, g->error));
    r->preview(r->user, &picture, step, g->result->steps);
    image_free(g->m->host, &picture);
    return MZT_OK;
}

mzt_status generation_watch(generation *g, const run_control *control) {
    const uint64_t one = generation_latent_count(g);
    const uint32_t calls = g->sampler->calls;
    g->estimate = host_calloc(g->m->host, (size_t)(one * g->latent.n), sizeof *g->estimate);
    if (g->request->trajectory)
        g->estimates = host_calloc(g->m->host, (size_t)one * g->sampler->steps, sizeof *g->estimates);
    if (!g->estimate || (g->request->trajectory && !g->estimates))
        return error_memory(g->error, "estimates", one * g->sampler->steps * sizeof *g->estimates);
    for (uint32_t first = 0, next; first < calls; first = next) {
        next = first + 1;
        while (next < calls && sampler_program_row(g->sampler, next - 1)[SAMPLER_ROW_EMIT] == 0)
            next++;
        step_control step = {control, first};
        const run_control watched = {.keep_going = keep_going, .user = &step};
        TRY(denoiser_run(&g->denoiser, next - first, &watched, g->error));
        TRY(look(g, (uint32_t)sampler_program_row(g->sampler, next - 1)[SAMPLER_ROW_STEP]));
    }
    return MZT_OK;
}

mzt_status generation_decode_trajectory(generation *g, decoder *d, float *scratch,
                                        const run_control *control) {
    generate_result *out = g->result;
    const uint64_t one = generation_latent_count(g);
    const uint32_t channels = g->m->vae.out_channels;
    if (!g->estimates) return MZT_OK;
    out->trajectory = host_calloc(g->m->host, out->steps, sizeof *out->trajectory);
    if (!out->trajectory) return error_memory(g->error, "trajectory", out->steps * sizeof *out->trajectory);
    out->trajectory_count = out->steps;
    for (uint32_t i = 0; i < out->steps; i++) {
        latent_to_autoencoder(g->m, g->estimates + i * one, one);
        TRY(decoder_run(d, g->estimates + i * one, scratch, control, g->error));
        TRY(image_from_floats(g->m->host, scratch, out->width, out->height, channels, &out->trajectory[i],
                              g->error));
    }
    return MZT_OK;
}
