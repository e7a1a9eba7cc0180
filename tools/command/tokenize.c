/* mezzotint tokenize: the token ids of a text, as the model sees them. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "base/file.h"
#include "json/json_write.h"
#include "text/bpe.h"

static mzt_status print_tokens(const base_host *host, const bpe *tokenizer, const char *text, bool padded, mzt_error *error) {
    uint32_t *ids = NULL, count = 0;
    if (padded) {
        count = bpe_max_length(tokenizer);
        ids = host_calloc(host, count, sizeof *ids);
        if (!ids) return error_memory(error, "token ids", count);
        mzt_status status = bpe_encode_padded(tokenizer, text, count, ids, NULL, error);
        if (status < 0) {
            host_free(host, ids);
            return status;
        }
    } else {
        TRY(bpe_encode(tokenizer, text, strlen(text), &ids, &count, error));
    }
    json_writer w = json_writer_make(host);
    json_write_object(&w, NULL);
    json_write_array(&w, "ids");
    for (uint32_t i = 0; i < count; i++) json_write_uint(&w, NULL, ids[i]);
    json_write_end_array(&w);
    json_write_array(&w, "pieces");
    for (uint32_t i = 0; i < count; i++) json_write_string(&w, NULL, bpe_piece(tokenizer, ids[i]));
    json_write_end_array(&w);
    json_write_uint(&w, "count", count);
    json_write_end_object(&w);
    host_free(host, ids);
    char *line;
    TRY(json_writer_finish(&w, &line, NULL, error));
    puts(line);
    host_free(host, line);
    return MZT_OK;
}

mzt_status command_tokenize(command_context *context, int argc, char **argv, mzt_error *error) {
    const base_host *host = &context->host;
    const char *model = NULL, *vocabulary = NULL, *text = NULL;
    bool padded = false, second = false;
    const option options[] = {
        {'m', "model", "MODEL", "a model folder that holds tokenizer/", OPTION_TEXT, &model, 0, 0, NULL},
        {0, "vocab", "DIR-OR-FILE", "vocab.json with merges.txt, or bpe_simple_vocab_16e6.txt.gz", OPTION_TEXT, &vocabulary, 0, 0, NULL},
        {0, "second", NULL, "the model's second tokenizer (SDXL)", OPTION_FLAG, &second, 0, 0, NULL},
        {0, "padded", NULL, "with begin and end, cut or padded to the model's length", OPTION_FLAG, &padded, 0, 0, NULL},
    };
    const option_set set = {"tokenize", "TEXT", "Prints the token ids of TEXT, the piece of text behind each, and their count, as JSON.",
                            NULL, options, 4, 1, 1};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, &text, &operand_count, error);
    if (status != MZT_OK) return status;
    if (!model == !vocabulary)
        return error_set(error, MZT_ERROR_INVALID, "give either --model or --vocab: where the vocabulary comes from");
    char *folder = model ? path_join(host, model, second ? "tokenizer_2" : "tokenizer") : host_strdup(host, vocabulary);
    if (!folder) return error_memory(error, "path", 0);
    bpe *tokenizer = NULL;
    status = bpe_load(host, folder, NULL, &tokenizer, error);
    if (status >= 0) status = print_tokens(host, tokenizer, text, padded, error);
    bpe_destroy(tokenizer);
    host_free(host, folder);
    return status;
}
