/* Words a model was trained on; see known_words.h. */
#include "text/known_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/clean.h"

enum { FILE_LIMIT = 16 << 20, WORD_LIMIT = 256 };

/* A stretch of the file's text. */
typedef struct word_span {
    const char *text;
    size_t length;
} word_span;

struct known_words {
    const base_host *host;
    char *text;
    word_span *spans; /* sorted */
    uint32_t count, capacity;
};

static int compare(const void *a, const void *b) {
    const word_span *x = a, *y = b;
    const size_t shorter = x->length < y->length ? x->length : y->length;
    const int order = memcmp(x->text, y->text, shorter);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static mzt_status split_lines(known_words *words, uint64_t size, const char *path, mzt_error *error) {
    const char *at = words->text, *end = words->text + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at);
        const char *next = at + length + 1;
        if (length && at[length - 1] == '\r') length--;
        if (length) {
            if (!HOST_GROW(words->host, words->spans, words->count, words->capacity))
                return error_memory(error, path, sizeof *words->spans);
            words->spans[words->count++] = (word_span){at, length};
        }
        at = next;
    }
    if (words->count) qsort(words->spans, words->count, sizeof *words->spans, compare);
    return MZT_OK;
}

mzt_status known_words_read(const base_host *host, const char *folder, known_words **out, mzt_error *error) {
    *out = NULL;
    char *path = path_join(host, folder, KNOWN_WORDS_FILE);
    if (!path) return error_memory(error, folder, strlen(folder));
    if (!host_file_exists(host, path)) {
        host_free(host, path);
        return MZT_OK;
    }
    known_words *words = host_calloc(host, 1, sizeof *words);
    mzt_status status = words ? MZT_OK : error_memory(error, path, sizeof *words);
    uint64_t size = 0;
    if (words) {
        words->host = host;
        status = file_read(host, path, FILE_LIMIT, &words->text, &size, error);
    }
    if (status >= 0) status = split_lines(words, size, path, error);
    host_free(host, path);
    if (status < 0) {
        known_words_destroy(words);
        words = NULL;
    }
    *out = words;
    return status;
}

void known_words_destroy(known_words *words) {
    if (!words) return;
    host_free(words->host, words->spans);
    host_free(words->host, words->text);
    host_free(words->host, words);
}

bool known_words_has(const known_words *words, const char *word, size_t length) {
    const word_span wanted = {word, length};
    return words->count && bsearch(&wanted, words->spans, words->count, sizeof wanted, compare);
}

/* UTF-8 of codes [first, end); 0 when it does not fit. */
static size_t spell(const text_codes *codes, size_t first, size_t end, char out[WORD_LIMIT]) {
    size_t length = 0;
    for (size_t i = first; i < end; i++) {
        if (length + 5 > WORD_LIMIT) return 0;
        length += text_encode(codes->codes[i], out + length);
    }
    out[length] = '\0';
    return length;
}

mzt_status known_words_check(const known_words *words, const char *text,
                             void (*report)(void *user, const char *word), void *user, mzt_error *error) {
    text_codes codes = {0};
    TRY(text_clean(words->host, text, strlen(text), &codes, error));
    size_t position = 0, first, earlier_first;
    while (text_next_word(&codes, &position, &first)) {
        char word[WORD_LIMIT], before[WORD_LIMIT];
        const size_t length = text_is_letter(codes.codes[first]) ? spell(&codes, first, position, word) : 0;
        if (length == 0 || known_words_has(words, word, length)) continue;
        bool repeated = false;
        for (size_t at = 0;
             !repeated && text_next_word(&codes, &at, &earlier_first) && earlier_first < first;)
            repeated =
                spell(&codes, earlier_first, at, before) == length && memcmp(before, word, length) == 0;
        if (!repeated) report(user, word);
    }
    text_codes_free(words->host, &codes);
    return MZT_OK;
}
