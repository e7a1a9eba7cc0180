/* Any bytes as a weighted prompt: refused, or runs of finite weight; and chunks that begin, end and weigh as
 * they should. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static void check_chunks(const base_host *host, const char *text) {
    static const char vocab[] = "{\"<b>\":0,\"<e>\":1,\"<p>\":2,\",</w>\":3,\"a</w>\":4,\"a\":5}";
    const bpe_options options = {
        .begin = "<b>", .end = "<e>", .padding = "<p>", .unknown = "<p>", .max_length = 9};
    prompt_tokens tokens;
    bpe *tokenizer;
    check(bpe_create(host, "letters", vocab, strlen(vocab), "", 0, &options, &tokenizer, NULL) >= 0);
    if (prompt_encode(tokenizer, text, NULL, &tokens, NULL) >= 0) {
        check(tokens.chunk_count >= 1 && tokens.chunk_length == 9);
        for (uint32_t i = 0; i < tokens.chunk_count * 9; i++) {
            check(fabsf(tokens.weights[i]) <= 1000.0f && bpe_piece(tokenizer, tokens.ids[i]));
            if (i % 9 == 0) check(tokens.ids[i] == 0 && tokens.weights[i] == 1.0f);
        }
    }
    prompt_tokens_free(tokenizer, &tokens);
    bpe_destroy(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const base_host host = host_make(NULL);
    prompt_runs runs;
    char *text = host_strndup(&host, (const char *)data, size);
    if (prompt_parse(&host, (const char *)data, size, &runs, NULL) >= 0) {
        size_t total = 0;
        check(runs.count >= 1);
        for (uint32_t i = 0; i < runs.count; i++) {
            check(isfinite(runs.runs[i].weight));
            total += runs.runs[i].length;
        }
        check(total <= size);
    }
    prompt_runs_free(&host, &runs);
    check(text != NULL);
    check_chunks(&host, text);
    host_free(&host, text);
    return 0;
}
