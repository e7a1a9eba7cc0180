/* Layout and drawing of sheets; see sheet.h. All measures are in pixels. */
#include "image/sheet.h"

#include <string.h>

#include "image/font.h"

typedef struct sheet_colours {
    uint8_t ground[4], frame[4], letters[4], title[4];
} sheet_colours;

static const sheet_colours light = {
    {250, 249, 246, 255}, {214, 211, 204, 255}, {74, 71, 66, 255}, {28, 27, 25, 255}};
static const sheet_colours dark = {
    {24, 25, 28, 255}, {62, 64, 70, 255}, {190, 192, 198, 255}, {245, 245, 247, 255}};

typedef struct sheet_layout {
    const sheet_options *options;
    const sheet_colours *colours;
    uint32_t columns, rows;
    uint32_t tile_width, tile_height;
    uint32_t scale, title_scale;
    uint32_t lines;        /* of the longest caption */
    uint32_t margin, gap;  /* around the sheet, between tiles */
    uint32_t title_height; /* with the space below it */
    uint32_t title_lines;
    uint32_t caption_height; /* with the space above it */
    uint64_t width, height;
} sheet_layout;

/* Lines that a text takes within `width` pixels at scale 1, at most `limit`. */
static uint32_t count_lines(const char *text, uint32_t width, uint32_t limit) {
    size_t length = text ? strlen(text) : 0, next;
    uint32_t lines = 0;
    for (; length > 0 && lines < limit; lines++) {
        font_fit(text, length, width, &next);
        text += next;
        length -= next;
    }
    return lines;
}

/* Draws a text of at most `limit` lines from (x, y) on; what does not fit ends in "...". */
static void draw_text(image *onto, int64_t x, int64_t y, uint32_t scale, uint32_t width, uint32_t limit,
                      const uint8_t colour[4], const char *text) {
    size_t length = text ? strlen(text) : 0, next, used;
    for (uint32_t line = 0; length > 0 && line < limit; line++, y += FONT_LINE * scale) {
        bool cut = line + 1 == limit;
        used = font_fit(text, length, width, &next);
        cut = cut && next < length;
        if (cut) { /* again, with room for the dots */
            uint32_t dots = font_width("...", 3) + 1;
            used = font_fit(text, length, width > dots ? width - dots : 0, &next);
        }
        font_draw(onto, x, y, scale, colour, text, used);
        if (cut)
            font_draw(onto, x + (int64_t)(font_width(text, used) + 1) * scale, y, scale, colour, "...", 3);
        text += next;
        length -= next;
    }
}

static uint32_t at_least(uint32_t value, uint32_t least) {
    return value > least ? value : least;
}

/* The number of columns whose sheet comes nearest to a square of tiles, wider rather than higher. */
static uint32_t square_columns(uint32_t count, uint32_t tile_width, uint32_t tile_height) {
    uint32_t columns = 1;
    while ((uint64_t)columns * tile_width < (uint64_t)ceil_div(count, columns) * tile_height &&
           columns < count)
        columns++;
    return columns;
}

/* The height of a picture that is scaled down, if it is wider, to `width`. */
static uint32_t scaled_height(const image *picture, uint32_t width) {
    if (picture->width <= width) return picture->height;
    uint64_t height = ((uint64_t)picture->height * width + picture->width / 2) / picture->width;
    return height ? (uint32_t)height : 1;
}

static void lay_out(const image *pictures, const char *const *captions, uint32_t count,
                    const sheet_options *options, sheet_layout *s) {
    s->options = options;
    s->colours = options->dark ? &dark : &light;
    s->tile_width = options->tile_width;
    s->tile_height = options->tile_height;
    for (uint32_t i = 0; i < count; i++) {
        if (!options->tile_width) s->tile_width = at_least(s->tile_width, pictures[i].width);
    }
    for (uint32_t i = 0; !options->tile_height && i < count;
         i++) /* as high as they are at the tile's width */
        s->tile_height = at_least(s->tile_height, scaled_height(&pictures[i], s->tile_width));
    s->columns = options->columns ? options->columns : square_columns(count, s->tile_width, s->tile_height);
    if (s->columns > count) s->columns = count;
    s->rows = ceil_div(count, s->columns);
    s->scale = options->scale ? options->scale : 1 + s->tile_width / 320;
    s->title_scale = s->scale + 1;
    s->gap = 4 + 4 * s->scale;
    s->margin = 2 * s->gap;
    uint32_t limit = options->caption_lines ? options->caption_lines : 3;
    for (uint32_t i = 0; captions && i < count; i++)
        s->lines = at_least(s->lines, count_lines(captions[i], s->tile_width / s->scale, limit));
    s->caption_height = s->lines ? s->lines * FONT_LINE * s->scale + 2 * s->scale : 0;
    s->width = 2ull * s->margin + (uint64_t)s->columns * s->tile_width + (uint64_t)(s->columns - 1) * s->gap;
    s->title_lines =
        count_lines(options->title, (uint32_t)((s->width - 2ull * s->margin) / s->title_scale), 3);
    s->title_height = s->title_lines ? s->title_lines * FONT_LINE * s->title_scale + s->gap : 0;
    s->height = 2ull * s->margin + s->title_height +
                (uint64_t)s->rows * (s->tile_height + s->caption_height) + (uint64_t)(s->rows - 1) * s->gap;
}

/* Scales a picture down into the tile and lays it over a checkerboard. */
static mzt_status make_tile(const base_host *host, const sheet_layout *s, const image *picture, image *tile,
                            mzt_error *error) {
    uint64_t width = picture->width, height = picture->height;
    image small = {0};
    if (width > s->tile_width) {
        height = (height * s->tile_width + width / 2) / width;
        width = s->tile_width;
    }
    if (height > s->tile_height) {
        width = (width * s->tile_height + height / 2) / height;
        height = s->tile_height;
    }
    TRY(image_resize(host, picture, width ? (uint32_t)width : 1, height ? (uint32_t)height : 1, IMAGE_LANCZOS,
                     &small, error));
    mzt_status status = image_over_checkerboard(host, &small, 4 + 4 * s->scale, tile, error);
    image_free(host, &small);
    return status;
}

/* A tile in its place, with a thin frame around it and its caption below. */
static void draw_tile(const sheet_layout *s, uint32_t index, const image *tile, const char *caption,
                      image *out) {
    uint32_t column = index % s->columns, row = index / s->columns;
    int64_t x = (int64_t)s->margin + (int64_t)column * (s->tile_width + s->gap);
    int64_t y =
        (int64_t)s->margin + s->title_height + (int64_t)row * (s->tile_height + s->caption_height + s->gap);
    int64_t left = x + (s->tile_width - tile->width) / 2, top = y + (s->tile_height - tile->height) / 2;
    image_rectangle(out, left - 1, top - 1, (int64_t)tile->width + 2, (int64_t)tile->height + 2,
                    s->colours->frame);
    image_paste(out, tile, left, top);
    uint32_t space =
        s->caption_height - s->lines * FONT_LINE * s->scale + (FONT_LINE - FONT_HEIGHT) * s->scale;
    if (s->caption_height)
        draw_text(out, x, y + s->tile_height + space, s->scale, s->tile_width / s->scale, s->lines,
                  s->colours->letters, caption);
}

mzt_status sheet_make(const base_host *host, const image *pictures, const char *const *captions,
                      uint32_t count, const sheet_options *options, image *out, mzt_error *error) {
    const sheet_options defaults = {0};
    sheet_layout s = {0};
    memset(out, 0, sizeof *out);
    if (count == 0) return error_set(error, MZT_ERROR_INVALID, "sheet of no pictures: expected 1 or more");
    if (options && (options->scale > 64 || options->caption_lines > 1000 ||
                    options->tile_width > IMAGE_SIDE_LIMIT || options->tile_height > IMAGE_SIDE_LIMIT))
        return error_set(error, MZT_ERROR_INVALID,
                         "sheet: scale %u, caption lines %u, tiles of %u x %u: expected at most 64,"
                         " 1000 and %u",
                         options->scale, options->caption_lines, options->tile_width, options->tile_height,
                         IMAGE_SIDE_LIMIT);
    lay_out(pictures, captions, count, options ? options : &defaults, &s);
    if (s.width > IMAGE_SIDE_LIMIT || s.height > IMAGE_SIDE_LIMIT)
        return error_set(error, MZT_ERROR_INVALID,
                         "sheet of %llu x %llu pixels: expected sides of at most %u",
                         (unsigned long long)s.width, (unsigned long long)s.height, IMAGE_SIDE_LIMIT);
    TRY(image_create(host, (uint32_t)s.width, (uint32_t)s.height, 3, out, error));
    image_rectangle(out, 0, 0, out->width, out->height, s.colours->ground);
    if (s.title_lines)
        draw_text(out, s.margin, s.margin, s.title_scale,
                  (uint32_t)((s.width - 2ull * s.margin) / s.title_scale), s.title_lines, s.colours->title,
                  s.options->title);
    for (uint32_t i = 0; i < count; i++) {
        image tile;
        mzt_status status = make_tile(host, &s, &pictures[i], &tile, error);
        if (status < 0) {
            image_free(host, out);
            return status;
        }
        draw_tile(&s, i, &tile, captions ? captions[i] : NULL, out);
        image_free(host, &tile);
    }
    return MZT_OK;
}
