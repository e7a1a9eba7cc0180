/* A checking pass over JSON text (RFC 8259 plus Python's three extra numbers). cJSON alone would let pass
 * control characters in strings, numbers such as 01, \u0000 (which ends the string early), broken \u escapes
 * and invalid UTF-8. */
#include "json/json_scan.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "json/json.h"

/* cJSON copies numbers through a buffer of 64 bytes; no double needs as much. */
#define NUMBER_LIMIT 60

/* `problem` is NULL while all is well; else it says what is wrong at `at`. */
typedef struct scanner {
    char *text;
    uint64_t size, at;
    uint32_t values;
    const char *problem;
} scanner;

static bool fail(scanner *s, const char *problem) {
    if (!s->problem) s->problem = problem;
    return false;
}

/* The byte at the reading position; 0 at the end (a NUL in the text is refused wherever it stands). */
static char peek(const scanner *s) {
    return s->at < s->size ? s->text[s->at] : '\0';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static void skip_space(scanner *s) {
    for (char c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
        s->at++;
}

static bool starts_with(const scanner *s, const char *word) {
    size_t length = strlen(word);
    return s->size - s->at >= length && memcmp(s->text + s->at, word, length) == 0;
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int32_t hex4(const scanner *s, uint64_t at) {
    if (s->size < 4 || at > s->size - 4) return -1;
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = s->text[at + (uint64_t)i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* An escape: `at` is on the backslash. */
static bool scan_escape(scanner *s) {
    char kind = s->at + 1 < s->size ? s->text[s->at + 1] : '\0';
    if (kind != 'u') {
        if (kind == '\0' || !strchr("\"\\/bfnrt", kind)) return fail(s, "unknown escape in a string");
        s->at += 2;
        return true;
    }
    int32_t code = hex4(s, s->at + 2);
    if (code < 0) return fail(s, "\\u without four hexadecimal digits");
    if (code == 0) return fail(s, "\\u0000 in a string");
    bool high = code >= 0xd800 && code < 0xdc00;
    if (code >= 0xdc00 && code < 0xe000) return fail(s, "unpaired surrogate in a string");
    if (high) {
        bool escaped = s->size - s->at >= 12 && s->text[s->at + 6] == '\\' && s->text[s->at + 7] == 'u';
        int32_t low = escaped ? hex4(s, s->at + 8) : -1;
        if (low < 0xdc00 || low >= 0xe000) return fail(s, "unpaired surrogate in a string");
    }
    s->at += high ? 12 : 6;
    return true;
}

static bool scan_string(scanner *s) {
    s->at++;
    for (;;) {
        if (s->at >= s->size) return fail(s, "string without an end");
        unsigned char byte = (unsigned char)s->text[s->at];
        if (byte == '"') break;
        if (byte == '\\') {
            if (!scan_escape(s)) return false;
        } else if (byte < 0x20) {
            return fail(s, "control character in a string");
        } else if (byte < 0x80) {
            s->at++;
        } else {
            uint64_t rest = s->size - s->at;
            utf8proc_int32_t code;
            utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)s->text + s->at,
                                                       rest < 4 ? (utf8proc_ssize_t)rest : 4, &code);
            if (length <= 0) return fail(s, "invalid UTF-8 in a string");
            s->at += (uint64_t)length;
        }
    }
    s->at++;
    return true;
}

static bool scan_digits(scanner *s) {
    if (!is_digit(peek(s))) return fail(s, "expected a digit");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

static bool scan_number(scanner *s) {
    uint64_t start = s->at;
    if (peek(s) == '-') s->at++;
    if (peek(s) == '0') {
        s->at++;
        if (is_digit(peek(s))) return fail(s, "number with a leading zero");
    } else if (!scan_digits(s)) {
        return false;
    }
    if (peek(s) == '.') {
        s->at++;
        if (!scan_digits(s)) return false;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (!scan_digits(s)) return false;
    }
    if (s->at - start > NUMBER_LIMIT) return fail(s, "number of more than 60 characters");
    return true;
}

/* true, false, null, and the extra numbers, which are replaced by something of the same length. */
static bool scan_word(scanner *s) {
    static const struct {
        const char *word, *replacement;
    } words[] = {{"true", NULL},           {"false", NULL},
                 {"null", NULL},           {"NaN", "\"" JSON_NAN_MARK "\""},
                 {"Infinity", "1e999   "}, {"-Infinity", "-1e999   "}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!starts_with(s, words[i].word)) continue;
        size_t length = strlen(words[i].word);
        if (words[i].replacement) memcpy(s->text + s->at, words[i].replacement, length);
        s->at += length;
        return true;
    }
    return fail(s, "expected a value");
}

static bool scan_value(scanner *s, uint32_t depth);

/* Members or elements up to the closing bracket; `at` is on the opening one. */
static bool scan_container(scanner *s, uint32_t depth, bool object) {
    char close = object ? '}' : ']';
    if (depth >= JSON_DEPTH_LIMIT) return fail(s, "nested deeper than 64 levels");
    s->at++;
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return true;
    }
    for (;;) {
        if (object) {
            skip_space(s);
            if (peek(s) != '"') return fail(s, "expected a key in quotes");
            if (!scan_string(s)) return false;
            skip_space(s);
            if (peek(s) != ':') return fail(s, "expected ':' behind a key");
            s->at++;
        }
        if (!scan_value(s, depth + 1)) return false;
        skip_space(s);
        char next = peek(s);
        if (next != ',' && next != close)
            return fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
        s->at++;
        if (next == close) return true;
    }
}

static bool scan_value(scanner *s, uint32_t depth) {
    if (++s->values > JSON_VALUE_LIMIT) return fail(s, "more than 4194304 values");
    skip_space(s);
    char c = peek(s);
    if (c == '{' || c == '[') return scan_container(s, depth, c == '{');
    if (c == '"') return scan_string(s);
    if (is_digit(c) || (c == '-' && !starts_with(s, "-I"))) return scan_number(s);
    return scan_word(s);
}

static mzt_status report(const scanner *s, const char *name, mzt_error *error) {
    uint64_t line = 1, column = 1;
    for (uint64_t i = 0; i < s->at; i++) {
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)s->text[i] & 0xc0u) != 0x80u) {
            column++;
        }
    }
    char found[16] = "the end";
    if (s->at < s->size) {
        unsigned char byte = (unsigned char)s->text[s->at];
        bool printable = byte >= 0x20 && byte < 0x7f;
        snprintf(found, sizeof found, printable ? "'%c'" : "byte 0x%02x", byte);
    }
    return error_set(error, MZT_ERROR_FORMAT, "%s:%llu:%llu: %s, found %s", name, (unsigned long long)line,
                     (unsigned long long)column, s->problem, found);
}

mzt_status json_scan(const char *name, char *text, uint64_t size, mzt_error *error) {
    scanner s = {.text = text, .size = size};
    if (starts_with(&s, "\xef\xbb\xbf")) s.at = 3;
    if (scan_value(&s, 0)) {
        skip_space(&s);
        if (s.at == size) return MZT_OK;
        fail(&s, "text behind the document");
    }
    return report(&s, name, error);
}
