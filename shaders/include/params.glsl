// Push constant blocks from the shared lists: PUSH_CONSTANTS(MZT_PARAMS_LINEAR) declares them as members of `p`.
#ifndef PARAMS_GLSL
#define PARAMS_GLSL
#include "params.h"
#define PARAMS_UINT(name) uint name;
#define PARAMS_FLOAT(name) float name;
#define PUSH_CONSTANTS(list) layout(push_constant) uniform Params { list(PARAMS_UINT, PARAMS_FLOAT) } p;
#endif
