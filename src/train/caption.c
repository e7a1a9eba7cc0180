/* Building captions; see caption.h. */
#include "train/caption.h"

#include <string.h>

#include "train/exclude.h"

/* A text that grows up to its limit and then stays as it is. */
typedef struct line {
    char *text;
    size_t length, size;
    bool full;
} line;

static line line_begin(char *text, size_t size) {
    text[0] = '\0';
    return (line){.text = text, .size = size};
}

/* Appends a word behind a space. Nothing is ever cut within a word. */
static void add_word(line *l, const char *word, size_t length) {
    if (length == 0 || l->full) return;
    const size_t space = l->length > 0 && word[0] != ',';
    if (l->length + space + length + 1 > l->size) {
        l->full = true;
        return;
    }
    if (space) l->text[l->length++] = ' ';
    for (size_t i = 0; i < length; i++) {
        char c = word[i];
        l->text[l->length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    l->text[l->length] = '\0';
}

static const char *mirrored_word(const char *word, size_t length) {
    static const char *const pairs[][2] = {
        {"left", "right"},         {"leftwards", "rightwards"},       {"leftward", "rightward"},
        {"lefthand", "righthand"}, {"clockwise", "counterclockwise"}, {"clockwise", "anticlockwise"},
        {"west", "east"},          {"northwest", "northeast"},        {"southwest", "southeast"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (int side = 0; side < 2; side++) {
            if (strlen(pairs[i][side]) == length && memcmp(pairs[i][side], word, length) == 0)
                return pairs[i][1 - side];
        }
    }
    return NULL;
}

/* Appends the words of `text`, mirrored if the picture is. Colour words are left out with `no_colours`. */
static void add_words(line *l, const char *text, const caption_source *s, bool no_colours) {
    size_t at = 0, first;
    while (exclude_next_word(text, &at, &first)) {
        char word[64];
        const size_t length = at - first;
        const char *other = NULL;
        if (length < sizeof word) {
            for (size_t i = 0; i < length; i++) {
                char c = text[first + i];
                word[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
            }
            if (no_colours && colour_find(word, length) != COLOUR_NONE) continue;
            if (s->mirrored) other = mirrored_word(word, length);
        }
        add_word(l, other ? other : text + first, other ? strlen(other) : length);
    }
}

static bool has_colour(const char *text) {
    size_t at = 0, first;
    while (exclude_next_word(text, &at, &first)) {
        char word[16];
        const size_t length = at - first;
        for (size_t i = 0; i < length && length < sizeof word; i++) {
            char c = text[first + i];
            word[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        if (length < sizeof word && colour_find(word, length) != COLOUR_NONE) return true;
    }
    return false;
}

/* What a caption is put together from; "" where there is nothing. */
typedef struct parts {
    char noun[128], keyword[64];
    const char *colour, *style;
} parts;

/* Templates: # noun, * colour, ^ style, + keyword, ~ "a" or "an". Those that need what is not there are not
 * drawn. The first ones of each kind are drawn most. */
static const char *const templates[] = {
    "#",     "~ #",        "a picture of ~ #", "# icon",   "# , +",
    "* #",   "~ * #",      "~ # that is *",    "# , *",    "* # , +",
    "^ #",   "# , ^",      "~ # in ^ style",   "^ # icon", "^ style #",
    "^ * #", "^ * # icon", "~ * # in ^ style", "* # , ^",  "~ ^ # that is *",
};
enum { TEMPLATE_COUNT = sizeof templates / sizeof *templates };

static bool fits(const char *template, const parts *p, bool must_colour) {
    const bool coloured = strchr(template, '*') != NULL;
    if (coloured && !p->colour[0]) return false;
    if (must_colour && !coloured) return false;
    if (strchr(template, '^') && !p->style[0]) return false;
    return !strchr(template, '+') || p->keyword[0];
}

static bool vowel(const char *word) {
    return word[0] && strchr("aeiou", word[0]) != NULL;
}

static void fill(line *l, const char *template, const parts *p) {
    bool article = false;
    for (const char *t = template; *t;) {
        const char *end = strchr(t, ' ');
        const size_t length = end ? (size_t)(end - t) : strlen(t);
        const char *piece = *t == '#'   ? p->noun
                            : *t == '*' ? p->colour
                            : *t == '^' ? p->style
                            : *t == '+' ? p->keyword
                                        : t;
        const size_t piece_length = piece == t ? length : strlen(piece);
        if (*t == '~') {
            article = true;
        } else {
            if (article) add_word(l, vowel(piece) ? "an" : "a", vowel(piece) ? 2 : 1);
            article = false;
            add_word(l, piece, piece_length);
        }
        t += end ? length + 1 : length;
    }
}

/* A keyword that says something else than the name: up to four tries. */
static const char *choose_keyword(const caption_source *s, train_draws *draws) {
    const char *chosen = "";
    for (int i = 0; i < 4; i++) {
        const uint32_t pick = s->keyword_count ? draws_below(draws, s->keyword_count) : 0;
        if (s->keyword_count == 0 || chosen[0]) continue;
        if (strcmp(s->keywords[pick], s->name) != 0 && !has_colour(s->keywords[pick]))
            chosen = s->keywords[pick];
    }
    return chosen;
}

void caption_build(const caption_source *s, train_draws *draws, char caption[CAPTION_SIZE]) {
    parts p = {.colour = "", .style = s->style ? s->style : ""};
    const char *keyword = choose_keyword(s, draws);
    const bool by_keyword = draws_uniform(draws) < 0.15 && keyword[0];
    const bool say_colour = s->recoloured || draws_uniform(draws) < 0.5;
    const bool take_out = s->recoloured || draws_uniform(draws) < 0.5;
    const char *name = by_keyword ? keyword : s->name;
    line noun = line_begin(p.noun, sizeof p.noun), extra = line_begin(p.keyword, sizeof p.keyword);
    const bool coloured_name = has_colour(name);
    /* A name's own colour word stays in its place, or gives way to the changed colour. An unchanged "blue"
     * whale that was measured as grey keeps its word. */
    if (s->colour != COLOUR_NONE && say_colour && (!coloured_name || take_out))
        p.colour = colour_name(s->colour);
    add_words(&noun, name, s, s->recoloured);
    if (!s->recoloured && coloured_name) p.colour = "";
    if (!p.noun[0]) add_words(&noun, s->name, s, false);
    if (!by_keyword) add_words(&extra, keyword, s, false);
    const bool must_colour = s->recoloured && p.colour[0];
    uint32_t fitting[TEMPLATE_COUNT], count = 0;
    for (uint32_t i = 0; i < TEMPLATE_COUNT; i++) {
        if (fits(templates[i], &p, must_colour)) fitting[count++] = i;
    }
    line l = line_begin(caption, CAPTION_SIZE);
    fill(&l, templates[fitting[draws_below(draws, count)]], &p);
}

void caption_plain(const caption_source *s, char caption[CAPTION_SIZE]) {
    line l = line_begin(caption, CAPTION_SIZE);
    if (s->style) add_words(&l, s->style, s, false);
    if (s->recoloured && s->colour != COLOUR_NONE)
        add_word(&l, colour_name(s->colour), strlen(colour_name(s->colour)));
    add_words(&l, s->name, s, s->recoloured);
}

bool caption_fixed_handedness(const char *name) {
    static const char *const words[] = {
        "keycap",  "letter",   "letters",  "latin",     "button",     "input", "numbers", "symbols",
        "clock",   "clocks",   "o",        "calendar",  "question",   "mark",  "sign",    "100",
        "musical", "currency", "japanese", "copyright", "registered", "trade", "abcd"};
    size_t at = 0, first;
    while (exclude_next_word(name, &at, &first)) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            const size_t length = strlen(words[i]);
            size_t k = 0;
            if (length != at - first) continue;
            while (k < length && (name[first + k] | 0x20) == (words[i][k] | 0x20))
                k++;
            if (k == length) return true;
        }
    }
    return false;
}
