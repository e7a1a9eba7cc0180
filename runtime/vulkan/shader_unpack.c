/* SPIR-V out of the executable. Its words are mostly small numbers (ids, types), so the build stores each as
 * LEB128: seven bits a byte, the lowest first, the top bit set in all bytes but a word's last. */
#include "vulkan/shader_table.h"

bool shader_unpack(const shader_variant *variant, uint32_t *code) {
    uint32_t count = variant->code_bytes / 4, at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = 0, shift = 0;
        uint8_t byte;
        do {
            if (at == variant->packed_bytes || shift > 28) return false;
            byte = variant->packed[at++];
            word |= (uint32_t)(byte & 0x7f) << shift;
            shift += 7;
        } while (byte & 0x80);
        code[i] = word;
    }
    return at == variant->packed_bytes;
}
