/* Requests to parameters and back; see generate_parameters.h. */
#include "pipeline/generate_parameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/json_write.h"
#include "pipeline/start.h"
#include "sample/config.h"

/* Our names of generators and schedules beside those of the web UI. */
typedef struct label {
    const char *own, *theirs;
} label;

static const label generators[] = {
    {"philox", "Philox"}, {"torch-cpu", "CPU"}, {"torch-cuda", "NV"}, {"torch-cuda", "GPU"}};
static const label schedules[] = {{"default", "Automatic"},       {"karras", "Karras"},
                                  {"exponential", "Exponential"}, {"sgm_uniform", "SGM Uniform"},
                                  {"simple", "Simple"},           {"beta", "Beta"},
                                  {"ays", "Align Your Steps"}};

static const char *to_label(const label *labels, size_t count, const char *own) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].own, own) == 0) return labels[i].theirs;
    return own;
}

static const char *from_label(const label *labels, size_t count, const char *theirs) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].theirs, theirs) == 0) return labels[i].own;
    return theirs;
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* -------------------------------------------------------------------------------------------------------
 * making -- */

/* Appends settings until the first failure. */
typedef struct maker {
    parameters *p;
    mzt_error *error;
    mzt_status status;
} maker;

static void text(maker *m, const char *key, const char *value) {
    if (m->status >= 0 && value) m->status = parameters_add(m->p, key, value, m->error);
}

static void number(maker *m, const char *key, double value) {
    if (m->status >= 0) m->status = parameters_add_number(m->p, key, value, m->error);
}

static void whole(maker *m, const char *key, uint64_t value) {
    if (m->status >= 0) m->status = parameters_addf(m->p, m->error, key, "%llu", (unsigned long long)value);
}

/* All numbers, as JSON writes them, without its brackets. */
static void add_sigmas(maker *m, const generate_request *r) {
    json_writer w = json_writer_make(m->p->host);
    char *list;
    size_t length = 0;
    json_write_array(&w, NULL);
    for (uint32_t i = 0; i < r->sigma_count; i++)
        json_write_double(&w, NULL, r->sigmas[i]);
    json_write_end_array(&w);
    if (m->status >= 0) m->status = json_writer_finish(&w, &list, &length, m->error);
    json_writer_discard(&w);
    if (m->status < 0) return;
    list[strlen(list) - 1] = '\0';
    text(m, "Sigmas", list + 1);
    host_free(m->p->host, list);
}

static void add_guidance(maker *m, const generate_request *r) {
    if (r->guidance_rescale > 0) number(m, "CFG rescale", r->guidance_rescale);
    if (r->guidance_interval[0] > 0) number(m, "CFG begin", r->guidance_interval[0]);
    if (r->guidance_interval[1] < 1) number(m, "CFG end", r->guidance_interval[1]);
}

static void add_picture(maker *m, const generate_request *r, const generate_origin *origin) {
    if (!r->init_image) return;
    number(m, "Denoising strength", r->strength);
    text(m, "Init image hash", origin->init_hash);
    text(m, "Mask hash", r->mask ? origin->mask_hash : NULL);
}

mzt_status generate_parameters_make(const base_host *host, const generate_request *r,
                                    const generate_result *result, const generate_origin *origin,
                                    uint32_t index, parameters *out, mzt_error *error) {
    static const char *const precisions[] = {"auto", "f32", "f16", "bf16"};
    maker m = {out, error, parameters_create(host, r->prompt, r->negative, out, error)};
    const start_request start = {.seed = r->seed, .variation_strength = r->variation_strength};
    char size[32];
    snprintf(size, sizeof size, "%ux%u", result->width, result->height);
    whole(&m, "Steps", r->sigmas ? r->sigma_count - 1 : r->steps ? r->steps : 20);
    text(&m, "Sampler", result->sampler);
    text(&m, "Schedule type", to_label(schedules, COUNT_OF(schedules), result->schedule));
    number(&m, "CFG scale", r->guidance);
    whole(&m, "Seed", start_seed(&start, index));
    text(&m, "Size", size);
    text(&m, "Model hash", origin->model_hash);
    text(&m, "Model", origin->model);
    text(&m, "Lora hashes", origin->lora_hashes);
    if (r->variation_strength > 0) {
        whole(&m, "Variation seed", r->variation_seed + index);
        number(&m, "Variation seed strength", r->variation_strength);
    }
    add_picture(&m, r, origin);
    if (r->clip_skip) whole(&m, "Clip skip", r->clip_skip);
    add_guidance(&m, r);
    if (r->sigmas) add_sigmas(&m, r);
    if (r->eta >= 0) number(&m, "Eta", r->eta);
    if (r->s_noise >= 0) number(&m, "Sigma noise", r->s_noise);
    if (r->tile.x || r->tile.y) text(&m, "Tiling", r->tile.x && r->tile.y ? "xy" : r->tile.x ? "x" : "y");
    if (r->plain_prompt) text(&m, "Emphasis", "None");
    if (r->precision != PRECISION_AUTO) text(&m, "Precision", precisions[r->precision]);
    text(&m, "RNG", to_label(generators, COUNT_OF(generators), random_kind_name(r->rng)));
    text(&m, "Version", "mezzotint " MZT_VERSION_STRING);
    if (m.status < 0) parameters_destroy(out);
    return m.status;
}

/* -----------------------------------------------------------------------------------------------------
 * applying -- */

mzt_status generate_sigmas_parse(const base_host *host, const char *list, double **values, uint32_t *count,
                                 mzt_error *error) {
    uint32_t used = 0, capacity = 0;
    double *found = NULL;
    mzt_status status = MZT_OK;
    for (const char *at = list; status >= 0;) {
        char item[64];
        size_t length = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int)(length < sizeof item ? length : sizeof item - 1), at);
        for (size_t end = strlen(item); end && item[end - 1] == ' ';)
            item[--end] = '\0';
        if (!HOST_GROW(host, found, used, capacity))
            status = error_memory(error, "sigmas", used);
        else if (used > SAMPLER_STEPS_MAX || length >= sizeof item || !parameters_number(item, &found[used]))
            status = error_set(error, MZT_ERROR_INVALID,
                               "sigma %u is \"%.20s\": expected at most %d numbers separated by commas", used,
                               item, SAMPLER_STEPS_MAX + 1);
        else
            used++;
        if (!at[length]) break;
        at += length + 1;
    }
    if (status < 0) {
        host_free(host, found);
        return status;
    }
    *values = found;
    *count = used;
    return MZT_OK;
}

/* Reads settings until the first that has no meaning. */
typedef struct reader {
    const parameters *p;
    mzt_error *error;
    mzt_status status;
} reader;

static void refuse(reader *r, const char *key, const char *value, const char *expected) {
    char shown[60];
    if (r->status < 0) return;
    r->status = error_set(r->error, MZT_ERROR_INVALID, "%s \"%s\": expected %s", key,
                          error_text(shown, sizeof shown, value), expected);
}

static void read_number(reader *r, const char *key, double *out) {
    const char *value = parameters_find(r->p, key);
    if (value && !parameters_number(value, out)) refuse(r, key, value, "a number");
}

static void read_count(reader *r, const char *key, uint32_t *out) {
    const char *value = parameters_find(r->p, key);
    double found;
    if (!value) return;
    if (parameters_number(value, &found) && found >= 0 && found <= 1e6 && found == floor(found))
        *out = (uint32_t)found;
    else
        refuse(r, key, value, "a whole number");
}

static void read_seed(reader *r, const char *key, uint64_t *out) {
    const char *value = parameters_find(r->p, key);
    if (!value) return;
    uint64_t sum = 0;
    size_t length = strlen(value);
    bool ok = length > 0 && length <= 20;
    for (size_t i = 0; ok && i < length; i++) {
        uint64_t digit = (uint64_t)(value[i] - '0');
        ok = value[i] >= '0' && value[i] <= '9' && sum <= (UINT64_MAX - digit) / 10;
        sum = sum * 10 + digit;
    }
    if (ok)
        *out = sum;
    else
        refuse(r, key, value, "a whole number below 2^64");
}

static void read_size(reader *r, generate_request *request) {
    const char *value = parameters_find(r->p, "Size");
    if (!value) return;
    const char *x = strchr(value, 'x');
    char width[16] = "", height[16] = "";
    double sides[2];
    if (x) {
        snprintf(width, sizeof width, "%.*s", (int)(x - value < 15 ? x - value : 15), value);
        snprintf(height, sizeof height, "%.15s", x + 1);
    }
    if (x && parameters_number(width, &sides[0]) && parameters_number(height, &sides[1]) && sides[0] >= 1 &&
        sides[1] >= 1 && sides[0] <= GENERATE_SIDE_MAX && sides[1] <= GENERATE_SIDE_MAX) {
        request->width = (uint32_t)sides[0];
        request->height = (uint32_t)sides[1];
    } else {
        refuse(r, "Size", value, "WIDTHxHEIGHT");
    }
}

static void read_words(reader *r, generate_request *request) {
    const char *rng = parameters_find(r->p, "RNG"), *version = parameters_find(r->p, "Version");
    const char *tile = parameters_find(r->p, "Tiling"), *type = parameters_find(r->p, "Precision");
    const char *emphasis = parameters_find(r->p, "Emphasis");
    bool ours = version && strncmp(version, "mezzotint", 9) == 0;
    if (!rng && !ours) rng = "GPU"; /* what the web UI does not mention because it is its default */
    if (rng && !random_kind_find(from_label(generators, COUNT_OF(generators), rng), &request->rng))
        refuse(r, "RNG", rng, "Philox, CPU, NV or GPU");
    if (tile) {
        bool both = strcmp(tile, "True") == 0 || strcmp(tile, "xy") == 0;
        request->tile = (model_wrap){both || strcmp(tile, "x") == 0, both || strcmp(tile, "y") == 0};
        if (!request->tile.x && !request->tile.y && strcmp(tile, "False") != 0)
            refuse(r, "Tiling", tile, "x, y or xy");
    }
    if (type && r->status >= 0) r->status = precision_parse(type, &request->precision, r->error);
    if (emphasis) request->plain_prompt = strcmp(emphasis, "None") == 0;
}

mzt_status generate_parameters_apply(const parameters *p, generate_request *request, double **sigmas,
                                     mzt_error *error) {
    reader r = {p, error, MZT_OK};
    const char *schedule = parameters_find(p, "Schedule type"), *sampler = parameters_find(p, "Sampler");
    const char *list = parameters_find(p, "Sigmas");
    *sigmas = NULL;
    request->prompt = p->prompt;
    request->negative = p->negative;
    if (sampler) request->sampler = sampler;
    if (schedule) request->schedule = from_label(schedules, COUNT_OF(schedules), schedule);
    read_count(&r, "Steps", &request->steps);
    read_number(&r, "CFG scale", &request->guidance);
    read_number(&r, "CFG rescale", &request->guidance_rescale);
    read_number(&r, "CFG begin", &request->guidance_interval[0]);
    read_number(&r, "CFG end", &request->guidance_interval[1]);
    read_seed(&r, "Seed", &request->seed);
    read_size(&r, request);
    read_seed(&r, "Variation seed", &request->variation_seed);
    read_number(&r, "Variation seed strength", &request->variation_strength);
    read_number(&r, "Denoising strength", &request->strength);
    read_count(&r, "Clip skip", &request->clip_skip);
    read_number(&r, "Eta", &request->eta);
    read_number(&r, "Sigma noise", &request->s_noise);
    read_words(&r, request);
    if (list && r.status >= 0) {
        r.status = generate_sigmas_parse(p->host, list, sigmas, &request->sigma_count, error);
        if (r.status >= 0) request->sigmas = *sigmas;
    }
    return r.status;
}
