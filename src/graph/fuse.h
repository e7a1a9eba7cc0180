/* What the fusion rules share; they live in fuse.c and fuse_attention.c. */
#ifndef GRAPH_FUSE_H
#define GRAPH_FUSE_H

#include "graph/build.h"

typedef struct fuser {
    graph *g;
    graph_use *uses; /* by root tensor, as the graph is now */
} fuser;

/* fuse_attention.c: attention whose q, k or v are channels of a larger tensor reads them in place. */
bool fuse_slices(fuser *f, uint32_t index);

/* fuse_attention.c: linear layers of one attention that read the same tensor become one. */
bool fuse_parallel_linear(fuser *f, uint32_t index);

#endif
