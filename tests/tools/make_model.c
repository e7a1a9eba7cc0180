/* make-model: writes a model folder with random weights; see synthetic.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/presets.h"
#include "synthetic.h"

static int usage(void) {
    fprintf(stderr,
            "usage: make-model PRESET|FOLDER OUTPUT_DIR [--dtype f32|f16|bf16] [--seed N] "
            "[--components unet,vae,...]\n"
            "presets: %s; FOLDER: a model folder whose configurations are copied\n",
            model_preset_names());
    return 2;
}

static bool parse_dtype(const char *text, dtype *type) {
    for (int i = DTYPE_F32; i <= DTYPE_BF16; i++)
        if (strcmp(text, dtype_name((dtype)i)) == 0) {
            *type = (dtype)i;
            return true;
        }
    return false;
}

/* "unet,vae" to bits. */
static bool parse_components(const char *text, uint32_t *bits) {
    *bits = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        int i = 0;
        while (i < MODEL_COMPONENT_COUNT && (strlen(model_component_name((model_component)i)) != length ||
                                             memcmp(model_component_name((model_component)i), text, length)))
            i++;
        if (i == MODEL_COMPONENT_COUNT) return false;
        *bits |= 1u << i;
        if (text[length] == '\0') return true;
        text += length + 1;
    }
}

static bool parse_option(const char *name, const char *value, synthetic_options *options) {
    char *end;
    if (strcmp(name, "--dtype") == 0) return parse_dtype(value, &options->type);
    if (strcmp(name, "--components") == 0) return parse_components(value, &options->components);
    if (strcmp(name, "--seed") != 0) return false;
    options->seed = strtoull(value, &end, 10);
    return end != value && *end == '\0';
}

int main(int argc, char **argv) {
    synthetic_options options = {.type = DTYPE_F16};
    if (argc < 3 || argc % 2 == 0) return usage();
    for (int i = 3; i < argc; i += 2)
        if (!parse_option(argv[i], argv[i + 1], &options)) return usage();
    base_host host = host_make(NULL);
    mzt_error error;
    if (synthetic_model_write(&host, argv[1], argv[2], &options, &error) < 0) {
        fprintf(stderr, "make-model: %s\n", error.message);
        return 1;
    }
    return 0;
}
