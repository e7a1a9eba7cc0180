/* The training ops' part of shader_select.c. */
#ifndef VULKAN_SHADER_TRAINING_H
#define VULKAN_SHADER_TRAINING_H

#include "vulkan/shader_table.h"

/* Whether the op's shader reads its activations as words, so that `weight` of its variants is their type. */
bool shader_training_reads_words(op o);

/* Workgroups of a variant of a training op. */
uint64_t shader_training_groups(const shader_variant *v, const op_params *p);

/* Loop iterations of one invocation, where shapes can make them many; 0 for other ops. */
uint64_t shader_training_iterations(const shader_variant *v, const op_params *p);

/* How well a variant of reduce_sum suits these sizes: lower is better. */
double shader_training_cost(const shader_variant *v, const op_params *p);

#endif
