/* The training pictures as judges; see reference.h. */
#include "score/reference.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "image/png.h"

#define CONTENT_RIDGE 0.1
#define STYLE_RIDGE   0.01
#define STYLE_WEIGHT  0.5 /* of the squared style distance beside the content's */
#define UNREADABLE    UINT32_MAX

void score_concept(const char *name, char concept[SCORE_NAME]) {
    for (int keep_colours = 0; keep_colours < 2; keep_colours++) {
        size_t at = 0, first, used = 0;
        while (exclude_next_word(name, &at, &first)) {
            char word[SCORE_NAME];
            const size_t length = at - first;
            if (length >= sizeof word) continue;
            for (size_t i = 0; i < length; i++)
                word[i] = (char)(name[first + i] >= 'A' && name[first + i] <= 'Z' ? name[first + i] + 32
                                                                                  : name[first + i]);
            if (!keep_colours && colour_find(word, length) != COLOUR_NONE) continue;
            if (used + length + 2 > SCORE_NAME) break;
            if (used) concept[used++] = ' ';
            memcpy(concept + used, word, length);
            used += length;
        }
        concept[used] = '\0';
        if (used) return;
    }
}

/* Numbers for concepts and styles, in the order of their first picture. */
static mzt_status number_items(score_reference *r, mzt_error *error) {
    const uint32_t n = r->data->count;
    r->names = host_calloc(r->host, n, sizeof *r->names);
    r->style_names = host_calloc(r->host, n, sizeof *r->style_names);
    r->concepts = host_calloc(r->host, n, sizeof *r->concepts);
    r->styles = host_calloc(r->host, n, sizeof *r->styles);
    uint32_t slots = 64, *table;
    while (slots < 2 * n)
        slots *= 2;
    table = host_calloc(r->host, slots, sizeof *table); /* concept number + 1, by hash of the name */
    if (!r->names || !r->style_names || !r->concepts || !r->styles || !table) {
        host_free(r->host, table);
        return error_memory(error, "concepts", (uint64_t)n * SCORE_NAME);
    }
    for (uint32_t i = 0; i < n; i++) {
        char concept[SCORE_NAME];
        score_concept(r->data->items[i].name, concept);
        uint32_t slot = (uint32_t)(draws_hash(concept) >> 32) & (slots - 1);
        while (table[slot] && strcmp(r->names[table[slot] - 1], concept) != 0)
            slot = (slot + 1) & (slots - 1);
        if (!table[slot]) {
            memcpy(r->names[r->concept_count], concept, sizeof concept);
            table[slot] = ++r->concept_count;
        }
        r->concepts[i] = table[slot] - 1;
        uint32_t s = 0;
        while (s < r->style_count && strcmp(r->style_names[s], r->data->items[i].style) != 0)
            s++;
        if (s == r->style_count) r->style_names[r->style_count++] = r->data->items[i].style;
        r->styles[i] = s;
    }
    host_free(r->host, table);
    return MZT_OK;
}

static void look_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    score_reference *r = argument;
    (void)worker;
    for (uint64_t i = first; i < last; i++) {
        const image_png_limits limits = {.max_pixels = 1u << 26};
        image picture = {0};
        mzt_error error;
        char *path = path_join(r->host, r->data->folder, r->data->items[i].file);
        const bool read = path && image_png_read(r->host, path, &limits, &picture, NULL, &error) >= 0;
        if (read)
            score_look_at(&picture, &r->looks[i]);
        else
            r->concepts[i] = UNREADABLE;
        image_free(r->host, &picture);
        host_free(r->host, path);
    }
}

/* In pieces, so that the caller hears how far it is. */
static mzt_status look_at_all(score_reference *r, const score_reference_options *o, mzt_error *error) {
    enum { PIECE = 128 };
    for (uint32_t first = 0; first < r->data->count; first += PIECE) {
        const uint32_t left = r->data->count - first, piece = left < PIECE ? left : PIECE;
        score_reference part = *r;
        dataset data = *r->data;
        data.items += first;
        part.data = &data;
        part.looks += first;
        part.concepts += first;
        thread_pool_for(o->pool, piece, 4, look_range, &part);
        if (o->progress && !o->progress(o->user_progress, first + piece, r->data->count))
            return MZT_CANCELLED;
    }
    for (uint32_t i = 0; i < r->data->count; i++)
        r->count += r->concepts[i] != UNREADABLE;
    if (r->count < r->data->count)
        host_log(r->host, MZT_LOG_WARNING, "%s: %u pictures are missing or damaged and are left out",
                 r->data->folder, (unsigned)(r->data->count - r->count));
    if (r->count > 0) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s: no picture that can be read", r->data->folder);
}

static void map_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    score_reference *r = argument;
    (void)worker;
    for (uint64_t i = first; i < last; i++) {
        score_metric_map(&r->content, r->looks[i].content[0], r->content_points + i * SCORE_CONTENT);
        score_metric_map(&r->style, r->looks[i].style, r->style_points + i * SCORE_STYLE);
    }
}

static double squared_distance(const float *a, const float *b, uint32_t size) {
    float sums[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8)
        for (uint32_t k = 0; k < 8; k++)
            sums[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    for (; i < size; i++)
        sums[0] += (a[i] - b[i]) * (a[i] - b[i]);
    double total = 0;
    for (uint32_t k = 0; k < 8; k++)
        total += sums[k];
    return total;
}

static const float *content_of(const score_reference *r, uint32_t item) {
    return r->content_points + (size_t)item * SCORE_CONTENT;
}

static const float *style_of(const score_reference *r, uint32_t item) {
    return r->style_points + (size_t)item * SCORE_STYLE;
}

/* Over pairs of pictures half the set apart: the same ones every time. */
static void measure_typical(score_reference *r) {
    double content = 0, style = 0;
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < r->data->count; i++) {
        const uint32_t j = (i + r->data->count / 2) % r->data->count;
        if (r->concepts[i] == UNREADABLE || r->concepts[j] == UNREADABLE || r->concepts[i] == r->concepts[j])
            continue;
        content += squared_distance(content_of(r, i), content_of(r, j), SCORE_CONTENT);
        style += squared_distance(style_of(r, i), style_of(r, j), SCORE_STYLE);
        pairs++;
    }
    r->typical = content > 0 ? sqrt(content / pairs) : 1;
    r->typical_style = style > 0 ? sqrt(style / pairs) : 1;
}

/* Both metrics, from the concepts of the fold, and all pictures through them. */
static mzt_status learn(score_reference *r, const score_reference_options *o, mzt_error *error) {
    const uint32_t n = r->data->count;
    const size_t stride = sizeof(score_look) / sizeof(float);
    uint32_t *classes = host_calloc(r->host, n, sizeof *classes);
    r->content_points = host_calloc(r->host, (size_t)n * SCORE_CONTENT, sizeof *r->content_points);
    r->style_points = host_calloc(r->host, (size_t)n * SCORE_STYLE, sizeof *r->style_points);
    mzt_status status = classes && r->content_points && r->style_points
                            ? MZT_OK
                            : error_memory(error, "pictures' features", (uint64_t)n * SCORE_CONTENT * 4);
    for (uint32_t i = 0; status >= 0 && i < n; i++) {
        const bool out = o->fold && r->concepts[i] % 2 != o->fold - 1;
        classes[i] = out ? UNREADABLE : r->concepts[i];
    }
    if (status >= 0)
        status = score_metric_make(r->host, r->looks[0].content[0], stride, SCORE_CONTENT, classes, n,
                                   r->concept_count, CONTENT_RIDGE, o->pool, &r->content, error);
    for (uint32_t i = 0; status >= 0 && i < n; i++)
        if (classes[i] != UNREADABLE) classes[i] = r->styles[i];
    if (status >= 0)
        status = score_metric_make(r->host, r->looks[0].style, stride, SCORE_STYLE, classes, n,
                                   r->style_count, STYLE_RIDGE, o->pool, &r->style, error);
    if (status >= 0) thread_pool_for(o->pool, n, 16, map_range, r);
    if (status >= 0) measure_typical(r);
    host_free(r->host, classes);
    return status;
}

mzt_status score_reference_open(const base_host *host, const char *folder, const score_reference_options *o,
                                score_reference **out, mzt_error *error) {
    static_assert(sizeof(score_look) % sizeof(float) == 0, "looks lie a whole number of floats apart");
    *out = NULL;
    score_reference *r = host_calloc(host, 1, sizeof *r);
    if (!r) return error_memory(error, folder, sizeof *r);
    r->host = host;
    const dataset_options options = {.held_out = o->held_out,
                                     .style_word = o->style_word,
                                     .user = o->user,
                                     .pool = o->pool,
                                     .unchecked = true};
    mzt_status status = dataset_open(host, folder, &options, &r->data, error);
    if (status >= 0) status = number_items(r, error);
    if (status >= 0) {
        r->looks = host_calloc(host, r->data->count, sizeof *r->looks);
        if (!r->looks) status = error_memory(error, folder, r->data->count * sizeof *r->looks);
    }
    if (status >= 0) status = look_at_all(r, o, error);
    if (status >= 0) status = learn(r, o, error);
    if (status < 0)
        score_reference_close(r);
    else
        *out = r;
    return status;
}

void score_reference_close(score_reference *r) {
    if (!r) return;
    const base_host *host = r->host;
    score_metric_free(&r->content);
    score_metric_free(&r->style);
    host_free(host, r->content_points);
    host_free(host, r->style_points);
    host_free(host, r->looks);
    host_free(host, r->concepts);
    host_free(host, r->styles);
    host_free(host, r->names);
    host_free(host, (void *)r->style_names);
    dataset_close(r->data);
    host_free(host, r);
}

void score_map(const score_reference *r, const score_look *look, score_points *points) {
    for (int k = 0; k < 2; k++)
        score_metric_map(&r->content, look->content[k], points->content[k]);
    score_metric_map(&r->style, look->style, points->style);
}

double score_distance(const score_reference *r, const score_points *a, const float *other) {
    return sqrt(fmin(squared_distance(a->content[0], other, SCORE_CONTENT),
                     squared_distance(a->content[1], other, SCORE_CONTENT))) /
           r->typical;
}

score_verdict score_compare(const score_reference *r, const score_points *points,
                            bool (*skip)(const void *user, uint32_t item), const void *user) {
    score_verdict v = {.style = 0};
    score_match *found = v.nearest;
    double smallest = INFINITY;
    for (uint32_t i = 0; i < r->data->count; i++) {
        if (r->concepts[i] == UNREADABLE || (skip && skip(user, i))) continue;
        const double distance = score_distance(r, points, content_of(r, i));
        const double style = squared_distance(points->style, style_of(r, i), SCORE_STYLE);
        const double both =
            distance * distance + STYLE_WEIGHT * style / (r->typical_style * r->typical_style);
        if (both < smallest) {
            smallest = both;
            v.style = r->styles[i];
        }
        if (v.count == SCORE_NEAREST && distance >= found[v.count - 1].distance) continue;
        uint32_t at = v.count < SCORE_NEAREST ? v.count++ : v.count - 1;
        for (; at > 0 && found[at - 1].distance > distance; at--)
            found[at] = found[at - 1];
        found[at] = (score_match){i, distance};
    }
    return v;
}

static bool holds(const char *text, const char *word, size_t length) {
    exclude_list list = {.count = 1};
    exclude_rule rule = {.colour = COLOUR_NONE, .count = 1};
    if (length >= sizeof rule.words[0]) return false;
    memcpy(rule.words[0], word, length);
    list.rules = &rule;
    return exclude_match(&list, &text, 1, NULL, 1) != NULL;
}

bool score_item_holds(const score_reference *r, uint32_t item, const char *words) {
    const dataset_item *it = &r->data->items[item];
    size_t at = 0, first;
    while (exclude_next_word(words, &at, &first)) {
        bool found = holds(it->name, words + first, at - first);
        for (uint32_t k = 0; k < it->keyword_count && !found; k++)
            found = holds(it->keywords[k], words + first, at - first);
        if (!found) return false;
    }
    return true;
}
