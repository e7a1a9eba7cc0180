/* Any bytes as a safetensors file, and again as a header (up to the first zero byte) with data behind it, so
 * that the search is not spent on guessing the header's length. An accepted file must give back every tensor
 * by name, inside the data. */
#include <stdlib.h>
#include <string.h>

#include "weights/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static void read_tensor(const base_host *host, const weights_tensor *tensor, const uint8_t *data,
                        size_t size) {
    static const weights_layout layouts[] = {WEIGHTS_PLAIN, WEIGHTS_OIHW_TO_OHWI, WEIGHTS_OHWI_TO_OIHW};
    uint64_t bytes = tensor->count * weights_dtype_size(tensor->dtype);
    check(tensor->data >= data && bytes <= (uint64_t)(data + size - tensor->data));
    for (int to = 0; to < DTYPE_COUNT; to++) {
        for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
            mzt_error error = {0};
            size_t room = dtype_size((dtype)to);
            void *out = host_calloc(host, (size_t)tensor->count, room);
            check(out != NULL);
            mzt_status status =
                weights_pack(tensor, layouts[i], (dtype)to, out, tensor->count * room, &error);
            check(status == MZT_OK || (error.status == status && !strchr(error.message, '\n')));
            host_free(host, out);
        }
    }
}

static void open_image(const uint8_t *data, size_t size) {
    base_host host = host_make(NULL);
    weights_set *set;
    mzt_error error = {0};
    mzt_status status = weights_open_memory(&host, "fuzz", data, size, &set, &error);
    if (status != MZT_OK) {
        check(status == MZT_ERROR_FORMAT || status == MZT_ERROR_UNSUPPORTED);
        check(error.status == status && !set && !strchr(error.message, '\n'));
        return;
    }
    for (uint32_t i = 0; i < weights_count(set); i++) {
        const weights_tensor *tensor = weights_at(set, i);
        check(weights_find(set, tensor->name) == tensor);
        read_tensor(&host, tensor, data, size);
    }
    weights_close(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    open_image(data, size);
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    size_t header = zero ? (size_t)(zero - data) : size, rest = zero ? size - header - 1 : 0;
    uint8_t *image = malloc(8 + header + rest);
    check(image != NULL);
    for (int i = 0; i < 8; i++)
        image[i] = (uint8_t)((uint64_t)header >> (8 * i));
    if (header > 0) memcpy(image + 8, data, header);
    if (rest > 0) memcpy(image + 8 + header, zero + 1, rest);
    open_image(image, 8 + header + rest);
    free(image);
    return 0;
}
