/* A small folder of captioned pictures for the training tests: coloured shapes on a clear ground, made on the
 * spot. */
#ifndef SUPPORT_TRAIN_DATA_H
#define SUPPORT_TRAIN_DATA_H

#include "base/host.h"

enum { TRAIN_DATA_SHAPES = 8 };

/* "red circle", "blue square", ... */
const char *train_data_name(uint32_t index);

/* A fresh folder below the system's temporary folder; its path (at most 200 bytes) goes to `path`. Fails the
 * test if it cannot. */
void train_data_temporary(char path[256]);

/* Removes a folder with all that is in it; only below the system's temporary folder. */
void train_data_remove(const char *path);

/* Writes pictures 0 ... count - 1 (side x side) and metadata.jsonl into the folder. */
void train_data_write(const base_host *host, const char *folder, uint32_t count, uint32_t side);

/* Appends a line to metadata.jsonl. */
void train_data_append(const char *folder, const char *line);

#endif
