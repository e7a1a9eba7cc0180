/* Checkpoints that survive being killed. Each is a folder of its own under the output folder:
 *   OUTPUT/checkpoint-000001200/...     a diffusers folder, and training_state.safetensors
 *   OUTPUT/latest -> checkpoint-000001200
 * A checkpoint is written aside (checkpoint-....tmp), every file and folder is synced, the folder is renamed,
 * and then `latest`, a symbolic link, is replaced by a rename, which is atomic. At every instant `latest`
 * names a complete checkpoint. The one before it is kept, older ones are removed. Where writing fails (a full
 * disk), what was written aside is removed and `latest` stays as it was. POSIX. Thread-safety: one writer per
 * output folder at a time. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "weights/safetensors.h"

typedef struct checkpoint_writer checkpoint_writer;

/* Begins the checkpoint of a step; removes what a killed run left aside. */
mzt_status checkpoint_begin(const base_host *host, const char *output, uint64_t step, checkpoint_writer **out,
                            mzt_error *error);

/* Writes a file; `name` may have folders ("vae/config.json"), which are made. */
mzt_status checkpoint_file(checkpoint_writer *c, const char *name, const void *data, uint64_t size,
                           mzt_error *error);

/* Writes tensors; see safetensors_save. */
mzt_status checkpoint_tensors(checkpoint_writer *c, const char *name, const weights_tensor *tensors,
                              uint32_t count, const char *const *metadata, uint32_t metadata_count,
                              mzt_error *error);

/* Copies a file, or every regular file of a folder (not of folders in it), from elsewhere. */
mzt_status checkpoint_copy(checkpoint_writer *c, const char *name, const char *from, mzt_error *error);

/* Syncs, renames, points `latest` to it and removes all but this one and the one before. Destroys the writer,
 * also on failure. */
mzt_status checkpoint_commit(checkpoint_writer *c, mzt_error *error);
void checkpoint_abandon(checkpoint_writer *c); /* removes what was written; NULL is accepted */

/* The folder being written, for writers of folders that take a path (a vocabulary). Valid until commit or
 * abandon. */
const char *checkpoint_folder(const checkpoint_writer *c);

/* OUTPUT/latest in a fresh string; NOT_FOUND when there is none yet. */
mzt_status checkpoint_latest(const base_host *host, const char *output, char **path, mzt_error *error);

#endif
