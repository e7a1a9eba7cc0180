/* The LoRA files of mezzotint generate: --lora FILE[:SCALE], and tags <lora:NAME:SCALE> in the prompt. Both
 * come to the same: a tag in the prompt, by which the picture remembers them, and a file. */
#ifndef COMMAND_GENERATE_LORA_H
#define COMMAND_GENERATE_LORA_H

#include "pipeline/model_lora.h"

enum { LORA_MAX = 32, LORA_HASH_DIGITS = 12 };

typedef struct lora_choice {
    model_lora list[LORA_MAX]; /* paths belong to the choice */
    char *names[LORA_MAX];
    uint32_t count;
    char *prompt; /* with a tag for each */
    char *hashes; /* "name: 0123456789ab, ..."; NULL: no file */
} lora_choice;

/* Gathers --lora from the arguments (it may be given several times) and the tags of `prompt`, and finds the
 * files: those of tags by the name of an option's file, or as NAME.safetensors in `folder` (--lora-dir; NULL:
 * MODEL/loras and the folder "loras" beside MODEL). A scale that an option gives replaces that of the tag.
 * INVALID naming option or tag, NOT_FOUND saying where was looked. Release with lora_choice_release, also
 * after an error. */
mzt_status lora_choose(const base_host *host, int argc, char **argv, const char *prompt, const char *negative,
                       const char *folder, const char *model_path, lora_choice *out, mzt_error *error);

/* Fills `hashes`, as the A1111 web UI writes them: of each file's tensors, without its header. */
mzt_status lora_hash(const base_host *host, lora_choice *choice, mzt_error *error);

/* What a picture says its files were, against these: a warning on standard error for each that differs. */
void lora_compare_hashes(const lora_choice *choice, const char *recorded);

void lora_choice_release(const base_host *host, lora_choice *choice); /* zeroed is accepted */

#endif
