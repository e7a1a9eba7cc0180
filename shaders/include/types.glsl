// The two macro types of every shader. Storage: what activations are in memory (A: one element, A4: four), f32 or f16 by
// A_F16. Arithmetic: always f32.
// With VEC4 the element-wise shaders move four channels at a time: V is vec4 and AV is A4; otherwise V is float and AV is A.
// Indices are 32-bit element indices; op_extents refuses any binding of 2^32 elements or more.
#ifndef TYPES_GLSL
#define TYPES_GLSL

#ifdef A_F16
#extension GL_EXT_shader_16bit_storage : require
#define A float16_t
#define A4 f16vec4
#else
#define A float
#define A4 vec4
#endif

#ifdef VEC4
#define V vec4
#define AV A4
#define WIDTH 4u
#else
#define V float
#define AV A
#define WIDTH 1u
#endif

#ifndef LOCAL
#define LOCAL 64
#endif
layout(local_size_x = LOCAL) in;

// Index of this workgroup in the whole dispatch, and of this invocation when each one has its own item.
#define GROUP (gl_WorkGroupID.x + p.first)
#define ITEM (GROUP * LOCAL + gl_LocalInvocationID.x)

#endif
