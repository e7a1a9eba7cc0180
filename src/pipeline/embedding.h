/* Textual inversions (Gal et al. 2022, arXiv 2208.01618): a word that stands for a few vectors, learned to
 * stand for something, in place of tokens' rows of the text encoder's table. Files are safetensors:
 *
 *   emb_params [n,C]                       one encoder, as the A1111 web UI writes them
 *   clip_l [n,768], clip_g [n,1280]        Stable Diffusion XL (also text_encoders_0, text_encoders_1)
 *   <any name> [C] or [n,C], alone         diffusers; the name is the word as well
 *
 * The word in prompts is the file's name without its ending. */
#ifndef PIPELINE_EMBEDDING_H
#define PIPELINE_EMBEDDING_H

#include "pipeline/model.h"

#define EMBEDDING_ROWS_MAX 4096 /* of all files of one encoder together */

/* Lets every word of these files be used in prompts, before the model is shared by threads. Once for a model.
 * FORMAT or UNSUPPORTED naming file and tensor, with the widths that the model's encoders have; the errors of
 * weights_open and bpe_add_word. */
mzt_status model_add_embeddings(model *m, const char *const *paths, uint32_t count, mzt_error *error);

/* What a model owns of them; NULL is accepted. */
void embedding_rows_destroy(const base_host *host, struct embedding_rows *rows);

#endif
