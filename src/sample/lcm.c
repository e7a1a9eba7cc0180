/* Samplers for distilled networks: latent consistency (Luo et al. 2023, arXiv 2310.04378) and trajectory
 * consistency (Zheng et al. 2024, arXiv 2402.19159). One evaluation a step, few steps. */
#include "sample/build.h"

#include <math.h>

#define SIGMA_DATA 0.5 /* of the boundary condition */

/* Jumps to the clean estimate c_out d + c_skip x and adds fresh noise for the next timestep. */
mzt_status append_lcm(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        bool last = i + 1 == build->schedule->steps;
        point at = build_point(build, i), to = build_point(build, i + 1);
        double scaled = at.timestep * config->timestep_scaling, data = SIGMA_DATA * SIGMA_DATA;
        double skip = data / (scaled * scaled + data), out = scaled / sqrt(scaled * scaled + data);
        form clean = form_mix(out, form_denoised(), skip, form_slot(0));
        double *row = build_row(build, at, i);
        row_set(row, 0, last ? clean : form_scale(to.alpha, clean));
        if (!last) row_noise(build, row, 0, to.sigma * config->s_noise);
    }
    build->program->final_sigma = 0;
    return MZT_OK;
}

/* Steps without noise to s = (1 - eta) t', then with noise to t'. */
mzt_status append_tcd(sampler_build *build) {
    const sampler_config *config = build->config;
    const double *bars = build->table->alpha_bars;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        bool last = i + 1 == build->schedule->steps;
        double next = last ? 0 : build->schedule->timesteps[i + 1];
        double between = floor((1 - config->eta) * next);
        point at =
            build_point_bar(build->schedule->timesteps[i], bars[(uint32_t)build->schedule->timesteps[i]]);
        point to = build_point_bar(between, bars[(uint32_t)between]);
        double keep = bars[(uint32_t)next] / bars[(uint32_t)between];
        form update = form_mix(to.alpha, form_denoised(), to.sigma, form_noise_raw(build, at));
        double *row = build_row(build, at, i);
        bool noisy = config->eta > 0 && !last;
        row_set(row, 0, noisy ? form_scale(sqrt(keep), update) : update);
        if (noisy) row_noise(build, row, 0, sqrt(1 - keep) * config->s_noise);
    }
    build->program->final_sigma = sqrt((1 - bars[0]) / bars[0]);
    return MZT_OK;
}
