/* Any bytes as a vocabulary: up to a zero byte its vocab.json (or the file of openai/CLIP, where there is no
 * zero byte), then merges.txt up to the next one, then a text. Whatever is accepted encodes the text to ids
 * that have pieces. */
#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const base_host host = host_make(NULL);
    const uint8_t *end = data + size, *merges = size ? memchr(data, 0, size) : NULL;
    const uint8_t *text = merges ? memchr(merges + 1, 0, (size_t)(end - merges - 1)) : NULL;
    const bpe_options options = {.begin = "<b>", .end = "<e>", .padding = "<e>", .unknown = "<e>"};
    bpe *tokenizer = NULL;
    uint32_t *ids, count;
    char *decoded;
    if (!text) {
        check(bpe_create(&host, "fuzz", data, size, NULL, 0, NULL, &tokenizer, NULL) < 0 && !tokenizer);
        return 0;
    }
    if (bpe_create(&host, "fuzz", data, (uint64_t)(merges - data), merges + 1, (uint64_t)(text - merges - 1),
                   &options, &tokenizer, NULL) < 0)
        return 0;
    check(bpe_encode(tokenizer, (const char *)text + 1, (size_t)(end - text - 1), &ids, &count, NULL) >= 0);
    for (uint32_t i = 0; i < count; i++)
        check(bpe_piece(tokenizer, ids[i]) != NULL);
    check(bpe_decode(tokenizer, ids, count, &decoded, NULL) >= 0);
    host_free(&host, decoded);
    host_free(&host, ids);
    bpe_destroy(tokenizer);
    return 0;
}
