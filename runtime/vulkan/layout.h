/* Where each buffer of a plan lies: in which shard (one allocation) and at which offset. Pure arithmetic, no
 * Vulkan. */
#ifndef VULKAN_LAYOUT_H
#define VULKAN_LAYOUT_H

#include "plan/plan.h"

#define LAYOUT_WEIGHT_SHARD ((uint64_t)1 << 30) /* weights are spread over shards of at most 1 GiB */

typedef struct vulkan_place {
    uint32_t shard;
    uint64_t offset; /* bytes, a multiple of PLAN_ALIGNMENT */
} vulkan_place;

typedef struct vulkan_layout {
    vulkan_place *places;  /* [buffer_count] */
    uint64_t *shard_bytes; /* [shard_count]; arena shards first, then weights */
    uint32_t shard_count, arena_shards;
} vulkan_layout;

/* Places all buffers into shards of at most `limit` bytes. The arena is kept whole where it fits, otherwise
 * cut only where no buffer crosses; overlaps inside it stay as the plan wants them. UNSUPPORTED names what
 * does not fit into `limit`. On failure *out is zeroed. */
mzt_status vulkan_layout_create(const base_host *host, const plan *p, uint64_t limit, vulkan_layout *out,
                                mzt_error *error);
void vulkan_layout_destroy(const base_host *host, vulkan_layout *layout); /* a zeroed one is accepted */

#endif
