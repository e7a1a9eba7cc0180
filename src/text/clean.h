/* Text cleaning and word splitting as CLIP's tokenizer does them (the form without ftfy, which diffusers
 * users get). Code points are int32_t, as in utf8proc. Thread-safety: pure functions. */
#ifndef TEXT_CLEAN_H
#define TEXT_CLEAN_H

#include "base/host.h"

/* Longest text accepted, in bytes. Canonical ordering of combining marks takes quadratic time, so it must be
 * bounded. */
#define TEXT_LIMIT (1u << 16)

/* Decodes one code point at text[0..length), length > 0. Returns the bytes used (>= 1). A byte that does not
 * begin valid UTF-8 (overlong forms, surrogates and values above U+10FFFF included) gives U+FFFD and uses one
 * byte. */
size_t text_decode(const char *text, size_t length, int32_t *code);

/* Writes a valid code point as UTF-8; returns the bytes written, 1..4. */
size_t text_encode(int32_t code, char out[4]);

/* Whether all of it is valid UTF-8. */
bool text_is_utf8(const char *text, size_t length);

/* Classes by Unicode general category. */
bool text_is_letter(int32_t code); /* L* */
bool text_is_number(int32_t code); /* N* */
bool text_is_space(int32_t code);  /* Zs, Zl, Zp and the ASCII and C1 space controls */

typedef struct text_codes {
    int32_t *codes; /* [count] */
    size_t count;
} text_codes;

/* Cleans `length` bytes of text:
 *  1. U+0000, U+FFFD (so also every invalid byte), controls, format characters, private use and unassigned
 * code points vanish, except tab, line feed and carriage return, which become spaces as all of category Zs
 * do;
 *  2. each CJK ideograph gets a space on either side;
 *  3. canonical composition (NFC);
 *  4. runs of white space become one space, none at either end;
 *  5. lower case, with the two context rules of full case mapping (dotted I, final sigma).
 * `out` belongs to the caller: release with text_codes_free. INVALID for text beyond TEXT_LIMIT,
 * OUT_OF_MEMORY. */
mzt_status text_clean(const base_host *host, const char *text, size_t length, text_codes *out,
                      mzt_error *error);
void text_codes_free(const base_host *host, text_codes *codes);

/* Lower-cases words [codes, count) separated by spaces: step 5 above. `out` has room for 2 * count; returns
 * the count. */
size_t text_lower(const int32_t *codes, size_t count, int32_t *out);

/* Finds the next word of cleaned text at or after *position: a special token's name (<|startoftext|>,
 * <|endoftext|>), an English contraction ('s 't 're 've 'm 'll 'd), a run of letters, one number character,
 * or a run of anything else but spaces. False at the end. The word is [*first, *position) on return. */
bool text_next_word(const text_codes *text, size_t *position, size_t *first);

#endif
