/* Sheets: pictures side by side in a grid, with captions. A strip is a sheet of one row.
 * Thread-safety: pure functions. */
#ifndef IMAGE_SHEET_H
#define IMAGE_SHEET_H

#include "image/image.h"

/* Zero-initialise for the defaults. */
typedef struct sheet_options {
    uint32_t columns;       /* 0: as square a sheet as the tiles allow */
    uint32_t tile_width;    /* 0: the widest picture's; pictures are scaled down to fit, and centred, never
                               enlarged */
    uint32_t tile_height;   /* 0: the highest picture's, once it is no wider than a tile */
    uint32_t scale;         /* size of the letters; 0: by the tile's width */
    uint32_t caption_lines; /* most lines of a caption, the rest is cut off with "..."; 0: 3 */
    const char *title;      /* above the sheet; NULL: none */
    bool dark;              /* light letters on a dark ground */
} sheet_options;

/* Makes a sheet of 3 channels of `count` >= 1 pictures. Clear parts show a checkerboard. `captions` is NULL
 * or holds `count` strings of UTF-8, of which any may be NULL. `options` may be NULL. INVALID when the sheet
 * would be larger than a picture may be; OUT_OF_MEMORY. */
mzt_status sheet_make(const base_host *host, const image *pictures, const char *const *captions,
                      uint32_t count, const sheet_options *options, image *out, mzt_error *error);

#endif
