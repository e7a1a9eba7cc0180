/* Reading PNG through libpng; see png.h. libpng reports errors by longjmp: the one function that calls setjmp
 * keeps everything in a structure of its caller's, so nothing that changes between setjmp and longjmp is a
 * local variable. */
#include "image/png.h"

#include <png.h>
#include <string.h>
#include <utf8proc.h>

#include "base/file.h"

typedef struct png_reader {
    const base_host *host;
    const char *name;
    const uint8_t *data;
    uint64_t size, offset;
    uint64_t max_pixels;
    png_structp png;
    png_infop info;
    image *out;
    image_text_list *text;
    bool no_memory;
    mzt_status status;
    mzt_error *error;
} png_reader;

/* Ends the decoding; the first status set stays. */
static PNG_NORETURN void on_error(png_structp png, png_const_charp message) {
    png_reader *r = png_get_error_ptr(png);
    if (r->status >= 0)
        r->status = r->no_memory ? error_memory(r->error, r->name, r->size)
                                 : error_set(r->error, MZT_ERROR_FORMAT, "%s: %s", r->name, message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    const png_reader *r = png_get_error_ptr(png);
    host_log(r->host, MZT_LOG_DEBUG, "%s: %s", r->name, message);
}

/* libpng takes a damaged chunk's length at its word (its own limit only warns), so large blocks are refused:
 * the largest honest ones are a text chunk and its inflated form. Rows take less. */
static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    png_reader *r = png_get_mem_ptr(png);
    if (size > 2 * IMAGE_TEXT_CHUNK_LIMIT) return NULL;
    void *block = host_realloc(r->host, NULL, size, 1);
    if (!block) r->no_memory = true;
    return block;
}

static void release(png_structp png, png_voidp block) {
    const png_reader *r = png_get_mem_ptr(png);
    host_free(r->host, block);
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    png_reader *r = png_get_io_ptr(png);
    if (count > r->size - r->offset) png_error(png, "ends too early");
    memcpy(out, r->data + r->offset, count);
    r->offset += count;
}

/* Asks for RGBA of 8 bits and makes the picture. Returns the number of interlace passes. */
static int prepare(png_reader *r) {
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours, below, with a message of ours */
    png_set_chunk_malloc_max(r->png, IMAGE_TEXT_CHUNK_LIMIT);
    png_set_chunk_cache_max(r->png, IMAGE_TEXT_COUNT_LIMIT);
    png_read_info(r->png, r->info);
    uint32_t width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
    if (width > IMAGE_SIDE_LIMIT || height > IMAGE_SIDE_LIMIT || (uint64_t)width * height > r->max_pixels) {
        r->status = error_set(r->error, MZT_ERROR_UNSUPPORTED,
                              "%s: %u x %u pixels: expected at most %llu, and %u a side", r->name, width,
                              height, (unsigned long long)r->max_pixels, IMAGE_SIDE_LIMIT);
        png_error(r->png, "too large");
    }
    /* Deflate shrinks at most 1032 times: a small file cannot make us take memory for a large picture. */
    if ((uint64_t)png_get_rowbytes(r->png, r->info) * height / 1032 > r->size)
        png_error(r->png, "holds too little data for its size");
    png_set_expand(r->png);
    png_set_scale_16(r->png);
    png_set_gray_to_rgb(r->png);
    png_set_add_alpha(r->png, 255, PNG_FILLER_AFTER);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != (size_t)width * 4) png_error(r->png, "unexpected row size");
    r->status = image_create(r->host, width, height, 4, r->out, r->error);
    if (r->status < 0) png_error(r->png, "no memory");
    return passes;
}

/* False after an error. */
static bool decode(png_reader *r) {
    if (setjmp(png_jmpbuf(r->png))) return false;
    int passes = prepare(r);
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < r->out->height; y++)
            png_read_row(r->png, image_pixel(r->out, 0, y), NULL);
    }
    png_read_end(r->png, r->info);
    return true;
}

/* --------------------------------------------------------------------------------------------------------
 * text -- */

static bool is_utf8(const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &code);
        if (used <= 0) return false;
        i += (size_t)used;
    }
    return true;
}

/* Latin-1 to UTF-8 in a fresh block, or NULL. */
static char *from_latin1(const base_host *host, const char *text, size_t length) {
    char *out = host_calloc(host, length + 1, 2), *end = out;
    if (!out) return NULL;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x80) {
            *end++ = (char)byte;
        } else {
            *end++ = (char)(0xC0 | byte >> 6);
            *end++ = (char)(0x80 | (byte & 0x3F));
        }
    }
    return out;
}

/* One entry. International text that is not UTF-8 after all is taken as Latin-1. */
static mzt_status add_text(png_reader *r, const png_text *entry) {
    bool international =
        entry->compression == PNG_ITXT_COMPRESSION_NONE || entry->compression == PNG_ITXT_COMPRESSION_zTXt;
    const char *value = entry->text ? entry->text : "";
    size_t length = strlen(value);
    char *key = from_latin1(r->host, entry->key, strlen(entry->key)), *converted = NULL;
    mzt_status status = MZT_OK;
    if (!international || !is_utf8(value, length)) {
        converted = from_latin1(r->host, value, length);
        value = converted;
    }
    if (!key || !value)
        status = error_memory(r->error, r->name, length);
    else
        status = image_text_add(r->host, r->text, key, value, r->error);
    host_free(r->host, key);
    host_free(r->host, converted);
    return status;
}

static mzt_status collect_text(png_reader *r) {
    png_textp entries = NULL;
    int count = 0;
    png_get_text(r->png, r->info, &entries, &count);
    for (int i = 0; i < count; i++)
        TRY(add_text(r, &entries[i]));
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------------
 * calls -- */

mzt_status image_png_read_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                                 const image_png_limits *limits, image *out, image_text_list *text,
                                 mzt_error *error) {
    png_reader r = {
        .host = host, .name = name, .data = data, .size = size, .out = out, .text = text, .error = error};
    memset(out, 0, sizeof *out);
    if (text) memset(text, 0, sizeof *text);
    r.max_pixels = limits && limits->max_pixels ? limits->max_pixels : IMAGE_AREA_LIMIT;
    if (size < 8 || png_sig_cmp(data, 0, 8) != 0)
        return error_set(error, MZT_ERROR_FORMAT, "%s: not a PNG file", name);
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, allocate, release);
    if (r.png) r.info = png_create_info_struct(r.png);
    if (!r.info) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return error_memory(error, name, size);
    }
    if (decode(&r) && text) r.status = collect_text(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (r.status < 0) {
        image_free(host, out);
        if (text) image_text_free(host, text);
    }
    return r.status;
}

mzt_status image_png_read(const base_host *host, const char *path, const image_png_limits *limits, image *out,
                          image_text_list *text, mzt_error *error) {
    file_mapping mapping;
    memset(out, 0, sizeof *out);
    if (text) memset(text, 0, sizeof *text);
    TRY(file_map(path, &mapping, error));
    mzt_status status =
        image_png_read_memory(host, path, mapping.data, mapping.size, limits, out, text, error);
    file_unmap(&mapping);
    return status;
}
