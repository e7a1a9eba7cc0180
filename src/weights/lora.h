/* Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685) and their relatives, as files that people share:
 * small matrices whose product is added to a network's weights. They are added while weights are read, in
 * f32, whatever the checkpoint's own type:
 *
 *   LoRA    W += scale alpha / rank  up down                       (with `mid` for convolutions: Tucker's
 * form) LoHa    W += scale alpha / rank  (w1a w1b) * (w2a w2b)         element by element (Hyeon-Woo et al.
 * 2021, arXiv 2108.06098) LoKr    W += scale alpha / rank  w1 (x) w2                     Kronecker's product
 * (Yeh et al. 2023, arXiv 2309.14859) diff    W += scale diff
 *
 * Modules are named in a file as kohya's scripts do it (lora_unet_..., lora_te1_..., with diffusers' or the
 * original names of the UNet's blocks) or as diffusers and PEFT do (unet....lora_A.weight,
 * ...processor.to_q_lora.down.weight). docs/lora.md lists them.
 *
 *   lora_stack *stack;  lora_stack_create(host, &stack, &error);
 *   lora_stack_add(stack, "style.safetensors", 0.8, &error);             // any number
 *   lora_stack_apply(stack, LORA_UNET, unet, &changed_unet, &error);     // a set to load from, in place of
 * `unet` lora_stack_finish(stack, &error);                                    // complains about what matched
 * nothing
 *
 * A set that lora_stack_apply made gives merged tensors to whoever reads it: the loader of a network, or a
 * writer of checkpoints. */
#ifndef WEIGHTS_LORA_H
#define WEIGHTS_LORA_H

#include "weights/weights.h"

/* Which network a module belongs to. */
typedef enum lora_network { LORA_UNET, LORA_TEXT, LORA_TEXT_2, LORA_NETWORK_COUNT } lora_network;

typedef struct lora_stack lora_stack;

/* The stack owns the files that are added. It must outlive the sets that lora_stack_apply made.
 * Thread-safety: immutable after lora_stack_finish, apart from a cache that is guarded; sets may be read on
 * any thread. */
mzt_status lora_stack_create(const base_host *host, lora_stack **out, mzt_error *error);
void lora_stack_destroy(lora_stack *stack); /* NULL is accepted */

/* Opens a safetensors file and checks all of it that does not depend on the model. NOT_FOUND, IO; FORMAT
 * naming the key whose shape, rank or alpha is wrong; UNSUPPORTED naming a kind of adapter that is known but
 * not supported. `scale` must be finite and within
 * +-LORA_SCALE_MAX. */
mzt_status lora_stack_add(lora_stack *stack, const char *path, double scale, mzt_error *error);
#define LORA_SCALE_MAX 1000.0

/* The same for a file in memory, which the caller keeps. */
mzt_status lora_stack_add_memory(lora_stack *stack, const char *name, const void *data, uint64_t size,
                                 double scale, mzt_error *error);

/* Finds the modules of `network` among the tensors of `below` (by diffusers' names) and makes a set that
 * reads them with everything added. *out is NULL where no weight changes: no file speaks of this network, or
 * all scales are 0. FORMAT names file, module and shapes that do not fit. `below` is borrowed and must
 * outlive *out. */
mzt_status lora_stack_apply(lora_stack *stack, lora_network network, const weights_set *below,
                            weights_set **out, mzt_error *error);

/* After all networks of the model: NOT_FOUND for a file none of whose modules was found, with the first
 * names; a warning with count and first names where some were not. */
mzt_status lora_stack_finish(const lora_stack *stack, mzt_error *error);

/* Modules of all files that were found, and weights that change. For a line of news. */
void lora_stack_count(const lora_stack *stack, uint32_t *modules, uint32_t *tensors);

/* How this project names a module in files it writes: "lora_unet_" + name with underscores (kohya), for the
 * text encoder "lora_te_". `module` is diffusers' name without ".weight". False when it does not fit. */
bool lora_kohya_name(lora_network network, const char *module, char *text, size_t size);

#endif
