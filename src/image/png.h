/* PNG files: any valid one is read; RGB and RGBA of 8 bits are written, with text.
 *
 * Reading: greyscale, palette, 1 to 16 bits, transparency by tRNS, interlaced; the result is always RGBA of 8
 * bits. Values are taken as sRGB whatever gAMA and iCCP say. Text of any kind comes out as UTF-8. Writing:
 * the same picture and text give the same bytes (with the same libpng and zlib).
 *
 * Thread-safety: pure functions. */
#ifndef IMAGE_PNG_H
#define IMAGE_PNG_H

#include "image/image.h"

/* Of a file's text, chunks beyond these limits are left out on reading. */
#define IMAGE_TEXT_CHUNK_LIMIT (4u << 20) /* bytes of one, inflated */
#define IMAGE_TEXT_COUNT_LIMIT 64u

/* A key (1 to 79 bytes of Latin-1, no space at its ends) and its value. All UTF-8. */
typedef struct image_text_entry {
    char *key, *value;
} image_text_entry;

typedef struct image_text_list {
    image_text_entry *entries;
    uint32_t count, capacity;
} image_text_list;

void image_text_free(const base_host *host, image_text_list *list);
/* Appends copies. OUT_OF_MEMORY. */
mzt_status image_text_add(const base_host *host, image_text_list *list, const char *key, const char *value,
                          mzt_error *error);
/* The value of the first entry with that key, or NULL. */
const char *image_text_find(const image_text_list *list, const char *key);

typedef struct image_png_limits {
    uint64_t max_pixels; /* 0: IMAGE_AREA_LIMIT */
} image_png_limits;

/* Reads a file or a block of memory, whose `name` messages will use. `limits` and `text` may be NULL. FORMAT
 * for what is no PNG, is damaged or ends too early; UNSUPPORTED for a picture beyond the limits; NOT_FOUND,
 * IO, OUT_OF_MEMORY. */
mzt_status image_png_read(const base_host *host, const char *path, const image_png_limits *limits, image *out,
                          image_text_list *text, mzt_error *error);
mzt_status image_png_read_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                                 const image_png_limits *limits, image *out, image_text_list *text,
                                 mzt_error *error);

/* Writes a file, aside and then renamed. `text` may be NULL; a value within Latin-1 is written as tEXt, any
 * other as iTXt. INVALID for a key or value that PNG cannot hold; IO, OUT_OF_MEMORY. */
mzt_status image_png_write(const base_host *host, const char *path, const image *picture,
                           const image_text_list *text, mzt_error *error);
/* The same into a fresh block. */
mzt_status image_png_write_memory(const base_host *host, const image *picture, const image_text_list *text,
                                  uint8_t **data, uint64_t *size, mzt_error *error);

#endif
