/* The table of samplers and finding them by name; see samplers.h. */
#include "sample/samplers.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "sample/build.h"

/* Columns as in sampler_info. */
static const sampler_info samplers[SAMPLER_KIND_COUNT] = {
    [SAMPLER_EULER] = {"euler", "Euler", "keuler,eulerdiscrete", "EulerDiscreteScheduler", append_euler,
                       SPACE_EXPLODING, LAYOUT_SIGMA, 1, 1, false, false},
    [SAMPLER_EULER_A] = {"euler_a", "Euler a", "keulera,eulerancestral", "EulerAncestralDiscreteScheduler",
                         append_euler_a, SPACE_EXPLODING, LAYOUT_SIGMA, 0, 1, true, false},
    [SAMPLER_HEUN] = {"heun", "Heun", "kheun", "HeunDiscreteScheduler", append_heun, SPACE_EXPLODING,
                      LAYOUT_SIGMA, 2, 2, false, false},
    [SAMPLER_DPM2] = {"dpm2", "DPM2", "kdpm2", "KDPM2DiscreteScheduler", append_dpm2, SPACE_EXPLODING,
                      LAYOUT_SIGMA, 2, 2, false, true},
    [SAMPLER_DPM2_A] = {"dpm2_a", "DPM2 a", "kdpm2a,dpm2ancestral", "KDPM2AncestralDiscreteScheduler",
                        append_dpm2, SPACE_EXPLODING, LAYOUT_SIGMA, 0, 2, true, true},
    [SAMPLER_LMS] = {"lms", "LMS", "klms", "LMSDiscreteScheduler", append_lms, SPACE_EXPLODING, LAYOUT_SIGMA,
                     2, 1, false, false},
    [SAMPLER_DDIM] = {"ddim", "DDIM", "", "DDIMScheduler", append_ddim, SPACE_PRESERVING, LAYOUT_INTEGER, 1,
                      1, false, false},
    [SAMPLER_PNDM] = {"pndm", "PNDM", "plms", "PNDMScheduler", append_pndm, SPACE_PRESERVING, LAYOUT_INTEGER,
                      2, 1, false, false},
    [SAMPLER_DDPM] = {"ddpm", "DDPM", "", "DDPMScheduler", append_ddpm, SPACE_PRESERVING, LAYOUT_INTEGER, 0,
                      1, true, false},
    [SAMPLER_DPMPP_2M] = {"dpmpp_2m", "DPM++ 2M", "kdpmpp2m,dpmsolver", "DPMSolverMultistepScheduler",
                          append_dpmpp_multistep, SPACE_PRESERVING, LAYOUT_LAMBDA, 2, 1, false, true},
    [SAMPLER_DPMPP_3M] = {"dpmpp_3m", "DPM++ 3M", "kdpmpp3m", NULL, append_dpmpp_multistep, SPACE_PRESERVING,
                          LAYOUT_LAMBDA, 2, 1, false, true},
    [SAMPLER_DPMPP_2M_SDE] = {"dpmpp_2m_sde", "DPM++ 2M SDE", "kdpmpp2msde", NULL, append_dpmpp_multistep,
                              SPACE_PRESERVING, LAYOUT_LAMBDA, 0, 1, true, true},
    [SAMPLER_DPMPP_3M_SDE] = {"dpmpp_3m_sde", "DPM++ 3M SDE", "kdpmpp3msde", NULL, append_dpmpp_multistep,
                              SPACE_PRESERVING, LAYOUT_LAMBDA, 0, 1, true, true},
    [SAMPLER_DPMPP_2S] = {"dpmpp_2s", "DPM++ 2S", "kdpmpp2s", "DPMSolverSinglestepScheduler",
                          append_dpmpp_singlestep, SPACE_PRESERVING, LAYOUT_LAMBDA, 2, 1, false, true},
    [SAMPLER_DPMPP_2S_A] = {"dpmpp_2s_a", "DPM++ 2S a", "kdpmpp2sa,dpmpp2sancestral", NULL, append_dpmpp_2s_a,
                            SPACE_EXPLODING, LAYOUT_SIGMA, 0, 2, true, false},
    [SAMPLER_DPMPP_SDE] = {"dpmpp_sde", "DPM++ SDE", "kdpmppsde", "DPMSolverSDEScheduler", append_dpmpp_sde,
                           SPACE_EXPLODING, LAYOUT_SIGMA, 0, 2, true, false},
    [SAMPLER_UNIPC] = {"unipc", "UniPC", "unipcbh2", "UniPCMultistepScheduler", append_unipc,
                       SPACE_PRESERVING, LAYOUT_LAMBDA, 2, 1, false, true},
    [SAMPLER_DEIS] = {"deis", "DEIS", "", "DEISMultistepScheduler", append_deis, SPACE_PRESERVING,
                      LAYOUT_LAMBDA, 2, 1, false, true},
    [SAMPLER_LCM] = {"lcm", "LCM", "", "LCMScheduler", append_lcm, SPACE_PRESERVING, LAYOUT_CONSISTENCY, 0, 1,
                     true, false},
    [SAMPLER_TCD] = {"tcd", "TCD", "", "TCDScheduler", append_tcd, SPACE_PRESERVING, LAYOUT_CONSISTENCY, 0, 1,
                     true, false},
    [SAMPLER_EULER_FLOW] = {"euler_flow", "Euler (flow)", "flow,floweuler,flowmatcheuler",
                            "FlowMatchEulerDiscreteScheduler", append_euler, SPACE_FLOW, LAYOUT_FLOW, 1, 1,
                            false, false},
};

typedef struct schedule_name {
    const char *name;    /* "sgm_uniform" */
    const char *aliases; /* as in sampler_info */
} schedule_name;

static const schedule_name schedules[SCHEDULE_COUNT] = {
    [SCHEDULE_DEFAULT] = {"default", "normal,automatic,discrete"},
    [SCHEDULE_KARRAS] = {"karras", ""},
    [SCHEDULE_EXPONENTIAL] = {"exponential", ""},
    [SCHEDULE_SGM_UNIFORM] = {"sgm_uniform", ""},
    [SCHEDULE_SIMPLE] = {"simple", ""},
    [SCHEDULE_BETA] = {"beta", ""},
    [SCHEDULE_AYS] = {"ays", "alignyoursteps"},
};

const sampler_info *sampler_info_get(sampler_kind kind) {
    return &samplers[(unsigned)kind < SAMPLER_KIND_COUNT ? kind : SAMPLER_EULER];
}

const char *sampler_schedule_name(sigma_schedule schedule) {
    return (unsigned)schedule < SCHEDULE_COUNT ? schedules[schedule].name : "unknown";
}

/* Lower-case letters and digits only, '+' as 'p'. False when it does not fit. */
static bool plain(const char *name, char *out, size_t size) {
    size_t used = 0;
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (c == '+') c = 'p';
        if (!isalnum(c) || c > 127) continue;
        if (used + 1 >= size) return false;
        out[used++] = (char)tolower(c);
    }
    out[used] = 0;
    return used > 0;
}

/* Whether `text` of `length` bytes is in a comma separated list. */
static bool listed(const char *list, const char *text, size_t length) {
    while (*list) {
        size_t part = strcspn(list, ",");
        if (part == length && memcmp(list, text, length) == 0) return true;
        list += part + (list[part] == ',');
    }
    return false;
}

static bool same(const char *name, const char *aliases, const char *text, size_t length) {
    char own[64];
    plain(name, own, sizeof own);
    return (strlen(own) == length && memcmp(own, text, length) == 0) || listed(aliases, text, length);
}

static bool find_kind(const char *text, size_t length, sampler_kind *kind) {
    for (int i = 0; i < SAMPLER_KIND_COUNT; i++) {
        if (!same(samplers[i].name, samplers[i].aliases, text, length)) continue;
        *kind = (sampler_kind)i;
        return true;
    }
    return false;
}

/* Appends `name` to a list that is at most `size` bytes long. */
static void list_name(char *list, size_t size, const char *name) {
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

mzt_status sampler_schedule_find(const char *name, sigma_schedule *schedule, mzt_error *error) {
    char text[64], known[256] = "";
    if (plain(name, text, sizeof text))
        for (int i = 0; i < SCHEDULE_COUNT; i++) {
            if (!same(schedules[i].name, schedules[i].aliases, text, strlen(text))) continue;
            *schedule = (sigma_schedule)i;
            return MZT_OK;
        }
    for (int i = 0; i < SCHEDULE_COUNT; i++)
        list_name(known, sizeof known, schedules[i].name);
    return error_set(error, MZT_ERROR_INVALID, "unknown schedule \"%.40s\", known are: %s", name, known);
}

mzt_status sampler_find(const char *name, sampler_kind *kind, sigma_schedule *schedule, mzt_error *error) {
    char text[64], known[400] = "";
    *schedule = SCHEDULE_COUNT;
    if (plain(name, text, sizeof text)) {
        size_t length = strlen(text);
        if (find_kind(text, length, kind)) return MZT_OK;
        for (int i = 0; i < SCHEDULE_COUNT; i++) {
            char own[64];
            plain(schedules[i].name, own, sizeof own);
            size_t tail = strlen(own);
            if (length <= tail || strcmp(text + length - tail, own) != 0) continue;
            if (!find_kind(text, length - tail, kind)) continue;
            *schedule = (sigma_schedule)i;
            return MZT_OK;
        }
    }
    for (int i = 0; i < SAMPLER_KIND_COUNT; i++)
        list_name(known, sizeof known, samplers[i].name);
    return error_set(error, MZT_ERROR_INVALID, "unknown sampler \"%.40s\", known are: %s", name, known);
}
