/* Sheets of small pictures; see show.h. */
#include "train/show.h"

#include "image/png.h"
#include "image/sheet.h"

enum { TILE = 128 };

static mzt_status enlarge(const base_host *host, const image *picture, image *out, mzt_error *error) {
    const uint32_t side = picture->width > picture->height ? picture->width : picture->height;
    const uint32_t factor = side < TILE ? TILE / side : 1;
    if (factor == 1) return image_copy(host, picture, out, error);
    return image_resize(host, picture, picture->width * factor, picture->height * factor, IMAGE_AREA, out,
                        error);
}

mzt_status show_sheet(const base_host *host, const char *path, const image *pictures,
                      const char *const *captions, uint32_t count, uint32_t columns, const char *title,
                      mzt_error *error) {
    const sheet_options options = {.columns = columns, .title = title};
    image sheet = {0}, *large = host_calloc(host, count, sizeof *large);
    mzt_status status = large ? MZT_OK : error_memory(error, "sheet", count * sizeof *large);
    for (uint32_t i = 0; status >= 0 && i < count; i++)
        status = enlarge(host, &pictures[i], &large[i], error);
    if (status >= 0) status = sheet_make(host, large, captions, count, &options, &sheet, error);
    if (status >= 0) status = image_png_write(host, path, &sheet, NULL, error);
    for (uint32_t i = 0; large && i < count; i++)
        image_free(host, &large[i]);
    host_free(host, large);
    image_free(host, &sheet);
    return status;
}
