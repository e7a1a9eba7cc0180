/* A generation's request as parameters (parameters.h) and back. */
#ifndef PIPELINE_GENERATE_PARAMETERS_H
#define PIPELINE_GENERATE_PARAMETERS_H

#include "pipeline/generate.h"
#include "pipeline/parameters.h"

/* What a request does not know of its pictures' origin. Any may be NULL. */
typedef struct generate_origin {
    const char *model, *model_hash;    /* the model's name; 10 digits of the SHA-256 of its UNet's file */
    const char *init_hash, *mask_hash; /* the same of the image files */
    const char *lora_hashes; /* "name: 0123456789ab, ..." of the files that the prompt's tags name */
} generate_origin;

/* Settings of picture `index` of a result. Device and file names are no part of them. OUT_OF_MEMORY, INVALID.
 */
mzt_status generate_parameters_make(const base_host *host, const generate_request *request,
                                    const generate_result *result, const generate_origin *origin,
                                    uint32_t index, parameters *out, mzt_error *error);

/* Sets what the parameters name, in our own spelling or the web UI's; the rest of *request stays. Strings are
 * borrowed from `p`. *sigmas receives NULL or the list that request->sigmas then points to, to be released
 * with host_free. INVALID names a setting whose value has no meaning. Pictures, masks and the model must be
 * given by the caller. */
mzt_status generate_parameters_apply(const parameters *p, generate_request *request, double **sigmas,
                                     mzt_error *error);

/* "14.6,7.1,0": numbers separated by commas. INVALID names the first that is none. Release *values with
 * host_free. */
mzt_status generate_sigmas_parse(const base_host *host, const char *text, double **values, uint32_t *count,
                                 mzt_error *error);

#endif
