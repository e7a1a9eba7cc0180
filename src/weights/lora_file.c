/* One LoRA file: its tensors gathered by module, and checked as far as that goes without the model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "weights/lora_internal.h"

enum { TENSOR_LIMIT = 200000 }; /* the largest published files have a few thousand */

typedef struct entry {
    lora_key key;
    const weights_tensor *tensor;
} entry;

static int compare_entries(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->key.network != y->key.network) return x->key.network < y->key.network ? -1 : 1;
    const int order = strcmp(x->key.module, y->key.module);
    return order ? order : (int)x->key.part - (int)y->key.part;
}

static mzt_status complain(const lora_file *f, const char *key, mzt_status status, mzt_error *error,
                           const char *what) {
    char shown[160];
    return error_set(error, status, "%s: \"%s\": %s", safetensors_name(f->file),
                     error_text(shown, sizeof shown, key), what);
}

/* ------------------------------------------------------------------------------------------------------
 * ranks and alphas -- */

static bool has(const lora_module *m, lora_part part) {
    return m->parts[part] != NULL;
}

/* Size `axis` of a part; 0 where it has no such axis, or nothing in it. */
static uint64_t side(const lora_module *m, lora_part part, uint32_t axis) {
    const weights_tensor *t = m->parts[part];
    return t && axis < t->rank && t->count > 0 ? t->shape[axis] : 0;
}

/* Decides the kind by the parts there are; *rank 0: has none (alpha means nothing). NULL, or what is wrong.
 */
static const char *find_kind(lora_module *m, uint64_t *rank) {
    const bool product = has(m, LORA_DOWN) || has(m, LORA_UP) || has(m, LORA_MID), diff = has(m, LORA_DIFF);
    bool hadamard = false, kronecker = false;
    for (int i = LORA_HADA_1A; i <= LORA_HADA_T2; i++)
        hadamard |= has(m, (lora_part)i);
    for (int i = LORA_KRON_1; i <= LORA_KRON_T2; i++)
        kronecker |= has(m, (lora_part)i);
    if (product + diff + hadamard + kronecker > 1)
        return "matrices of several kinds of adapter for one module";
    *rank = 0;
    if (product) {
        m->kind = LORA_KIND_PRODUCT;
        if (!has(m, LORA_DOWN) || !has(m, LORA_UP)) return "one of its two matrices (down, up) is missing";
        *rank = side(m, LORA_DOWN, 0);
        const uint64_t up = side(m, LORA_UP, 1);
        if (has(m, LORA_MID) ? side(m, LORA_MID, 0) != up || side(m, LORA_MID, 1) != *rank : up != *rank)
            return "its matrices (down, up) have different ranks";
        return *rank ? NULL : "its rank is 0";
    }
    if (hadamard) {
        m->kind = LORA_KIND_HADAMARD;
        if (!has(m, LORA_HADA_1A) || !has(m, LORA_HADA_1B) || !has(m, LORA_HADA_2A) ||
            !has(m, LORA_HADA_2B) || has(m, LORA_HADA_T1) != has(m, LORA_HADA_T2))
            return "one of its matrices (hada_...) is missing";
        *rank = side(m, LORA_HADA_1B, 0);
        return *rank && side(m, LORA_HADA_2B, 0) ? NULL : "its rank is 0";
    }
    if (kronecker) {
        m->kind = LORA_KIND_KRONECKER;
        const bool first = has(m, LORA_KRON_1A) && has(m, LORA_KRON_1B),
                   second = has(m, LORA_KRON_2A) && has(m, LORA_KRON_2B);
        if (has(m, LORA_KRON_1) == first || has(m, LORA_KRON_2) == second ||
            (has(m, LORA_KRON_T2) && !second))
            return "one of its matrices (lokr_...) is missing, or there are too many";
        *rank = first ? side(m, LORA_KRON_1B, 0) : second ? side(m, LORA_KRON_2B, 0) : 0;
        return (first || second) && *rank == 0 ? "its rank is 0" : NULL;
    }
    m->kind = LORA_KIND_DIFF;
    return diff ? NULL : "an alpha without matrices";
}

static mzt_status read_alpha(const lora_file *f, lora_module *m, uint64_t rank, mzt_error *error) {
    const weights_tensor *t = m->parts[LORA_ALPHA];
    float alpha = 0;
    m->factor = 1;
    if (!t) return MZT_OK;
    if (t->count != 1) return complain(f, t->name, MZT_ERROR_FORMAT, error, "expected one value");
    TRY(weights_convert(t, 0, 1, DTYPE_F32, &alpha, error));
    if (!isfinite(alpha) || fabsf(alpha) > 1e6f) {
        char what[80];
        snprintf(what, sizeof what, "alpha is %g: expected a number within 1e6 of 0", (double)alpha);
        return complain(f, t->name, MZT_ERROR_FORMAT, error, what);
    }
    if (rank) m->factor = (double)alpha / (double)rank;
    return MZT_OK;
}

/* --------------------------------------------------------------------------------------------------------
 * PEFT's metadata -- */

/* diffusers writes PEFT's settings beside the tensors, as JSON of "unet.lora_alpha" and the like. They count
 * where a module has no alpha of its own. */
static double metadata_alpha(json_value settings, const char *prefix, const lora_module *m, double fallback) {
    char key[64];
    double alpha = fallback;
    snprintf(key, sizeof key, "%s.lora_alpha", prefix);
    if (json_kind_of(json_get(settings, key)) == JSON_NUMBER)
        json_as_double(json_get(settings, key), &alpha, NULL);
    snprintf(key, sizeof key, "%s.alpha_pattern", prefix);
    for (json_value v = json_first(json_get(settings, key)); v.item; v = json_next(v)) {
        char pattern[256];
        const char *text = json_key(v);
        if (!text || strlen(text) >= sizeof pattern || json_kind_of(v) != JSON_NUMBER) continue;
        size_t n = 0;
        for (; text[n]; n++)
            pattern[n] = text[n] == '.' ? '_' : text[n];
        const size_t length = strlen(m->name);
        pattern[n] = 0;
        if (length >= n && strcmp(m->name + length - n, pattern) == 0 &&
            (length == n || m->name[length - n - 1] == '_'))
            json_as_double(v, &alpha, NULL);
    }
    return alpha;
}

static mzt_status apply_metadata(lora_file *f, mzt_error *error) {
    static const char *const prefixes[LORA_NETWORK_COUNT] = {"unet", "text_encoder", "text_encoder_2"};
    const char *text = safetensors_metadata(f->file, "lora_adapter_metadata");
    json_doc *doc = NULL;
    mzt_status status = MZT_OK;
    if (!text) return MZT_OK;
    TRY(json_parse(f->host, safetensors_name(f->file), text, strlen(text), &doc, error));
    for (uint32_t i = 0; i < f->count && status >= 0; i++) {
        lora_module *m = &f->modules[i];
        if (m->kind != LORA_KIND_PRODUCT || m->parts[LORA_ALPHA]) continue;
        const double rank = (double)side(m, LORA_DOWN, 0),
                     alpha = metadata_alpha(json_root(doc), prefixes[m->network], m, rank);
        char key[64];
        bool stabilised = false;
        snprintf(key, sizeof key, "%s.use_rslora", prefixes[m->network]);
        if (json_kind_of(json_get(json_root(doc), key)) == JSON_BOOL)
            json_as_bool(json_get(json_root(doc), key), &stabilised, NULL);
        if (!isfinite(alpha) || fabs(alpha) > 1e6)
            status = complain(f, m->key, MZT_ERROR_FORMAT, error,
                              "the metadata's lora_alpha is not within 1e6 of 0");
        m->factor = alpha / (stabilised ? sqrt(rank) : rank);
    }
    json_destroy(doc);
    return status;
}

/* --------------------------------------------------------------------------------------------------------------
 * gathering -- */

static mzt_status finish_module(const lora_file *f, lora_module *m, mzt_error *error) {
    uint64_t rank;
    for (int i = 0; i < LORA_PART_COUNT; i++) {
        const weights_tensor *t = m->parts[i];
        if (t && i != LORA_ALPHA && t->count == 0)
            return complain(f, t->name, MZT_ERROR_FORMAT, error, "has no elements: its rank is 0");
    }
    const char *wrong = find_kind(m, &rank);
    if (wrong) return complain(f, m->key, MZT_ERROR_FORMAT, error, wrong);
    return read_alpha(f, m, rank, error);
}

static mzt_status gather(lora_file *f, entry *entries, uint32_t count, mzt_error *error) {
    qsort(entries, count, sizeof *entries, compare_entries);
    f->modules = host_calloc(f->host, count, sizeof *f->modules);
    if (!f->modules) return error_memory(error, safetensors_name(f->file), count * sizeof *f->modules);
    for (uint32_t i = 0; i < count; i++) {
        const lora_key *k = &entries[i].key;
        lora_module *m = f->count ? &f->modules[f->count - 1] : NULL;
        if (!m || m->network != k->network || strcmp(m->name, k->module) != 0) {
            m = &f->modules[f->count];
            m->network = k->network;
            m->key = entries[i].tensor->name;
            m->name = host_strdup(f->host, k->module);
            if (!m->name) return error_memory(error, k->module, strlen(k->module));
            f->count++;
        }
        if (m->parts[k->part])
            return complain(f, entries[i].tensor->name, MZT_ERROR_FORMAT, error,
                            "the module has this matrix twice");
        m->parts[k->part] = entries[i].tensor;
    }
    for (uint32_t i = 0; i < f->count; i++)
        TRY(finish_module(f, &f->modules[i], error));
    return apply_metadata(f, error);
}

static mzt_status read_keys(lora_file *f, mzt_error *error) {
    const uint32_t count = safetensors_count(f->file);
    if (count > TENSOR_LIMIT)
        return error_set(error, MZT_ERROR_FORMAT, "%s: %u tensors: expected a LoRA file, with at most %d",
                         safetensors_name(f->file), (unsigned)count, TENSOR_LIMIT);
    entry *entries = host_calloc(f->host, count, sizeof *entries);
    f->unknown = host_calloc(f->host, count, sizeof *f->unknown);
    uint32_t used = 0;
    mzt_status status = entries && f->unknown
                            ? MZT_OK
                            : error_memory(error, safetensors_name(f->file), count * sizeof *entries);
    for (uint32_t i = 0; i < count && status >= 0; i++) {
        const weights_tensor *t = safetensors_at(f->file, i);
        const lora_key k = lora_key_parse(t->name);
        if (k.part == LORA_UNSUPPORTED)
            status = complain(f, t->name, MZT_ERROR_UNSUPPORTED, error,
                              "this kind of adapter (DoRA, IA3, OFT, biases) is not supported: LoRA, LoHa, "
                              "LoKr and diff are");
        else if (k.part == LORA_UNKNOWN)
            f->unknown[f->unknown_count++] = t->name;
        else
            entries[used++] = (entry){k, t};
    }
    if (status >= 0 && used == 0)
        status = error_set(error, MZT_ERROR_FORMAT,
                           "%s: none of its %u tensors is a LoRA's; the first is \"%.100s\"",
                           safetensors_name(f->file), (unsigned)count, f->unknown_count ? f->unknown[0] : "");
    if (status >= 0) status = gather(f, entries, used, error);
    host_free(f->host, entries);
    return status;
}

mzt_status lora_file_create(const base_host *host, safetensors_file *file, double scale, lora_file **out,
                            mzt_error *error) {
    *out = NULL;
    lora_file *f = host_calloc(host, 1, sizeof *f);
    if (!f) {
        safetensors_close(file);
        return error_memory(error, "LoRA", sizeof *f);
    }
    *f = (lora_file){.host = host, .file = file, .scale = scale};
    mzt_status status = read_keys(f, error);
    if (status < 0)
        lora_file_destroy(f);
    else
        *out = f;
    return status;
}

void lora_file_destroy(lora_file *f) {
    if (!f) return;
    for (uint32_t i = 0; i < f->count; i++)
        host_free(f->host, f->modules[i].name);
    host_free(f->host, f->modules);
    host_free(f->host, f->unknown);
    safetensors_close(f->file);
    host_free(f->host, f);
}
