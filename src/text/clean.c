/* Text cleaning; see clean.h. utf8proc supplies categories, composition and simple lower case. */
#include "text/clean.h"

#include <string.h>
#include <utf8proc.h>

size_t text_decode(const char *text, size_t length, int32_t *code) {
    utf8proc_int32_t value = -1;
    size_t window = length < 4 ? length : 4;
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)window, &value);
    if (used <= 0) {
        *code = 0xFFFD;
        return 1;
    }
    *code = value;
    return (size_t)used;
}

size_t text_encode(int32_t code, char out[4]) {
    return (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out);
}

bool text_is_utf8(const char *text, size_t length) {
    while (length > 0) {
        int32_t code;
        const size_t used = text_decode(text, length, &code);
        if (code == 0xFFFD && used == 1) return false;
        text += used;
        length -= used;
    }
    return true;
}

bool text_is_letter(int32_t code) {
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool text_is_number(int32_t code) {
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool text_is_space(int32_t code) {
    if ((code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F) || code == 0x85) return true;
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(int32_t code) {
    if (code == 0xFFFD) return true;
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return false;
    }
}

/* The CJK Unified Ideographs blocks and the compatibility ideographs, as BERT's tokenizer lists them. */
static bool is_ideograph(int32_t code) {
    static const int32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                        {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF},
                                        {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    }
    return false;
}

/* Steps 1 and 2. `out` has room for 3 bytes per input byte: an ideograph takes at least 3 and gains 2 spaces.
 */
static size_t drop_and_space(const char *text, size_t length, char *out) {
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        int32_t code;
        i += text_decode(text + i, length - i, &code);
        if (code == '\t' || code == '\n' || code == '\r' || utf8proc_category(code) == UTF8PROC_CATEGORY_ZS) {
            out[used++] = ' ';
            continue;
        }
        if (is_dropped(code)) continue;
        bool ideograph = is_ideograph(code);
        if (ideograph) out[used++] = ' ';
        used += text_encode(code, out + used);
        if (ideograph) out[used++] = ' ';
    }
    return used;
}

/* Step 3, through utf8proc's two calls that work in our memory. */
static mzt_status compose(const base_host *host, const char *text, size_t length, text_codes *out,
                          mzt_error *error) {
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t need = utf8proc_decompose(bytes, (utf8proc_ssize_t)length, NULL, 0, options);
    if (need < 0) return error_set(error, MZT_ERROR_INTERNAL, "text: %s", utf8proc_errmsg(need));
    out->codes = host_calloc(host, (size_t)need + 1, sizeof *out->codes); /* utf8proc asks for one spare */
    if (!out->codes) return error_memory(error, "text", (uint64_t)need * sizeof *out->codes);
    need = utf8proc_decompose(bytes, (utf8proc_ssize_t)length, out->codes, need, options);
    if (need >= 0) need = utf8proc_normalize_utf32(out->codes, need, options);
    if (need < 0) return error_set(error, MZT_ERROR_INTERNAL, "text: %s", utf8proc_errmsg(need));
    out->count = (size_t)need;
    return MZT_OK;
}

/* Step 4, in place. */
static void collapse_spaces(text_codes *text) {
    size_t used = 0;
    bool pending = false;
    for (size_t i = 0; i < text->count; i++) {
        if (text_is_space(text->codes[i])) {
            pending = used > 0;
            continue;
        }
        if (pending) text->codes[used++] = ' ';
        pending = false;
        text->codes[used++] = text->codes[i];
    }
    text->count = used;
}

mzt_status text_clean(const base_host *host, const char *text, size_t length, text_codes *out,
                      mzt_error *error) {
    text_codes composed = {NULL, 0};
    out->codes = NULL;
    out->count = 0;
    if (length > TEXT_LIMIT)
        return error_set(error, MZT_ERROR_INVALID, "text of %zu bytes: expected at most %u", length,
                         TEXT_LIMIT);
    char *spaced = host_calloc(host, length + 1, 3);
    if (!spaced) return error_memory(error, "text", length);
    mzt_status status = compose(host, spaced, drop_and_space(text, length, spaced), &composed, error);
    host_free(host, spaced);
    if (status < 0) goto done;
    collapse_spaces(&composed);
    out->codes = host_calloc(host, composed.count + 1, 2 * sizeof *out->codes);
    if (!out->codes) {
        status = error_memory(error, "text", composed.count);
        goto done;
    }
    out->count = text_lower(composed.codes, composed.count, out->codes);
done:
    text_codes_free(host, &composed);
    return status;
}

void text_codes_free(const base_host *host, text_codes *codes) {
    host_free(host, codes->codes);
    codes->codes = NULL;
    codes->count = 0;
}

/* ------------------------------------------------------------------------------------------------------
 * words -- */

/* Length of `name` if the text at `at` begins with it, else 0. The long s counts as s, as case folding has
 * it. */
static size_t match(const text_codes *text, size_t at, const char *name) {
    size_t length = strlen(name);
    if (length > text->count - at) return 0;
    for (size_t i = 0; i < length; i++) {
        int32_t code = text->codes[at + i];
        if (code != name[i] && !(code == 0x017F && name[i] == 's')) return 0;
    }
    return length;
}

bool text_next_word(const text_codes *text, size_t *position, size_t *first) {
    static const char *const names[] = {
        "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const int32_t *codes = text->codes;
    size_t at = *position;
    while (at < text->count && codes[at] == ' ')
        at++;
    *first = *position = at;
    if (at >= text->count) return false;
    if (codes[at] == '<' || codes[at] == '\'') {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            size_t length = match(text, at, names[i]);
            if (length == 0) continue;
            *position = at + length;
            return true;
        }
    }
    if (text_is_number(codes[at])) {
        at++;
    } else if (text_is_letter(codes[at])) {
        while (at < text->count && text_is_letter(codes[at]))
            at++;
    } else {
        while (at < text->count && codes[at] != ' ' && !text_is_letter(codes[at]) &&
               !text_is_number(codes[at]))
            at++;
    }
    *position = at;
    return true;
}
