/* Made-up models: diffusers folders whose networks have the right tensors, but random values. For tests of
 * size, memory and speed, and of whatever does not need a trained network.
 *
 * Names and shapes come from the library's own descriptions of the networks. Values depend on the seed and
 * the tensor's name alone:
 *   matrices and filters    n / sqrt(inputs of one output), half of that for the last convolution
 * ("conv_out") biases                  0.05 n scales of norms         1 + 0.1 n where n are the normals of
 * random_normals(seed, FNV-1a of the name). Every layer then hands on values of about unit size, so that
 * outputs neither vanish nor overflow f16.
 *
 * Thread-safety: any thread; calls that write the same folder must not overlap. */
#ifndef TOOLS_SYNTHETIC_H
#define TOOLS_SYNTHETIC_H

#include "base/dtype.h"
#include "model/model_index.h"

typedef struct synthetic_options {
    dtype type; /* of all tensors: DTYPE_F32, DTYPE_F16 or DTYPE_BF16 */
    uint64_t seed;
    uint32_t components; /* whose weights to write: bits 1 << model_component; 0: all of the model's */
} synthetic_options;

/* Writes a model folder. `source` is a preset ("./tiny" is a folder), or a folder whose model_index.json and
 * configurations are copied; weights that are there (model.safetensors and the like) are copied too and not
 * made up. Tokenizers get synthetic_tokenizer_write's vocabulary. NOT_FOUND lists the presets; else the
 * errors of reading and writing. */
mzt_status synthetic_model_write(const base_host *host, const char *source, const char *folder,
                                 const synthetic_options *options, mzt_error *error);

/* Writes FOLDER's weights as config.json there describes the network. UNSUPPORTED for a component that is no
 * network. */
mzt_status synthetic_weights_write(const base_host *host, model_component component, const char *folder,
                                   const synthetic_options *options, mzt_error *error);

/* Writes vocab.json and merges.txt: the 256 bytes, the same at a word's end, a few merges of common English
 * letter pairs, begin and end. 512 + SYNTHETIC_MERGES + 2 ids; begin and end are the last. */
#define SYNTHETIC_MERGES 24
mzt_status synthetic_tokenizer_write(const base_host *host, const char *folder, mzt_error *error);

#endif
