/* Fills a prepared program's weights from a checkpoint. */
#ifndef MODEL_LOAD_H
#define MODEL_LOAD_H

#include "executor.h"
#include "weights/weights.h"

/* Finds every tensor that the program's plan names, checks its shape, converts it to the buffer's type and
 * layout in chunks of at most 16 MiB (or one filter, if that is larger), and writes it. Does not seal the
 * program. Tensors of the checkpoint that the plan does not use are counted in a debug log line. NOT_FOUND
 * naming the tensor; FORMAT with the shapes expected and found; and the errors of program_write.
 * Thread-safety: that of the program. */
mzt_status model_load(const base_host *host, program *target, const weights_set *weights, mzt_error *error);

/* The same in slices, between two tensors of the checkpoint. */
typedef struct model_loader model_loader;

/* Finds all tensors; program and weights must outlive the loader. */
mzt_status model_loader_create(const base_host *host, program *target, const weights_set *weights,
                               model_loader **out, mzt_error *error);
/* Writes until `deadline` in clock_seconds, but one tensor at least: PENDING until all are written. */
mzt_status model_loader_advance(model_loader *l, double deadline, mzt_error *error);
void model_loader_destroy(model_loader *l); /* NULL is accepted */

#endif
