/* Writing a model as a GGUF file: the original layout's names, as a single safetensors file has them, with
 * matrices quantised. What stays as it is: biases and norms, convolutions (their rows are no whole blocks),
 * embedding tables, and the autoencoder. Rows that Q4_K, Q5_K and Q6_K cannot cut into 256 (SD 1.x has rows
 * of 320) become Q4_1, Q5_1 and Q8_0. */
#ifndef PIPELINE_CONVERT_GGUF_H
#define PIPELINE_CONVERT_GGUF_H

#include "pipeline/convert.h"

/* "q8_0", "q5_0", "q5_1", "q4_0", "q4_1", "q4_k", "q5_k", "q6_k", "f16", "bf16", "f32", in any case; false:
 * none of them. */
bool convert_gguf_type(const char *text, weights_dtype *type);

/* Errors as convert_to_file. */
mzt_status convert_to_gguf(const model *m, const char *path, weights_dtype type, convert_progress *progress,
                           void *user, mzt_error *error);

#endif
