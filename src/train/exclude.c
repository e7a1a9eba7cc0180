/* Forbidden combinations; see exclude.h. */
#include "train/exclude.h"

#include <string.h>

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

bool exclude_next_word(const char *text, size_t *at, size_t *first) {
    while (text[*at] && !is_word_byte(text[*at]))
        ++*at;
    *first = *at;
    while (is_word_byte(text[*at]))
        ++*at;
    return *at > *first;
}

mzt_status exclude_add(exclude_list *list, const char *combination, mzt_error *error) {
    exclude_rule rule = {.colour = COLOUR_NONE};
    size_t at = 0, first;
    while (exclude_next_word(combination, &at, &first)) {
        char word[32] = "";
        const size_t length = at - first;
        if (length >= sizeof word || rule.count == EXCLUDE_WORDS_LIMIT)
            return error_set(error, MZT_ERROR_INVALID, "exclude \"%.60s\": at most %u words of 31 letters",
                             combination, EXCLUDE_WORDS_LIMIT);
        for (size_t i = 0; i < length; i++)
            word[i] = lower(combination[first + i]);
        const colour c = colour_find(word, length);
        if (c != COLOUR_NONE && rule.colour == COLOUR_NONE)
            rule.colour = c;
        else
            memcpy(rule.words[rule.count++], word, sizeof word);
    }
    if (rule.count == 0)
        return error_set(error, MZT_ERROR_INVALID,
                         "exclude \"%.60s\": expected what is excluded, as in \"green banana\"", combination);
    if (!HOST_GROW(list->host, list->rules, list->count, list->capacity))
        return error_memory(error, "exclude", sizeof rule);
    list->rules[list->count++] = rule;
    return MZT_OK;
}

void exclude_free(exclude_list *list) {
    if (list->host) host_free(list->host, list->rules);
    *list = (exclude_list){0};
}

/* Equal without case, or equal but for a plural ending of the text's word. */
static bool same_word(const char *text, size_t length, const char *word) {
    const size_t n = strlen(word);
    if (length < n || length > n + 2) return false;
    for (size_t i = 0; i < n; i++) {
        if (lower(text[i]) != word[i]) return false;
    }
    if (length == n + 1) return lower(text[n]) == 's';
    return length == n || (lower(text[n]) == 'e' && lower(text[n + 1]) == 's');
}

static bool holds_word(const char *text, const char *word) {
    size_t at = 0, first;
    while (exclude_next_word(text, &at, &first)) {
        if (same_word(text + first, at - first, word)) return true;
    }
    return false;
}

static bool holds_colour(const char *text, colour c) {
    size_t at = 0, first;
    while (exclude_next_word(text, &at, &first)) {
        char word[16];
        const size_t length = at - first;
        if (length > sizeof word) continue;
        for (size_t i = 0; i < length; i++)
            word[i] = lower(text[first + i]);
        if (colour_find(word, length) == c) return true;
    }
    return false;
}

static bool matches(const exclude_rule *rule, const char *const *texts, uint32_t count, const double *shares,
                    double limit) {
    for (uint32_t k = 0; k < rule->count; k++) {
        bool found = false;
        for (uint32_t i = 0; i < count && !found; i++)
            found = texts[i] && holds_word(texts[i], rule->words[k]);
        if (!found) return false;
    }
    if (rule->colour == COLOUR_NONE) return true;
    if (shares && shares[rule->colour] >= limit) return true;
    for (uint32_t i = 0; i < count; i++) {
        if (texts[i] && holds_colour(texts[i], rule->colour)) return true;
    }
    return false;
}

const exclude_rule *exclude_match(const exclude_list *list, const char *const *texts, uint32_t text_count,
                                  const double *shares, double limit) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (matches(&list->rules[i], texts, text_count, shares, limit)) return &list->rules[i];
    }
    return NULL;
}
