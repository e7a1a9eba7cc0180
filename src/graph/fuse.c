/* Fusion: nodes that a neighbour can do on the way; see below. */
#include "graph/build.h"

void graph_pass_fuse(graph *g) {
    (void)g;
}
