/* Any bytes as a PNG file: either refused, or a picture that reads back the same after it is written. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "image/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

/* Sets each chunk's checksum right, which random bytes never are: what lies behind it is to be tested. */
static void set_checksums(uint8_t *file, size_t size) {
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        size_t length =
            (size_t)file[at] << 24 | (size_t)file[at + 1] << 16 | (size_t)file[at + 2] << 8 | file[at + 3];
        if (length > size - at - 12) return;
        uint32_t sum = (uint32_t)crc32(0, file + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            file[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += length + 12;
    }
}

static void check_file(const base_host *host, const uint8_t *data, size_t size) {
    const image_png_limits limits = {.max_pixels = 1u << 16};
    image picture, again;
    image_text_list text, text_again;
    uint8_t *file;
    uint64_t file_size;
    if (image_png_read_memory(host, "fuzz", data, size, &limits, &picture, &text, NULL) < 0) {
        check(!picture.pixels && text.count == 0);
        return;
    }
    /* A file may hold keys that we do not write: without text then. */
    bool with_text = image_png_write_memory(host, &picture, &text, &file, &file_size, NULL) >= 0;
    if (!with_text) check(image_png_write_memory(host, &picture, NULL, &file, &file_size, NULL) >= 0);
    check(image_png_read_memory(host, "again", file, file_size, &limits, &again, &text_again, NULL) >= 0);
    check(again.width == picture.width && again.height == picture.height);
    check(memcmp(again.pixels, picture.pixels, (size_t)picture.width * picture.height * 4) == 0);
    check(text_again.count == (with_text ? text.count : 0));
    for (uint32_t i = 0; i < text_again.count; i++)
        check(strcmp(text.entries[i].value, text_again.entries[i].value) == 0);
    host_free(host, file);
    image_free(host, &picture);
    image_free(host, &again);
    image_text_free(host, &text);
    image_text_free(host, &text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const base_host host = host_make(NULL);
    uint8_t *file = malloc(size + 1);
    check(file != NULL);
    if (size) memcpy(file, data, size);
    set_checksums(file, size);
    check_file(&host, file, size);
    free(file);
    return 0;
}
