/* Opening a folder of captioned pictures; see dataset.h. */
#include "train/dataset.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "image/png.h"
#include "json/json.h"
#include "sample/random.h"

enum {
    METADATA_LIMIT = 1 << 30, /* bytes of metadata.jsonl */
    NAMED = 5                 /* how many pictures of a kind a warning names */
};

/* Pictures of at most this many pixels are decoded: a hostile header must not take gigabytes. */
static const image_png_limits picture_limits = {.max_pixels = 1u << 26};

/* ------------------------------------------------------------------------------------------------- metadata
 * -- */

/* A path that stays within the folder. */
static bool is_inside(const char *path) {
    if (path[0] == '\0' || path[0] == '/') return false;
    const char *part = path;
    for (const char *p = path;; p++) {
        if (*p == '\\' || (*p > 0 && *p < 32) || *p == 127) return false;
        if (*p != '/' && *p != '\0') continue;
        const size_t length = (size_t)(p - part);
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (*p == '\0') return true;
        part = p + 1;
    }
}

static void free_item(const base_host *host, dataset_item *item) {
    for (uint32_t i = 0; i < item->keyword_count; i++)
        host_free(host, item->keywords[i]);
    host_free(host, item->keywords);
    host_free(host, item->file);
    host_free(host, item->name);
    host_free(host, item->style);
    *item = (dataset_item){0};
}

static mzt_status read_keywords(const base_host *host, json_value root, dataset_item *item,
                                mzt_error *error) {
    json_value list;
    TRY(json_get_array(root, "keywords", &list, error));
    const uint32_t count = json_count(list);
    if (count == 0) return MZT_OK;
    item->keywords = host_calloc(host, count, sizeof *item->keywords);
    if (!item->keywords) return error_memory(error, "keywords", count * sizeof *item->keywords);
    for (json_value v = json_first(list); v.item; v = json_next(v)) {
        const char *word;
        TRY(json_as_string(v, &word, error));
        if (word[0] == '\0') continue;
        item->keywords[item->keyword_count] = host_strdup(host, word);
        if (!item->keywords[item->keyword_count]) return error_memory(error, "keywords", strlen(word));
        item->keyword_count++;
    }
    return MZT_OK;
}

static mzt_status read_item(dataset *d, const dataset_options *o, json_value root, dataset_item *item,
                            mzt_error *error) {
    const char *file, *text, *style;
    char shown[100];
    TRY(json_as_kind(root, JSON_OBJECT, error));
    TRY(json_require_string(root, "file_name", &file, error));
    if (!is_inside(file))
        return json_error(root, error, MZT_ERROR_INVALID, "file_name \"%s\" does not stay within the folder",
                          error_text(shown, sizeof shown, file));
    TRY(json_get_string(root, "text", "", &text, error));
    TRY(json_get_string(root, "style", "", &style, error));
    TRY(read_keywords(d->host, root, item, error));
    if (o->style_word && style[0]) style = o->style_word(o->user, style);
    item->file = host_strdup(d->host, file);
    item->name = host_strdup(d->host, text);
    item->style = host_strdup(d->host, style);
    if (!item->file || !item->name || !item->style)
        return error_memory(error, "metadata", strlen(file) + strlen(text));
    return MZT_OK;
}

static mzt_status read_line(dataset *d, const dataset_options *o, const char *path, const char *text,
                            size_t length, uint32_t line, mzt_error *error) {
    char name[512];
    json_doc *doc = NULL;
    dataset_item item = {.line = line};
    snprintf(name, sizeof name, "%s:%u", path, (unsigned)line);
    mzt_status status = json_parse(d->host, name, text, length, &doc, error);
    if (status >= 0) status = read_item(d, o, json_root(doc), &item, error);
    json_destroy(doc);
    if (status >= 0 && !HOST_GROW(d->host, d->items, d->count, d->capacity))
        status = error_memory(error, path, sizeof item);
    if (status < 0)
        free_item(d->host, &item);
    else
        d->items[d->count++] = item;
    return status;
}

static mzt_status read_metadata(dataset *d, const dataset_options *o, mzt_error *error) {
    char *path = path_join(d->host, d->folder, "metadata.jsonl"), *text = NULL;
    uint64_t size = 0;
    if (!path) return error_memory(error, d->folder, 0);
    mzt_status status = file_read(d->host, path, METADATA_LIMIT, &text, &size, error);
    uint32_t line = 1;
    for (uint64_t at = 0; status >= 0 && at < size; line++) {
        const char *end = memchr(text + at, '\n', (size_t)(size - at));
        const uint64_t next = end ? (uint64_t)(end - text) : size;
        uint64_t last = next;
        while (last > at && (text[last - 1] == '\r' || text[last - 1] == ' '))
            last--;
        if (last > at) status = read_line(d, o, path, text + at, (size_t)(last - at), line, error);
        at = next + 1;
    }
    host_free(d->host, text);
    host_free(d->host, path);
    return status;
}

/* ------------------------------------------------------------------------------------------------- pictures
 * -- */

static mzt_status read_picture(const dataset *d, const dataset_item *item, image *out, mzt_error *error) {
    char *path = path_join(d->host, d->folder, item->file);
    if (!path) return error_memory(error, item->file, 0);
    mzt_status status = image_png_read(d->host, path, &picture_limits, out, NULL, error);
    host_free(d->host, path);
    return status;
}

typedef struct scan {
    dataset *d;
    const dataset_options *options;
    uint8_t *loss; /* [count]: DATASET_LOSS_COUNT where the picture stays, UINT8_MAX when out of memory */
} scan;

static dataset_loss scan_item(const scan *s, dataset_item *item, bool *out_of_memory) {
    image picture = {0};
    mzt_error error = {MZT_OK, ""};
    if (strspn(item->name, " \t") == strlen(item->name)) return DATASET_NO_TEXT;
    mzt_status status = read_picture(s->d, item, &picture, &error);
    if (status == MZT_ERROR_OUT_OF_MEMORY) *out_of_memory = true;
    if (status < 0) return status == MZT_ERROR_NOT_FOUND ? DATASET_NO_FILE : DATASET_UNDECODABLE;
    item->colours =
        colour_measure_pixels(picture.pixels, (uint64_t)picture.width * picture.height, picture.channels);
    image_free(s->d->host, &picture);
    if (!s->options->exclude) return DATASET_LOSS_COUNT;
    const char *texts[64];
    uint32_t count = 0;
    texts[count++] = item->name;
    for (uint32_t i = 0; i < item->keyword_count && count < 64; i++)
        texts[count++] = item->keywords[i];
    const exclude_rule *rule =
        exclude_match(s->options->exclude, texts, count, item->colours.share, DATASET_EXCLUDE_SHARE);
    return rule ? DATASET_EXCLUDED : DATASET_LOSS_COUNT;
}

static void scan_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    scan *s = argument;
    (void)worker;
    for (uint64_t i = first; i < last; i++) {
        bool out_of_memory = false;
        s->loss[i] = (uint8_t)scan_item(s, &s->d->items[i], &out_of_memory);
        if (out_of_memory) s->loss[i] = UINT8_MAX;
    }
}

static void warn(const dataset *d, const uint8_t *loss, dataset_loss kind) {
    static const char *const what[DATASET_LOSS_COUNT] = {"have no text", "are not there", "cannot be decoded",
                                                         "show an excluded combination"};
    char names[400] = "";
    uint32_t named = 0;
    for (uint32_t i = 0; i < d->count && named < NAMED; i++) {
        char shown[64];
        if (loss[i] != kind) continue;
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s (line %u)", named ? ", " : "",
                 error_text(shown, sizeof shown, d->items[i].file), (unsigned)d->items[i].line);
        named++;
    }
    host_log(d->host, kind == DATASET_EXCLUDED ? MZT_LOG_INFO : MZT_LOG_WARNING,
             "%s: %u pictures %s and are left out: %s%s", d->folder, (unsigned)d->lost[kind], what[kind],
             names, d->lost[kind] > named ? ", ..." : "");
}

/* Keeps what can be used, and says what was left out. */
static mzt_status keep_usable(dataset *d, const uint8_t *loss, mzt_error *error) {
    for (uint32_t i = 0; i < d->count; i++) {
        if (loss[i] == UINT8_MAX) return error_memory(error, d->items[i].file, 0);
        if (loss[i] < DATASET_LOSS_COUNT) d->lost[loss[i]]++;
    }
    for (int kind = 0; kind < DATASET_LOSS_COUNT; kind++) {
        if (d->lost[kind]) warn(d, loss, (dataset_loss)kind);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        if (loss[i] == DATASET_LOSS_COUNT)
            d->items[kept++] = d->items[i];
        else
            free_item(d->host, &d->items[i]);
    }
    d->count = kept;
    return MZT_OK;
}

static mzt_status split(dataset *d, double held_out, mzt_error *error) {
    d->train = host_calloc(d->host, d->count, sizeof *d->train);
    d->held_out = host_calloc(d->host, d->count, sizeof *d->held_out);
    if (!d->train || !d->held_out) return error_memory(error, "split", (uint64_t)d->count * 8);
    for (uint32_t i = 0; i < d->count; i++) {
        /* The high bits: FNV's low ones are the weaker. */
        if ((double)(draws_hash(d->items[i].file) >> 40) < held_out * 16777216.0)
            d->held_out[d->held_out_count++] = i;
        else
            d->train[d->train_count++] = i;
    }
    if (d->train_count > 0) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID,
                     "%s: no picture to train on: %u usable, %u held out; %u without text, %u missing, %u "
                     "undecodable, %u excluded",
                     d->folder, (unsigned)d->count, (unsigned)d->held_out_count,
                     (unsigned)d->lost[DATASET_NO_TEXT], (unsigned)d->lost[DATASET_NO_FILE],
                     (unsigned)d->lost[DATASET_UNDECODABLE], (unsigned)d->lost[DATASET_EXCLUDED]);
}

mzt_status dataset_open(const base_host *host, const char *folder, const dataset_options *options,
                        dataset **out, mzt_error *error) {
    *out = NULL;
    dataset *d = host_calloc(host, 1, sizeof *d);
    if (!d) return error_memory(error, "dataset", sizeof *d);
    d->host = host;
    d->folder = host_strdup(host, folder);
    mzt_status status =
        d->folder ? read_metadata(d, options, error) : error_memory(error, folder, strlen(folder));
    scan s = {.d = d, .options = options};
    if (status >= 0) {
        s.loss = host_calloc(host, d->count, 1);
        if (!s.loss) status = error_memory(error, "dataset", d->count);
    }
    if (status >= 0 && options->unchecked)
        memset(s.loss, DATASET_LOSS_COUNT, d->count);
    else if (status >= 0)
        thread_pool_for(options->pool, d->count, 8, scan_range, &s);
    if (status >= 0) status = keep_usable(d, s.loss, error);
    if (status >= 0) status = split(d, options->held_out, error);
    host_free(host, s.loss);
    if (status < 0)
        dataset_close(d);
    else
        *out = d;
    return status;
}

void dataset_close(dataset *d) {
    if (!d) return;
    for (uint32_t i = 0; i < d->count; i++)
        free_item(d->host, &d->items[i]);
    host_free(d->host, d->items);
    host_free(d->host, d->train);
    host_free(d->host, d->held_out);
    host_free(d->host, d->folder);
    host_free(d->host, d);
}

/* -------------------------------------------------------------------------------------------------- samples
 * -- */

uint32_t dataset_order(uint64_t seed, uint64_t epoch, uint32_t count, uint32_t k) {
    /* A Feistel network permutes the smallest 2^(2 half) >= count; walking on until the value is below
     * `count` permutes those. */
    uint32_t half = 1;
    while (half < 16 && (1ull << (2 * half)) < count)
        half++;
    const uint32_t mask = (1u << half) - 1;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t value = k;
    do {
        uint32_t left = value >> half, right = value & mask;
        for (uint32_t round = 0; round < 6; round++) {
            const uint32_t counter[4] = {right, round, (uint32_t)epoch,
                                         (uint32_t)DRAW_ORDER << 24 | (uint32_t)(epoch >> 32 & 0xffffffu)};
            uint32_t words[4];
            philox4x32(counter, key, words);
            const uint32_t next = left ^ (words[0] & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= count);
    return value;
}

/* Turns the hue if the result has a colour with a name and shows no excluded combination; else leaves the
 * picture alone. */
static mzt_status turn(const dataset *d, const exclude_list *exclude, const dataset_item *item,
                       double degrees, image *picture, dataset_facts *facts, mzt_error *error) {
    image turned = {0};
    TRY(image_copy(d->host, picture, &turned, error));
    augment_turn_hue(&turned, degrees);
    const colour_measure m =
        colour_measure_pixels(turned.pixels, (uint64_t)turned.width * turned.height, turned.channels);
    const char *texts[64];
    uint32_t count = 0;
    texts[count++] = item->name;
    for (uint32_t i = 0; i < item->keyword_count && count < 64; i++)
        texts[count++] = item->keywords[i];
    const bool forbidden =
        exclude && exclude_match(exclude, texts, count, m.share, DATASET_EXCLUDE_TURNED_SHARE);
    if (forbidden || m.dominant == COLOUR_NONE) {
        image_free(d->host, &turned);
        return MZT_OK;
    }
    image_free(d->host, picture);
    *picture = turned;
    facts->colour = (uint8_t)m.dominant;
    facts->recoloured = true;
    return MZT_OK;
}

mzt_status dataset_picture(const dataset *d, const exclude_list *exclude, const augment_options *options,
                           bool augment, uint64_t seed, uint64_t variant, uint32_t index, float *out,
                           dataset_facts *facts, mzt_error *error) {
    const dataset_item *item = &d->items[index];
    image picture = {0};
    *facts = (dataset_facts){.colour = (uint8_t)item->colours.dominant};
    mzt_status status = read_picture(d, item, &picture, error);
    if (status < 0) return status;
    augmentation a = augment_none();
    if (augment) {
        train_draws draws = draws_begin(seed, DRAW_PICTURE, variant, index);
        a = augment_draw(options, !caption_fixed_handedness(item->name),
                         item->colours.dominant < COLOUR_BLACK, &draws);
    }
    facts->mirrored = a.mirrored;
    if (a.hue != 0) status = turn(d, exclude, item, a.hue, &picture, facts, error);
    if (status >= 0) augment_place(&picture, options, &a, out);
    image_free(d->host, &picture);
    return status;
}

static caption_source source_of(const dataset_item *item, const dataset_facts *facts) {
    return (caption_source){.name = item->name,
                            .keywords = (const char *const *)item->keywords,
                            .keyword_count = item->keyword_count,
                            .style = item->style,
                            .colour = (colour)facts->colour,
                            .recoloured = facts->recoloured,
                            .mirrored = facts->mirrored};
}

void dataset_caption(const dataset *d, uint64_t seed, uint64_t epoch, uint32_t index,
                     const dataset_facts *facts, double dropout, char caption[CAPTION_SIZE]) {
    train_draws draws = draws_begin(seed, DRAW_CAPTION, epoch, index);
    caption_source source = source_of(&d->items[index], facts);
    const bool dropped = draws_uniform(&draws) < dropout;
    caption_build(&source, &draws, caption);
    if (dropped) caption[0] = '\0';
}

void dataset_plain_caption(const dataset *d, uint32_t index, char caption[CAPTION_SIZE]) {
    const dataset_facts facts = {.colour = COLOUR_NONE};
    caption_source source = source_of(&d->items[index], &facts);
    caption_plain(&source, caption);
}
