/* One row of a sampler program (src/sample/program.h tells its meaning), read by C and by GLSL: 128 floats for each call of the
 * network. What is not named is zero. */
#ifndef MZT_SAMPLER_ROW_H
#define MZT_SAMPLER_ROW_H

#define SAMPLER_SLOTS      6
#define SAMPLER_ROW_FLOATS 128

#define SAMPLER_ROW_TIMESTEP   0  /* given to the network, as trained (0 ... 999), maybe with a fraction */
#define SAMPLER_ROW_Q          1  /* q: weight of the (guided) model output in the clean estimate */
#define SAMPLER_ROW_CLIP       2  /* the clean estimate is clamped to [-clip, clip]; 0: it is not */
#define SAMPLER_ROW_STEP       3  /* index of the user-visible step this call belongs to, from 0 */
#define SAMPLER_ROW_EMIT       4  /* 1: the call ends that step; 0: more calls of the step follow */
#define SAMPLER_ROW_SIGMA      5  /* noise-to-signal ratio sigma/alpha at this call (flow matching: sigma); for display */
#define SAMPLER_ROW_NOISE1     6  /* index of noise1 in the program's sequence, or -1 */
#define SAMPLER_ROW_NOISE2     7  /* index of noise2, or -1 */
#define SAMPLER_ROW_INPUT      8  /* in[0 ... 5] */
#define SAMPLER_ROW_PREDICTION 16 /* p[0 ... 5] */
#define SAMPLER_ROW_GUIDANCE   24 /* m = u + guidance * (c - u) where the network ran for both; set for the run, not compiled */
#define SAMPLER_ROW_UPDATE     32 /* the update of slot i: SAMPLER_FORM_SIZE numbers from 32 + 16 i */

/* Columns of one slot's update. */
#define SAMPLER_COLUMN_SLOT     0 /* B[i][0 ... 5] */
#define SAMPLER_COLUMN_DENOISED 6 /* c[i] */
#define SAMPLER_COLUMN_OUTPUT   7 /* g[i] */
#define SAMPLER_COLUMN_NOISE1   8 /* n1[i] */
#define SAMPLER_COLUMN_NOISE2   9 /* n2[i] */
#define SAMPLER_FORM_SIZE       16

#endif
