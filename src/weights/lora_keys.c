/* The keys of LoRA files: which network, module and matrix a tensor belongs to. */
#include <stdio.h>
#include <string.h>

#include "weights/lora_internal.h"

/* The ends of keys; where one is the end of another, the longer comes first. */
static const struct {
    const char *text;
    lora_part part;
} endings[] = {
    {".lora_down.weight", LORA_DOWN},
    {".lora_up.weight", LORA_UP},
    {".lora_mid.weight", LORA_MID},
    {".lora_A.weight", LORA_DOWN},
    {".lora_B.weight", LORA_UP},
    {".lora_A.default.weight", LORA_DOWN},
    {".lora_B.default.weight", LORA_UP},
    {".lora_linear_layer.down.weight", LORA_DOWN},
    {".lora_linear_layer.up.weight", LORA_UP},
    {".lora.down.weight", LORA_DOWN},
    {".lora.up.weight", LORA_UP},
    {"_lora.down.weight", LORA_DOWN},
    {"_lora.up.weight", LORA_UP},
    {".lora_linear_layer.alpha", LORA_ALPHA},
    {".lora.alpha", LORA_ALPHA},
    {"_lora.alpha", LORA_ALPHA},
    {".alpha", LORA_ALPHA},
    {".hada_w1_a", LORA_HADA_1A},
    {".hada_w1_b", LORA_HADA_1B},
    {".hada_w2_a", LORA_HADA_2A},
    {".hada_w2_b", LORA_HADA_2B},
    {".hada_t1", LORA_HADA_T1},
    {".hada_t2", LORA_HADA_T2},
    {".lokr_w1", LORA_KRON_1},
    {".lokr_w1_a", LORA_KRON_1A},
    {".lokr_w1_b", LORA_KRON_1B},
    {".lokr_w2", LORA_KRON_2},
    {".lokr_w2_a", LORA_KRON_2A},
    {".lokr_w2_b", LORA_KRON_2B},
    {".lokr_t2", LORA_KRON_T2},
    {".diff", LORA_DIFF},
    {".diff_b", LORA_DIFF},
    {".dora_scale", LORA_UNSUPPORTED}, /* DoRA: the result is brought to learned column norms */
    {".lora_magnitude_vector", LORA_UNSUPPORTED},
    {".lora_magnitude_vector.weight", LORA_UNSUPPORTED},
    {".lora_magnitude_vector.default.weight", LORA_UNSUPPORTED},
    {".lora_B.bias", LORA_UNSUPPORTED},
    {".lokr_t1", LORA_UNSUPPORTED},
    {".oft_blocks", LORA_UNSUPPORTED}, /* orthogonal fine-tuning */
    {".oft_diag", LORA_UNSUPPORTED},
    {".on_input", LORA_UNSUPPORTED}, /* IA3 */
    {".w_norm", LORA_UNSUPPORTED},
    {".b_norm", LORA_UNSUPPORTED},
};

static const struct {
    const char *text;
    lora_network network;
    bool kept; /* the module's name begins with it */
} beginnings[] = {
    {"lora_unet_", LORA_UNET, false},
    {"lora_te_", LORA_TEXT, false},
    {"lora_te1_", LORA_TEXT, false},
    {"lora_te2_", LORA_TEXT_2, false},
    {"unet.", LORA_UNET, false},
    {"text_encoder.", LORA_TEXT, false},
    {"text_encoder_2.", LORA_TEXT_2, false},
    {"diffusion_model.", LORA_UNET, false},
    {"text_model.", LORA_TEXT, true},
    {"down_blocks.", LORA_UNET, true},
    {"mid_block.", LORA_UNET, true},
    {"up_blocks.", LORA_UNET, true},
    {"conv_in", LORA_UNET, true},
    {"conv_out", LORA_UNET, true},
    {"time_embedding.", LORA_UNET, true},
    {"add_embedding.", LORA_UNET, true},
};

static bool ends_with(const char *text, size_t length, const char *end) {
    const size_t n = strlen(end);
    return length > n && memcmp(text + length - n, end, n) == 0;
}

static void replace_end(char *text, size_t size, const char *end, const char *by) {
    const size_t length = strlen(text);
    if (!ends_with(text, length, end)) return;
    const size_t at = length - strlen(end);
    snprintf(text + at, size - at, "%s", by);
}

/* Early diffusers files name the attention's processor, and a text encoder's layers like a UNet's. */
static void modernise(lora_key *k) {
    static const char processor[] = "_processor_";
    char *at = strstr(k->module, processor);
    if (at) memmove(at + 1, at + sizeof processor - 1, strlen(at + sizeof processor - 1) + 1);
    if (k->network == LORA_UNET) {
        replace_end(k->module, sizeof k->module, "_to_out", "_to_out_0");
        return;
    }
    replace_end(k->module, sizeof k->module, "_to_q", "_q_proj");
    replace_end(k->module, sizeof k->module, "_to_k", "_k_proj");
    replace_end(k->module, sizeof k->module, "_to_v", "_v_proj");
    replace_end(k->module, sizeof k->module, "_to_out", "_out_proj");
}

lora_key lora_key_parse(const char *key) {
    static const char wrapper[] = "base_model.model."; /* PEFT's */
    lora_key k = {.part = LORA_UNKNOWN};
    if (strncmp(key, wrapper, sizeof wrapper - 1) == 0) key += sizeof wrapper - 1;
    size_t length = strlen(key), end = 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strlen(endings[i].text) <= end || !ends_with(key, length, endings[i].text)) continue;
        end = strlen(endings[i].text);
        k.part = endings[i].part;
    }
    if (k.part >= LORA_PART_COUNT) return k;
    const lora_part part = k.part;
    k.part = LORA_UNKNOWN;
    length -= end;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        const size_t n = strlen(beginnings[i].text);
        if (length < n || memcmp(key, beginnings[i].text, n) != 0) continue;
        const char *module = beginnings[i].kept ? key : key + n;
        const size_t bytes = length - (size_t)(module - key);
        if (bytes == 0 || bytes + 8 > sizeof k.module) return k;
        for (size_t c = 0; c < bytes; c++)
            k.module[c] = module[c] == '.' ? '_' : module[c];
        k.network = beginnings[i].network;
        k.part = part;
        modernise(&k);
        if (ends_with(key, length + end, ".diff_b")) strcat(k.module, "_bias");
        return k;
    }
    return k;
}

bool lora_kohya_name(lora_network network, const char *module, char *text, size_t size) {
    static const char *const prefixes[LORA_NETWORK_COUNT] = {"lora_unet_", "lora_te_", "lora_te2_"};
    const int length = snprintf(text, size, "%s%s", prefixes[network], module);
    if (length < 0 || (size_t)length >= size) return false;
    for (char *c = text; *c; c++)
        if (*c == '.') *c = '_';
    return true;
}
