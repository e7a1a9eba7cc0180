/* Writing PNG through libpng; see png.h, and png_read.c on setjmp. */
#include "image/png.h"

#include <png.h>
#include <string.h>
#include <utf8proc.h>

#include "base/file.h"

typedef struct png_writer {
    const base_host *host;
    const image *picture;
    png_text *text; /* [text_count], strings in `strings` */
    uint32_t text_count;
    char *strings;
    file_writer *file; /* NULL: into `data` */
    uint8_t *data;
    uint64_t size, capacity;
    png_structp png;
    png_infop info;
    mzt_status status;
    mzt_error *error;
} png_writer;

static PNG_NORETURN void on_error(png_structp png, png_const_charp message) {
    png_writer *w = png_get_error_ptr(png);
    if (w->status >= 0) w->status = error_set(w->error, MZT_ERROR_INTERNAL, "writing PNG: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    const png_writer *w = png_get_error_ptr(png);
    host_log(w->host, MZT_LOG_DEBUG, "writing PNG: %s", message);
}

static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    png_writer *w = png_get_mem_ptr(png);
    void *block = host_realloc(w->host, NULL, size, 1);
    if (!block && w->status >= 0) w->status = error_memory(w->error, "writing PNG", size);
    return block;
}

static void release(png_structp png, png_voidp block) {
    const png_writer *w = png_get_mem_ptr(png);
    host_free(w->host, block);
}

static mzt_status append(png_writer *w, const uint8_t *bytes, size_t count) {
    if (count > w->capacity - w->size) {
        uint64_t capacity = w->capacity * 2 + count + 4096;
        uint8_t *data = host_realloc(w->host, w->data, (size_t)capacity, 1);
        if (!data) return error_memory(w->error, "writing PNG", capacity);
        w->data = data;
        w->capacity = capacity;
    }
    memcpy(w->data + w->size, bytes, count);
    w->size += count;
    return MZT_OK;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
    png_writer *w = png_get_io_ptr(png);
    mzt_status status =
        w->file ? file_writer_write(w->file, bytes, count, w->error) : append(w, bytes, count);
    if (status >= 0) return;
    w->status = status;
    png_error(png, "write");
}

static void flush(png_structp png) {
    (void)png; /* the file is synced when it is committed */
}

/* No time stamp, a fixed compression level and libpng's default filters: equal pictures give equal bytes. */
static void encode(png_writer *w) {
    if (setjmp(png_jmpbuf(w->png))) return;
    const image *picture = w->picture;
    png_set_write_fn(w->png, w, write_bytes, flush);
    png_set_compression_level(w->png, 6);
    png_set_IHDR(w->png, w->info, picture->width, picture->height, 8,
                 picture->channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (w->text_count) png_set_text(w->png, w->info, w->text, (int)w->text_count);
    png_write_info(w->png, w->info);
    for (uint32_t y = 0; y < picture->height; y++)
        png_write_row(w->png, image_pixel(picture, 0, y));
    png_write_end(w->png, NULL);
}

/* --------------------------------------------------------------------------------------------------------
 * text -- */

/* Writes printable Latin-1 (and line feeds) of UTF-8 `text` to `out`, terminated. Returns the bytes, or -1
 * when a character lies outside; *valid tells whether it is UTF-8 at all. */
static int64_t to_latin1(const char *text, char *out, bool *valid) {
    size_t length = strlen(text), used = 0;
    bool outside = false;
    *valid = true;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t bytes =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &code);
        if (bytes <= 0) {
            *valid = false;
            return -1;
        }
        i += (size_t)bytes;
        outside = outside || !(code == '\n' || (code >= 32 && code <= 126) || (code >= 161 && code <= 255));
        if (!outside) out[used++] = (char)code;
    }
    out[used] = '\0';
    return outside ? -1 : (int64_t)used;
}

/* A key's rules: 1 to 79 bytes, no line feed, no space at the ends and no two in a row. */
static bool is_key(const char *key, int64_t length) {
    if (length < 1 || length > 79 || key[0] == ' ' || key[length - 1] == ' ') return false;
    return !strchr(key, '\n') && !strstr(key, "  ");
}

static mzt_status prepare_text(png_writer *w, const image_text_list *list) {
    uint64_t bytes = 0;
    if (!list || list->count == 0) return MZT_OK;
    for (uint32_t i = 0; i < list->count; i++)
        bytes += strlen(list->entries[i].key) + strlen(list->entries[i].value) + 2;
    w->text = host_calloc(w->host, list->count, sizeof *w->text);
    w->strings = host_calloc(w->host, (size_t)bytes, 1);
    if (!w->text || !w->strings) return error_memory(w->error, "PNG text", bytes);
    char *next = w->strings;
    for (uint32_t i = 0; i < list->count; i++) {
        const image_text_entry *entry = &list->entries[i];
        png_text *text = &w->text[w->text_count++];
        bool valid;
        text->key = next;
        int64_t length = to_latin1(entry->key, next, &valid);
        if (!is_key(next, length))
            return error_set(w->error, MZT_ERROR_INVALID,
                             "PNG text: key \"%.100s\": expected 1 to 79 printable bytes of Latin-1,"
                             " no space at the ends or doubled",
                             entry->key);
        next += length + 1;
        length = to_latin1(entry->value, next, &valid);
        if (!valid)
            return error_set(w->error, MZT_ERROR_INVALID, "PNG text: the value of \"%s\" is not UTF-8",
                             entry->key);
        text->compression = length >= 0 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        text->text = length >= 0 ? next : entry->value; /* libpng only reads it */
        if (length >= 0) next += length + 1;
    }
    return MZT_OK;
}

/* -------------------------------------------------------------------------------------------------------
 * calls -- */

static mzt_status write_picture(png_writer *w, const image_text_list *text) {
    w->status = prepare_text(w, text);
    if (w->status >= 0) {
        w->png =
            png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning, w, allocate, release);
        if (w->png) w->info = png_create_info_struct(w->png);
        if (w->info)
            encode(w);
        else if (w->status >= 0)
            w->status = error_memory(w->error, "writing PNG", 0);
        png_destroy_write_struct(&w->png, &w->info);
    }
    host_free(w->host, w->text);
    host_free(w->host, w->strings);
    return w->status;
}

mzt_status image_png_write_memory(const base_host *host, const image *picture, const image_text_list *text,
                                  uint8_t **data, uint64_t *size, mzt_error *error) {
    png_writer w = {.host = host, .picture = picture, .error = error};
    *data = NULL;
    *size = 0;
    mzt_status status = write_picture(&w, text);
    if (status < 0) {
        host_free(host, w.data);
        return status;
    }
    *data = w.data;
    *size = w.size;
    return MZT_OK;
}

mzt_status image_png_write(const base_host *host, const char *path, const image *picture,
                           const image_text_list *text, mzt_error *error) {
    png_writer w = {.host = host, .picture = picture, .error = error};
    TRY(file_writer_open(host, path, &w.file, error));
    mzt_status status = write_picture(&w, text);
    if (status < 0) {
        file_writer_abandon(w.file);
        if (status != MZT_ERROR_IO) error_prefix(error, "%s: ", path); /* the file's own errors name it */
        return status;
    }
    return file_writer_commit(w.file, error);
}
