/* Any bytes as a GGUF file. An accepted one must give back every tensor, inside the data, in f32 and in
 * blocks. */
#include <stdlib.h>
#include <string.h>

#include "weights/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static void read_tensor(const base_host *host, const weights_tensor *tensor, const uint8_t *data,
                        size_t size) {
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_Q8, DTYPE_Q4};
    uint64_t bytes;
    check(weights_dtype_bytes(tensor->dtype, tensor->count, &bytes));
    check(tensor->data >= data && bytes <= (uint64_t)(data + size - tensor->data));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        mzt_error error = {0};
        uint64_t count = tensor->count / dtype_block(types[i]) * dtype_block(types[i]);
        void *out = host_calloc(host, 1, (size_t)dtype_bytes(types[i], count));
        check(out != NULL);
        check(weights_convert(tensor, 0, count, types[i], out, &error) == MZT_OK);
        host_free(host, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_host host = host_make(NULL);
    weights_set *set;
    mzt_error error = {0};
    mzt_status status = gguf_open_memory(&host, "fuzz", data, size, &set, &error);
    if (status != MZT_OK) {
        check(status == MZT_ERROR_FORMAT || status == MZT_ERROR_UNSUPPORTED);
        check(error.status == status && !set && !strchr(error.message, '\n'));
        return 0;
    }
    for (uint32_t i = 0; i < weights_count(set); i++)
        read_tensor(&host, weights_at(set, i), data, size);
    weights_close(set);
    return 0;
}
