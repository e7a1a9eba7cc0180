/* Lower case with the context rules of Unicode's full case mapping (SpecialCasing.txt) that act outside
 * Turkish and Lithuanian: capital I with dot becomes i + combining dot, and a capital sigma at the end of a
 * word the final sigma. */
#include "text/clean.h"

#include <utf8proc.h>

/* Word_Break = MidLetter, MidNumLet or Single_Quote: punctuation inside words, ignored around a sigma. */
static bool is_mid_letter(int32_t c) {
    static const int32_t marks[] = {'\'',   '.',    ':',    0x00B7, 0x0387, 0x055F, 0x05F4, 0x2018, 0x2019,
                                    0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (c == marks[i]) return true;
    }
    return false;
}

static bool is_case_ignorable(int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return is_mid_letter(c);
    }
}

/* Upper, lower or title case; beyond the categories, Roman numerals and circled letters are cased too. */
static bool is_cased(int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        return (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) || c == 0x00AA || c == 0x00BA;
    }
}

/* Final_Sigma: a cased letter before, none after, skipping what is case-ignorable. Spaces end the search. */
static bool is_final_sigma(const int32_t *codes, size_t count, size_t at) {
    size_t before = at, after = at + 1;
    while (before > 0 && is_case_ignorable(codes[before - 1]))
        before--;
    if (before == 0 || !is_cased(codes[before - 1])) return false;
    while (after < count && is_case_ignorable(codes[after]))
        after++;
    return after == count || !is_cased(codes[after]);
}

size_t text_lower(const int32_t *codes, size_t count, int32_t *out) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (codes[i] == 0x0130) {
            out[used++] = 'i';
            out[used++] = 0x0307;
        } else if (codes[i] == 0x03A3) {
            out[used++] = is_final_sigma(codes, count, i) ? 0x03C2 : 0x03C3;
        } else {
            out[used++] = utf8proc_tolower(codes[i]);
        }
    }
    return used;
}
