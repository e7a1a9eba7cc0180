/* The notation of weighted prompts; see prompt.h and docs/prompts.md. */
#include "text/prompt.h"

#include <string.h>

#include "text/clean.h"

static const double round_factor = 1.1, square_factor = 1.0 / 1.1;

/* Brackets that wait for their end: the run each of them began before. */
typedef struct open_brackets {
    uint32_t first_run[PROMPT_DEPTH_LIMIT];
    uint32_t count;
} open_brackets;

typedef struct parser {
    const base_host *host;
    const char *text; /* the prompt */
    size_t length;
    size_t written; /* bytes used in runs->text */
    prompt_runs *runs;
    open_brackets round, square;
    mzt_error *error;
} parser;

static mzt_status add_run(parser *p, const char *text, size_t length, bool is_break) {
    prompt_runs *runs = p->runs;
    if (!HOST_GROW(p->host, runs->runs, runs->count, runs->capacity))
        return error_memory(p->error, "prompt", runs->count);
    char *copy = runs->text + p->written; /* runs never hold more bytes than the prompt */
    memcpy(copy, text, length);
    p->written += length;
    runs->runs[runs->count++] = (prompt_run){copy, length, 1.0, is_break};
    return MZT_OK;
}

static void multiply_from(parser *p, uint32_t first, double factor) {
    for (uint32_t i = first; i < p->runs->count; i++)
        p->runs->runs[i].weight *= factor;
}

static mzt_status open_bracket(parser *p, open_brackets *brackets) {
    if (p->round.count + p->square.count >= PROMPT_DEPTH_LIMIT)
        return error_set(p->error, MZT_ERROR_INVALID, "prompt: more than %d open brackets",
                         PROMPT_DEPTH_LIMIT);
    brackets->first_run[brackets->count++] = p->runs->count;
    return MZT_OK;
}

static void close_bracket(parser *p, open_brackets *brackets, double factor) {
    multiply_from(p, brackets->first_run[--brackets->count], factor);
}

/* ------------------------------------------------------------------------------------------------------
 * weights -- */

static size_t skip_spaces(const char *text, size_t length, size_t at) {
    while (at < length) {
        int32_t code;
        size_t bytes = text_decode(text + at, length - at, &code);
        if (!text_is_space(code)) break;
        at += bytes;
    }
    return at;
}

/* Reads ":NUMBER)" with spaces around the number: digits with at most one point, perhaps a sign. Digits are
 * gathered into an integer that stays exact up to 15 of them, so that the quotient is the nearest double.
 * Returns the bytes used, 0 where there is no such thing. */
static size_t read_weight(const char *text, size_t length, double *weight) {
    size_t at = skip_spaces(text, length, 1), digits = 0;
    double mantissa = 0, scale = 1, sign = 1;
    bool point = false;
    if (at < length && (text[at] == '+' || text[at] == '-')) sign = text[at++] == '-' ? -1 : 1;
    for (; at < length; at++) {
        if (text[at] == '.' && !point) {
            point = true;
        } else if (text[at] >= '0' && text[at] <= '9') {
            digits++;
            if (point && scale >= 1e15) continue; /* beyond what a double tells apart */
            mantissa = mantissa * 10 + (text[at] - '0');
            if (point) scale *= 10;
        } else {
            break;
        }
    }
    at = skip_spaces(text, length, at);
    if (digits == 0 || at >= length || text[at] != ')') return 0;
    *weight = sign * mantissa / scale;
    return at + 1;
}

/* --------------------------------------------------------------------------------------------------- plain
 * text -- */

static bool is_word_character(int32_t code) {
    return code == '_' || text_is_letter(code) || text_is_number(code);
}

/* The code point that ends before text[at], U+FFFD at the beginning. */
static int32_t code_before(const char *text, size_t at) {
    int32_t code = 0xFFFD;
    size_t back = 1;
    while (back < 4 && back < at && ((uint8_t)text[at - back] & 0xC0) == 0x80)
        back++;
    if (at > 0 && text_decode(text + at - back, back, &code) != back) code = 0xFFFD;
    return code;
}

/* The first BREAK that stands as a word of its own at or after `from`; `length` when there is none. */
static size_t find_break(const char *text, size_t length, size_t from) {
    for (size_t at = from; at + 5 <= length; at++) {
        if (memcmp(text + at, "BREAK", 5) != 0 || is_word_character(code_before(text, at))) continue;
        int32_t after = 0xFFFD;
        if (at + 5 < length) text_decode(text + at + 5, length - at - 5, &after);
        if (!is_word_character(after)) return at;
    }
    return length;
}

/* Drops white space from the end of text[from, to). */
static size_t trim_end(const char *text, size_t from, size_t to) {
    while (to > from && text_is_space(code_before(text, to))) {
        do
            to--;
        while (to > from && ((uint8_t)text[to] & 0xC0) == 0x80);
    }
    return to;
}

/* Text without brackets: runs between BREAKs, which swallow the white space around them. */
static mzt_status add_text(parser *p, const char *text, size_t length) {
    size_t from = 0;
    for (;;) {
        size_t found = find_break(text, length, from);
        if (found == length) return add_run(p, text + from, length - from, false);
        TRY(add_run(p, text + from, trim_end(text, from, found) - from, false));
        TRY(add_run(p, "", 0, true));
        from = skip_spaces(text, length, found + 5);
    }
}

/* -------------------------------------------------------------------------------------------------------
 * parser -- */

/* Takes one element of the notation at `at`; *used is its length in bytes. */
static mzt_status take_element(parser *p, size_t at, size_t *used) {
    const char *text = p->text + at;
    size_t left = p->length - at;
    double weight;
    *used = 1;
    switch (*text) {
    case '\\':
        if (left > 1 && strchr("()[]\\", text[1]) && text[1] != '\0') {
            *used = 2;
            return add_run(p, text + 1, 1, false);
        }
        return add_run(p, "", 0, false); /* a lone backslash is dropped */
    case '(':
        return open_bracket(p, &p->round);
    case '[':
        return open_bracket(p, &p->square);
    case ')':
        if (p->round.count == 0) return add_run(p, text, 1, false);
        close_bracket(p, &p->round, round_factor);
        return MZT_OK;
    case ']':
        if (p->square.count == 0) return add_run(p, text, 1, false);
        close_bracket(p, &p->square, square_factor);
        return MZT_OK;
    case ':': {
        size_t bytes = read_weight(text, left, &weight);
        *used = bytes ? bytes : 1;
        if (bytes == 0 || p->round.count == 0) return add_text(p, text, *used);
        close_bracket(p, &p->round, weight);
        return MZT_OK;
    }
    default:
        while (*used < left && !(memchr("\\()[]:", text[*used], 6)))
            ++*used;
        return add_text(p, text, *used);
    }
}

/* Neighbours of equal weight become one run. Their texts lie side by side already. */
static void join_equal(prompt_runs *runs) {
    uint32_t used = 0;
    for (uint32_t i = 0; i < runs->count; i++) {
        prompt_run *run = &runs->runs[i], *last = used ? &runs->runs[used - 1] : NULL;
        if (last && !last->is_break && !run->is_break && last->weight == run->weight)
            last->length += run->length;
        else
            runs->runs[used++] = *run;
    }
    runs->count = used;
}

mzt_status prompt_parse(const base_host *host, const char *text, size_t length, prompt_runs *runs,
                        mzt_error *error) {
    parser p = {.host = host, .text = text, .length = length, .runs = runs, .error = error};
    memset(runs, 0, sizeof *runs);
    if (length > TEXT_LIMIT)
        return error_set(error, MZT_ERROR_INVALID, "prompt of %zu bytes: expected at most %u", length,
                         TEXT_LIMIT);
    runs->text = host_calloc(host, length + 1, 1);
    if (!runs->text) return error_memory(error, "prompt", length);
    for (size_t at = 0, used; at < length; at += used)
        TRY(take_element(&p, at, &used));
    for (uint32_t i = 0; i < p.round.count; i++)
        multiply_from(&p, p.round.first_run[i], round_factor);
    for (uint32_t i = 0; i < p.square.count; i++)
        multiply_from(&p, p.square.first_run[i], square_factor);
    if (runs->count == 0) TRY(add_run(&p, "", 0, false));
    for (uint32_t i = 0; i < runs->count; i++) {
        double weight = runs->runs[i].weight;
        if (!(weight >= -PROMPT_WEIGHT_LIMIT && weight <= PROMPT_WEIGHT_LIMIT))
            return error_set(error, MZT_ERROR_INVALID, "prompt: \"%.*s\" has weight %g, expected %g or less",
                             (int)(runs->runs[i].length < 40 ? runs->runs[i].length : 40), runs->runs[i].text,
                             weight, PROMPT_WEIGHT_LIMIT);
    }
    join_equal(runs);
    return MZT_OK;
}

void prompt_runs_free(const base_host *host, prompt_runs *runs) {
    host_free(host, runs->runs);
    host_free(host, runs->text);
    memset(runs, 0, sizeof *runs);
}
