/* Packing tensors into the engine's element types and layouts; see weights.h. */
#include "weights/weights.h"

#include <string.h>

/* Within each of `outer` blocks, the source [rows,columns] becomes [columns,rows]. OIHW to OHWI is this with
 * rows = I and columns = KH*KW; the way back has them exchanged. The source is read in order, a few kilobytes
 * at a time. */
static mzt_status pack_transposed(const weights_tensor *tensor, uint64_t rows, uint64_t columns, dtype to,
                                  void *out, mzt_error *error) {
    enum { PIECE = 2048 };
    union {
        uint32_t words[PIECE];
        uint16_t halves[PIECE];
    } piece;
    const size_t size = dtype_size(to);
    uint64_t row = 0, column = 0, block = 0; /* where the next element goes; block in elements */
    for (uint64_t first = 0; first < tensor->count;) {
        uint64_t count = tensor->count - first < PIECE ? tensor->count - first : PIECE;
        TRY(weights_convert(tensor, first, count, to, &piece, error));
        for (uint64_t i = 0; i < count; i++) {
            uint8_t *place = (uint8_t *)out + (block + column * rows + row) * size;
            if (size == 2)
                memcpy(place, &piece.halves[i], 2);
            else
                memcpy(place, &piece.words[i], 4);
            if (++column < columns) continue;
            column = 0;
            if (++row < rows) continue;
            row = 0;
            block += rows * columns;
        }
        first += count;
    }
    return MZT_OK;
}

mzt_status weights_pack(const weights_tensor *tensor, weights_layout layout, dtype to, void *out,
                        uint64_t bytes, mzt_error *error) {
    char name[100], shape[120];
    const uint64_t needed = dtype_bytes(to, tensor->count);
    if (needed != bytes || tensor->count % dtype_block(to) || (layout != WEIGHTS_PLAIN && dtype_block(to) > 1))
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" %s as %s does not fill %llu bytes",
                         tensor->file, error_text(name, sizeof name, tensor->name),
                         weights_shape_text(shape, sizeof shape, tensor->shape, tensor->rank), dtype_name(to),
                         (unsigned long long)bytes);
    if (layout == WEIGHTS_PLAIN) return weights_convert(tensor, 0, tensor->count, to, out, error);
    if (tensor->rank != 4)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s: tensor \"%s\": expected rank 4 for a convolution, found shape %s", tensor->file,
                         error_text(name, sizeof name, tensor->name),
                         weights_shape_text(shape, sizeof shape, tensor->shape, tensor->rank));
    const uint64_t *s = tensor->shape;
    if (layout == WEIGHTS_OIHW_TO_OHWI) return pack_transposed(tensor, s[1], s[2] * s[3], to, out, error);
    return pack_transposed(tensor, s[1] * s[2], s[3], to, out, error);
}

mzt_status weights_load(const weights_set *set, const char *name, const uint64_t *shape, uint32_t rank,
                        weights_layout layout, dtype to, void *out, uint64_t bytes, mzt_error *error) {
    const weights_tensor *tensor;
    TRY(weights_require(set, name, shape, rank, &tensor, error));
    return weights_pack(tensor, layout, to, out, bytes, error);
}
