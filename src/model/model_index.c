/* Reads model_index.json; see model_index.h. */
#include "model/model_index.h"

#include <string.h>

#include "base/file.h"
#include "json/json.h"
#include "model/config.h"

enum { MAX_CLASSES = 3 };

/* `required` ones are needed by every supported pipeline. Classes are those whose networks this library
 * describes; none listed: the component's own reader judges. */
static const struct component_row {
    const char *name, *classes[MAX_CLASSES];
    bool required;
} component_rows[MODEL_COMPONENT_COUNT] = {
    [MODEL_UNET] = {"unet", {"UNet2DConditionModel"}, true},
    [MODEL_VAE] = {"vae", {"AutoencoderKL", "AutoencoderTiny"}, true},
    [MODEL_SCHEDULER] = {"scheduler", {NULL}, true},
    [MODEL_TEXT_ENCODER] = {"text_encoder", {"CLIPTextModel", "CLIPTextModelWithProjection"}, false},
    [MODEL_TEXT_ENCODER_2] = {"text_encoder_2", {"CLIPTextModelWithProjection"}, false},
    [MODEL_TOKENIZER] = {"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast"}, false},
    [MODEL_TOKENIZER_2] = {"tokenizer_2", {"CLIPTokenizer", "CLIPTokenizerFast"}, false},
};

static const struct pipeline_row {
    const char *class;
    bool xl;
} pipeline_rows[] = {
    {"StableDiffusionPipeline", false},
    {"StableDiffusionImg2ImgPipeline", false},
    {"StableDiffusionInpaintPipeline", false},
    {"LatentConsistencyModelPipeline", false},
    {"LatentConsistencyModelImg2ImgPipeline", false},
    {"StableDiffusionXLPipeline", true},
    {"StableDiffusionXLImg2ImgPipeline", true},
    {"StableDiffusionXLInpaintPipeline", true},
};

static mzt_status read_pipeline(json_value root, model_index *index, mzt_error *error) {
    const char *class;
    char text[100];
    TRY(json_require_string(root, "_class_name", &class, error));
    for (size_t i = 0; i < sizeof pipeline_rows / sizeof pipeline_rows[0]; i++) {
        if (strcmp(pipeline_rows[i].class, class) != 0) continue;
        index->xl = pipeline_rows[i].xl;
        return MZT_OK;
    }
    return json_error(root, error, MZT_ERROR_UNSUPPORTED, "pipeline \"%s\" is not supported",
                      error_text(text, sizeof text, class));
}

/* ["library", "Class"], or [null, null] for a component that was left out: *class is then NULL. */
static mzt_status read_class(json_value pair, const char **class, mzt_error *error) {
    *class = NULL;
    if (json_count(pair) != 2) return json_error(pair, error, MZT_ERROR_INVALID, "expected [library, class]");
    json_value second = json_next(json_first(pair));
    return json_given(second) ? json_as_string(second, class, error) : MZT_OK;
}

static mzt_status add_component(model_index *index, model_component component, json_value pair,
                                const char *class, mzt_error *error) {
    const struct component_row *row = &component_rows[component];
    char text[100];
    bool known = row->classes[0] == NULL;
    for (uint32_t i = 0; i < MAX_CLASSES && row->classes[i]; i++)
        known = known || strcmp(row->classes[i], class) == 0;
    if (!known)
        return json_error(pair, error, MZT_ERROR_UNSUPPORTED, "class \"%s\" is not supported",
                          error_text(text, sizeof text, class));
    index->components[component].path = path_join(index->host, index->folder, row->name);
    index->components[component].class_name = host_strdup(index->host, class);
    if (!index->components[component].path || !index->components[component].class_name)
        return error_memory(error, row->name, strlen(index->folder));
    return MZT_OK;
}

static mzt_status read_components(json_value root, model_index *index, mzt_error *error) {
    for (json_value v = json_first(root); v.item; v = json_next(v)) {
        const char *key = json_key(v), *class;
        char text[80];
        if (json_kind_of(v) != JSON_ARRAY) continue; /* a pipeline option */
        if (key[0] == '_' || strcmp(key, "safety_checker") == 0 || strcmp(key, "feature_extractor") == 0)
            continue;
        TRY(read_class(v, &class, error));
        if (!class) continue;
        uint32_t i = 0;
        while (i < MODEL_COMPONENT_COUNT && strcmp(model_component_name((model_component)i), key) != 0)
            i++;
        if (i == MODEL_COMPONENT_COUNT)
            return json_error(root, error, MZT_ERROR_UNSUPPORTED, "component \"%s\" is not supported",
                              error_text(text, sizeof text, key));
        TRY(add_component(index, (model_component)i, v, class, error));
    }
    for (uint32_t i = 0; i < MODEL_COMPONENT_COUNT; i++) {
        bool required =
            component_rows[i].required || i == (index->xl ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER);
        if (required && !index->components[i].path)
            return json_error(root, error, MZT_ERROR_INVALID, "component \"%s\" is missing",
                              model_component_name((model_component)i));
    }
    if (!index->xl && index->components[MODEL_TEXT_ENCODER_2].path)
        return json_error(root, error, MZT_ERROR_UNSUPPORTED,
                          "component \"text_encoder_2\" in a pipeline that has one text encoder");
    return MZT_OK;
}

static mzt_status read_index(json_value root, model_index *index, mzt_error *error) {
    TRY(read_pipeline(root, index, error));
    TRY(read_components(root, index, error));
    TRY(json_get_bool(root, "force_zeros_for_empty_prompt", true, &index->force_zeros_for_empty_prompt,
                      error));
    return json_get_bool(root, "requires_aesthetics_score", false, &index->requires_aesthetics_score, error);
}

mzt_status model_index_read(const base_host *host, const char *folder, model_index *out, mzt_error *error) {
    json_doc *doc = NULL;
    mzt_status status = MZT_OK;
    memset(out, 0, sizeof *out);
    model_index index = {.host = host};
    char *path = path_join(host, folder, "model_index.json");
    index.folder = host_strdup(host, folder);
    if (!path || !index.folder) status = error_memory(error, folder, strlen(folder));
    if (status == MZT_OK) status = json_read(host, path, &doc, error);
    if (status == MZT_OK) status = read_index(json_root(doc), &index, error);
    json_destroy(doc);
    host_free(host, path);
    if (status < 0)
        model_index_destroy(&index);
    else
        *out = index;
    return status;
}

void model_index_destroy(model_index *index) {
    if (!index || !index->host) return;
    for (uint32_t i = 0; i < MODEL_COMPONENT_COUNT; i++) {
        host_free(index->host, index->components[i].path);
        host_free(index->host, index->components[i].class_name);
    }
    host_free(index->host, index->folder);
    memset(index, 0, sizeof *index);
}
