/* What is said where a model comes without a part that is needed. */
#include "pipeline/model.h"

mzt_status model_no_tokenizer(const model *m, uint32_t index, mzt_error *error) {
    const char *name = model_component_name(index ? MODEL_TOKENIZER_2 : MODEL_TOKENIZER);
    if (m->index.components[MODEL_UNET].path)
        return error_set(error, MZT_ERROR_NOT_FOUND,
                         "%s has no %s folder: it needs vocab.json and merges.txt of its tokenizer", m->path,
                         name);
    return error_set(
        error, MZT_ERROR_NOT_FOUND,
        "%s comes without a tokenizer: put bpe_simple_vocab_16e6.txt.gz of the public openai/CLIP "
        "repository beside it or into ~/.local/share/mezzotint, or name it with --tokenizer FILE",
        m->path);
}
