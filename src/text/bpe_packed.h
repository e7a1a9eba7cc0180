/* A tokenizer as bytes, without the formats that tokenizers are published in: for compiled models. */
#ifndef TEXT_BPE_PACKED_H
#define TEXT_BPE_PACKED_H

#include "text/bpe.h"

/* *data is a fresh block. OUT_OF_MEMORY. */
mzt_status bpe_pack(const bpe *tokenizer, uint8_t **data, uint64_t *size, mzt_error *error);

/* The same tokenizer again. The bytes may be hostile: FORMAT. `name` is what messages call them. */
mzt_status bpe_unpack(const base_host *host, const char *name, const uint8_t *data, uint64_t size, bpe **out,
                      mzt_error *error);

#endif
