/* A map from byte ranges to owners: sorted, disjoint ranges; setting a range replaces what it covers. Inside
 * runtime/plan only. Thread-safety: a map belongs to one thread. */
#ifndef PLAN_RANGES_H
#define PLAN_RANGES_H

#include "base/host.h"

typedef struct range {
    uint64_t first, end;
    uint32_t owner, writer; /* two words the user of the map may fill */
} range;

typedef struct ranges {
    const base_host *host;
    range *items;
    uint32_t count, capacity;
} ranges;

/* Gives bytes first ... end - 1 to an owner. False when out of memory (the map is then unchanged). */
bool ranges_set(ranges *map, range item);

/* The first range that ends behind byte `first`, or NULL: where a walk over [first, ...) begins. */
const range *ranges_from(const ranges *map, uint64_t first);

/* The first range that meets [first, end), or NULL. */
const range *ranges_meet(const ranges *map, uint64_t first, uint64_t end);

void ranges_clear(ranges *map);
void ranges_free(ranges *map);

#endif
