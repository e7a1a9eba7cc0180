/* Panels of matrices in blocks, and back; see packed_matrix in fast.h. */
#include "base/block.h"
#include "cpu/fast.h"

/* Where byte `at` of a lane's block lies in the block of all lanes: halves, then the bytes of q. */
static uint64_t place(uint32_t columns, uint32_t lane, uint32_t at) {
    if (at < BLOCK_HEAD_BYTES) return (at / 2 * columns + lane) * 2 + at % 2;
    return (uint64_t)BLOCK_HEAD_BYTES * columns + (at - BLOCK_HEAD_BYTES) * columns + lane;
}

void fast_pack_blocks(const packed_matrix *m, const uint8_t *source, uint32_t columns, uint32_t panel) {
    const uint64_t blocks = m->k / BLOCK_ELEMENTS, size = dtype_size(m->type);
    for (uint32_t lane = 0; lane < columns; lane++) {
        uint64_t row;
        if (!fast_source_row(m, columns, panel, lane, &row)) continue; /* zeros already */
        const uint8_t *from = source + row * blocks * size;
        uint8_t *to = (uint8_t *)m->data + panel * blocks * size * columns;
        for (uint64_t b = 0; b < blocks; b++, from += size, to += size * columns)
            for (uint32_t at = 0; at < size; at++)
                to[place(columns, lane, at)] = from[at];
    }
}

uint8_t fast_unpack_block_byte(const packed_matrix *m, uint32_t columns, uint64_t offset) {
    const uint64_t blocks = m->k / BLOCK_ELEMENTS, size = dtype_size(m->type);
    uint64_t row = offset / size / blocks, block = offset / size % blocks, in_half = row % m->n;
    uint64_t panel = in_half / columns;
    if (m->geglu) panel = 2 * panel + row / m->n;
    const uint8_t *from = (const uint8_t *)m->data + (panel * blocks + block) * size * columns;
    return from[place(columns, (uint32_t)(in_half % columns), (uint32_t)(offset % size))];
}
