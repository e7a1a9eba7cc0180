/* Command-line options; see options.h. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Optimal string alignment distance of short words; long words count as far. */
static uint32_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    uint32_t rows[3][40];
    if (n >= 40 || m >= 40) return 99;
    for (size_t j = 0; j <= m; j++) rows[0][j] = (uint32_t)j;
    for (size_t i = 1; i <= n; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= m; j++) {
            uint32_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *nearest_name(const char *word, const char *const *names, uint32_t count) {
    const char *best = NULL;
    uint32_t best_distance = (uint32_t)strlen(word) / 3 + 2;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance = names[i] ? edit_distance(word, names[i]) : 99;
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

static void print_help(const option_set *set) {
    printf("usage: mezzotint %s [options]%s%s\n\n%s\n", set->command, set->operands[0] ? " " : "", set->operands,
           set->summary);
    printf("\noptions:\n");
    for (uint32_t i = 0; i < set->count; i++) {
        const option *o = &set->options[i];
        char left[64];
        int used = snprintf(left, sizeof left, "  %c%c%s --%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                            o->letter ? "," : " ", o->name);
        if (o->argument && used > 0 && (size_t)used < sizeof left)
            snprintf(left + used, sizeof left - (size_t)used, " %s", o->argument);
        if (strlen(left) > 30)
            printf("%s\n%-32s%s\n", left, "", o->help);
        else
            printf("%-32s%s\n", left, o->help);
    }
    printf("%-32s%s\n", "  -h, --help", "show this text");
    if (set->details) printf("\n%s\n", set->details);
}

static const option *find_long(const option_set *set, const char *name, size_t length) {
    for (uint32_t i = 0; i < set->count; i++)
        if (strlen(set->options[i].name) == length && strncmp(set->options[i].name, name, length) == 0)
            return &set->options[i];
    return NULL;
}

static const option *find_letter(const option_set *set, char letter) {
    for (uint32_t i = 0; i < set->count; i++)
        if (set->options[i].letter && set->options[i].letter == letter) return &set->options[i];
    return NULL;
}

static mzt_status parse_number(const option *o, const char *text, mzt_error *error) {
    char *end;
    errno = 0;
    if (o->kind == OPTION_SEED) {
        unsigned long long value = strtoull(text, &end, 10);
        if (*end || end == text || errno || strchr(text, '-'))
            return error_set(error, MZT_ERROR_INVALID, "--%s %s: expected a whole number from 0 to 18446744073709551615",
                             o->name, text);
        *(uint64_t *)o->target = value;
        return MZT_OK;
    }
    double value = strtod(text, &end);
    bool whole = o->kind == OPTION_COUNT;
    if (*end || end == text || !isfinite(value) || (whole && value != floor(value)))
        return error_set(error, MZT_ERROR_INVALID, "--%s %s: expected a %s", o->name, text, whole ? "whole number" : "number");
    if (value < o->low || value > o->high)
        return error_set(error, MZT_ERROR_INVALID, "--%s %s: must be between %g and %g", o->name, text, o->low, o->high);
    if (whole)
        *(uint32_t *)o->target = (uint32_t)value;
    else
        *(double *)o->target = value;
    return MZT_OK;
}

static mzt_status store(const option *o, const char *text, mzt_error *error) {
    if (o->given) *o->given = true;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->target = true; return MZT_OK;
    case OPTION_TEXT: *(const char **)o->target = text; return MZT_OK;
    case OPTION_LIST: {
        option_list *list = o->target;
        if (list->count == OPTION_LIST_MAX)
            return error_set(error, MZT_ERROR_INVALID, "--%s: at most %d of them", o->name, OPTION_LIST_MAX);
        list->items[list->count++] = text;
        return MZT_OK;
    }
    default: return parse_number(o, text, error);
    }
}

static mzt_status unknown_option(const option_set *set, const char *word, size_t length, mzt_error *error) {
    char name[40];
    const char *names[64];
    uint32_t count = 0;
    snprintf(name, sizeof name, "%.*s", (int)(length < 39 ? length : 39), word);
    for (; count < set->count && count < 64; count++) names[count] = set->options[count].name;
    const char *near = nearest_name(name, names, count);
    return error_set(error, MZT_ERROR_INVALID, "unknown option --%s%s%s%s", name, near ? " (did you mean --" : "",
                     near ? near : "", near ? "?)" : "");
}

/* One argument that begins with '-'; may take the next one as its value. */
static mzt_status parse_option(const option_set *set, int argc, char **argv, int *index, mzt_error *error) {
    const char *word = argv[*index], *value = NULL;
    const option *o;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        o = find_long(set, word + 2, length);
        if (!o) return unknown_option(set, word + 2, length, error);
        if (word[2 + length] == '=') value = word + 3 + length;
    } else {
        o = find_letter(set, word[1]);
        if (!o) return error_set(error, MZT_ERROR_INVALID, "unknown option -%c", word[1]);
        if (word[2]) value = word + 2;
    }
    if (o->kind == OPTION_FLAG) {
        if (value) return error_set(error, MZT_ERROR_INVALID, "--%s takes no value", o->name);
        return store(o, NULL, error);
    }
    if (!value) {
        if (*index + 1 >= argc)
            return error_set(error, MZT_ERROR_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
        value = argv[++*index];
    }
    return store(o, value, error);
}

mzt_status options_parse(const option_set *set, int argc, char **argv, const char **operands, uint32_t *operand_count,
                         mzt_error *error) {
    uint32_t count = 0;
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)) {
            print_help(set);
            return MZT_PENDING;
        } else if (!only_operands && word[0] == '-' && word[1]) {
            TRY(parse_option(set, argc, argv, &i, error));
        } else {
            if (count >= set->operands_max)
                return error_set(error, MZT_ERROR_INVALID, "unexpected argument '%s'%s", word,
                                 set->operands_max == 1 ? " (put a text of several words in quotes)" : "");
            operands[count++] = word;
        }
    }
    if (count < set->operands_min)
        return error_set(error, MZT_ERROR_INVALID, "expected %s (see mezzotint %s --help)", set->operands, set->command);
    *operand_count = count;
    return MZT_OK;
}
