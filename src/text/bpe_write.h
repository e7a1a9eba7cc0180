/* Writing a tokenizer as transformers keeps it. */
#ifndef TEXT_BPE_WRITE_H
#define TEXT_BPE_WRITE_H

#include "text/bpe.h"

/* Writes vocab.json, merges.txt and tokenizer_config.json into a folder that exists; bpe_load reads them back
 * as the same tokenizer. IO, OUT_OF_MEMORY. */
mzt_status bpe_write(const bpe *tokenizer, const char *folder, mzt_error *error);

#endif
