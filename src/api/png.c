/* A job's picture as a PNG file that says what it was made with. */
#include "image/png.h"

#include <string.h>

#include "api/api.h"
#include "pipeline/generate_parameters.h"

static mzt_status describe(const mzt_job *job, uint32_t index, image_text_list *text, mzt_error *error) {
    const base_host *host = job->host;
    const generation *g = job->generation;
    static const image some = {
        0}; /* stands for pictures that the job was given: only their being there counts */
    generate_request request = job->request;
    const char *slash = strrchr(g->m->path, '/');
    const generate_origin origin = {.model = slash && slash[1] ? slash + 1 : g->m->path};
    parameters p = {0};
    char *line = NULL;
    request.init_image = job->had_picture ? &some : NULL;
    request.mask = job->had_mask ? &some : NULL;
    mzt_status status = generate_parameters_make(host, &request, &g->result, &origin, index, &p, error);
    if (status >= 0) status = parameters_format(&p, &line, error);
    if (status >= 0) status = image_text_add(host, text, "parameters", line, error);
    host_free(host, line);
    parameters_destroy(&p);
    return status;
}

mzt_status mzt_job_write_png(mzt_job *job, uint32_t index, const char *path, mzt_error *error) {
    image_text_list text = {0};
    if (!job || !path) return api_missing(error, job ? "path" : "job");
    const generation *g = job->generation;
    if (index >= g->result.count)
        return error_set(error, MZT_ERROR_INVALID, "picture %u of %u", index, g->result.count);
    if (g->status != MZT_OK) {
        if (g->status < 0 && error) *error = g->ended;
        return g->status;
    }
    mzt_status status = describe(job, index, &text, error);
    if (status >= 0) status = image_png_write(job->host, path, &g->result.images[index], &text, error);
    image_text_free(job->host, &text);
    return status;
}
