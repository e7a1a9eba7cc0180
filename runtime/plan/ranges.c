/* Byte ranges with owners; see ranges.h. */
#include "plan/ranges.h"

#include <string.h>

/* Index of the first range that ends behind byte `first`. */
static uint32_t locate(const ranges *map, uint64_t first) {
    uint32_t low = 0, high = map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (map->items[middle].end > first)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const range *ranges_from(const ranges *map, uint64_t first) {
    uint32_t i = locate(map, first);
    return i < map->count ? &map->items[i] : NULL;
}

const range *ranges_meet(const ranges *map, uint64_t first, uint64_t end) {
    const range *found = ranges_from(map, first);
    return found && found->first < end ? found : NULL;
}

bool ranges_set(ranges *map, range item) {
    if (item.first >= item.end) return true;
    /* Ranges begin ... after - 1 meet the new one; of the outer two a rest may stay on either side. */
    uint32_t begin = locate(map, item.first), after = begin;
    while (after < map->count && map->items[after].first < item.end)
        after++;
    range pieces[3];
    uint32_t count = 0;
    if (begin < after && map->items[begin].first < item.first) {
        pieces[count] = map->items[begin];
        pieces[count++].end = item.first;
    }
    pieces[count++] = item;
    if (begin < after && map->items[after - 1].end > item.end) {
        pieces[count] = map->items[after - 1];
        pieces[count++].first = item.end;
    }
    uint32_t total = map->count - (after - begin) + count;
    while (map->capacity < total)
        if (!host_grow(map->host, (void **)&map->items, &map->capacity, sizeof *map->items)) return false;
    if (map->count > after)
        memmove(map->items + begin + count, map->items + after, (map->count - after) * sizeof *map->items);
    memcpy(map->items + begin, pieces, count * sizeof *pieces);
    map->count = total;
    return true;
}

void ranges_clear(ranges *map) {
    map->count = 0;
}

void ranges_free(ranges *map) {
    host_free(map->host, map->items);
    map->items = NULL;
    map->count = map->capacity = 0;
}
