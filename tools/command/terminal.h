/* Pictures in a terminal: as half blocks of 24-bit colour, or in the protocols of kitty and of sixel where
 * the terminal knows one. */
#ifndef COMMAND_TERMINAL_H
#define COMMAND_TERMINAL_H

#include <stdio.h>

#include "image/image.h"

typedef enum terminal_kind { TERMINAL_NONE, TERMINAL_BLOCKS, TERMINAL_KITTY, TERMINAL_SIXEL } terminal_kind;

typedef struct terminal {
    const base_host *host;
    FILE *out;
    terminal_kind kind;
    uint32_t columns, rows;           /* cells */
    uint32_t cell_width, cell_height; /* pixels of one; a guess where the terminal does not say */
    uint32_t drawn;                   /* rows that the last picture took; 0: none */
} terminal;

/* Looks at `out`: TERMINAL_NONE where it is no terminal (or a dumb one); sixel and kitty where the
 * environment or the terminal's own answer says so; else blocks. `kind` other than NONE is taken as it is,
 * whatever `out` is. */
terminal terminal_open(const base_host *host, FILE *out, terminal_kind kind);

/* "blocks", "kitty", "sixel". INVALID lists them. */
mzt_status terminal_kind_parse(const char *text, terminal_kind *kind, mzt_error *error);

/* Draws a picture from the cursor's line on, in place of the last one, and leaves the cursor at the start of
 * the line below. It is scaled to fit: blocks show one pixel as half a cell. Clear parts show a checkerboard.
 * OUT_OF_MEMORY. */
mzt_status terminal_draw(terminal *t, const image *picture, mzt_error *error);

/* The encoders: `picture` has 3 channels and its final size. */
void terminal_blocks(FILE *out, const image *picture);
void terminal_kitty(FILE *out, const image *picture, uint32_t columns, uint32_t rows);
mzt_status terminal_sixel(const base_host *host, FILE *out, const image *picture, mzt_error *error);

#endif
