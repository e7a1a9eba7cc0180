/* mezzotint generate --from: what a picture was made with becomes the request. */
#include <string.h>

#include "generate_command.h"
#include "image/png.h"

const char *generate_model_name(const char *folder) {
    const char *slash = strrchr(folder, '/');
    return slash && slash[1] ? slash + 1 : folder;
}

mzt_status generate_from(generate_command *c, const char *file, mzt_error *error) {
    image picture = {0};
    image_text_list text = {0};
    mzt_status status = image_png_read(c->host, file, NULL, &picture, &text, error);
    const char *found = status >= 0 ? image_text_find(&text, "parameters") : NULL;
    if (status >= 0 && !found)
        status =
            error_set(error, MZT_ERROR_NOT_FOUND, "%s carries no parameters: it cannot be repeated", file);
    if (status >= 0) {
        status = parameters_parse(c->host, found, &c->past, error);
        if (status >= 0) status = generate_parameters_apply(&c->past, &c->request, &c->sigmas, error);
        if (status < 0) error_prefix(error, "%s: ", file);
    }
    if (status >= 0) {
        c->seed_given = parameters_find(&c->past, "Seed") != NULL;
        c->variation_given = parameters_find(&c->past, "Variation seed") != NULL;
    }
    image_free(c->host, &picture);
    image_text_free(c->host, &text);
    return status;
}
