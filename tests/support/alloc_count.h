/* Hooks that count the blocks handed out, and can make one allocation fail. For tests of leaks and of
 * out-of-memory paths. */
#ifndef SUPPORT_ALLOC_COUNT_H
#define SUPPORT_ALLOC_COUNT_H

#include "base/host.h"

typedef struct alloc_count {
    long live;    /* blocks not yet freed */
    long calls;   /* requests for memory so far */
    long fail_at; /* the call (from 1) that gets NULL; 0: none */
} alloc_count;

/* A host over `counts`, which must outlive it. Not for several threads. */
base_host alloc_count_host(alloc_count *counts);

#endif
