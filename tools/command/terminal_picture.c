/* The three ways to write a picture to a terminal; see terminal.h. */
#include <string.h>

#include "terminal.h"

/* Each cell is the upper half block: foreground above, background below. */
void terminal_blocks(FILE *out, const image *picture) {
    for (uint32_t y = 0; y < picture->height; y += 2) {
        uint8_t last[6] = {0};
        for (uint32_t x = 0; x < picture->width; x++) {
            uint8_t colours[6] = {0};
            bool below = y + 1 < picture->height, same;
            memcpy(colours, image_pixel(picture, x, y), 3);
            if (below) memcpy(colours + 3, image_pixel(picture, x, y + 1), 3);
            same = x > 0 && memcmp(colours, last, 6) == 0;
            if (!same) fprintf(out, "\033[38;2;%u;%u;%um", colours[0], colours[1], colours[2]);
            if (!same && below) fprintf(out, "\033[48;2;%u;%u;%um", colours[3], colours[4], colours[5]);
            fputs("\xe2\x96\x80", out);
            memcpy(last, colours, 6);
        }
        fputs("\033[0m\033[K\n", out);
    }
}

/* Raw RGB in Base64, in pieces of at most 4096 letters. The id lets the next picture take this one's place.
 */
void terminal_kitty(FILE *out, const image *picture, uint32_t columns, uint32_t rows) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { PIECE = 3072 };
    const size_t size = (size_t)picture->width * picture->height * 3;
    for (size_t at = 0; at < size; at += PIECE) {
        size_t length = size - at < PIECE ? size - at : PIECE;
        if (at == 0)
            fprintf(out, "\033_Ga=T,f=24,i=31,p=1,q=2,C=1,s=%u,v=%u,c=%u,r=%u,m=%d;", picture->width,
                    picture->height, columns, rows, length < size);
        else
            fprintf(out, "\033_Gm=%d;", at + length < size);
        for (size_t i = 0; i < length; i += 3) { /* rows are of 3 channels, so 3 divides every length */
            const uint8_t *p = picture->pixels + at + i;
            uint32_t word = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
            for (int shift = 18; shift >= 0; shift -= 6)
                fputc(letters[word >> shift & 63], out);
        }
        fputs("\033\\", out);
    }
}

/* A palette of 6 x 7 x 6 even steps, green having most, as eyes do. */
enum { REDS = 6, GREENS = 7, BLUES = 6, COLOURS = REDS * GREENS * BLUES };

/* The palette's index of each pixel, dithered by the 4 x 4 Bayer matrix. */
static void quantise(const image *picture, uint8_t *indices) {
    static const uint8_t bayer[16] = {0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5};
    static const int steps[3] = {REDS - 1, GREENS - 1, BLUES - 1};
    for (uint32_t y = 0; y < picture->height; y++)
        for (uint32_t x = 0; x < picture->width; x++) {
            const uint8_t *p = image_pixel(picture, x, y);
            int threshold = bayer[y % 4 * 4 + x % 4] * 16 + 8, level[3];
            for (int c = 0; c < 3; c++)
                level[c] = (p[c] * steps[c] * 256 / 255 + threshold) / 256;
            for (int c = 0; c < 3; c++)
                if (level[c] > steps[c]) level[c] = steps[c];
            indices[(size_t)y * picture->width + x] =
                (uint8_t)((level[0] * GREENS + level[1]) * BLUES + level[2]);
        }
}

/* `count` times the sixel `bits`, shortened from 4 on. */
static void write_run(FILE *out, uint32_t bits, uint32_t count) {
    int letter = (int)(63 + bits);
    if (count > 3) {
        fprintf(out, "!%u%c", count, letter);
        return;
    }
    for (; count > 0; count--)
        fputc(letter, out);
}

/* One colour's part of the band of six rows from y on. */
static void write_band(FILE *out, const image *picture, const uint8_t *indices, uint32_t y, uint32_t colour) {
    uint32_t run = 0, last = 0;
    for (uint32_t x = 0; x < picture->width; x++) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < 6 && y + i < picture->height; i++)
            bits |= (uint32_t)(indices[(size_t)(y + i) * picture->width + x] == colour) << i;
        if (bits != last) {
            write_run(out, last, run);
            run = 0;
        }
        last = bits;
        run++;
    }
    if (last) write_run(out, last, run);
}

mzt_status terminal_sixel(const base_host *host, FILE *out, const image *picture, mzt_error *error) {
    uint8_t *indices = host_calloc(host, picture->width, picture->height);
    if (!indices) return error_memory(error, "preview", (uint64_t)picture->width * picture->height);
    quantise(picture, indices);
    fprintf(out, "\033P0;1;0q\"1;1;%u;%u", picture->width, picture->height);
    for (uint32_t i = 0; i < COLOURS; i++)
        fprintf(out, "#%u;2;%u;%u;%u", i, i / (GREENS * BLUES) * 100 / (REDS - 1),
                i / BLUES % GREENS * 100 / (GREENS - 1), i % BLUES * 100 / (BLUES - 1));
    for (uint32_t y = 0; y < picture->height; y += 6) {
        bool used[COLOURS] = {false}, first = true;
        uint32_t end = y + 6 < picture->height ? y + 6 : picture->height;
        for (size_t i = (size_t)y * picture->width; i < (size_t)end * picture->width; i++)
            used[indices[i]] = true;
        for (uint32_t colour = 0; colour < COLOURS; colour++) {
            if (!used[colour]) continue;
            fprintf(out, "%s#%u", first ? "" : "$", colour);
            write_band(out, picture, indices, y, colour);
            first = false;
        }
        fputc('-', out);
    }
    fputs("\033\\", out);
    host_free(host, indices);
    return MZT_OK;
}
