/* Sheets of a training run's small pictures. */
#ifndef TRAIN_SHOW_H
#define TRAIN_SHOW_H

#include "image/image.h"

/* Writes a sheet as PNG. Pictures smaller than a tile that captions can be read under are enlarged by a whole
 * factor. `captions` and `title` may be NULL; columns 0: as square as it gets. */
mzt_status show_sheet(const base_host *host, const char *path, const image *pictures,
                      const char *const *captions, uint32_t count, uint32_t columns, const char *title,
                      mzt_error *error);

#endif
