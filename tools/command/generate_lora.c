/* LoRA files of mezzotint generate; see generate_lora.h. */
#include "generate_lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/sha256.h"
#include "pipeline/parameters.h"
#include "text/prompt_tags.h"
#include "weights/lora.h"

static const char ending[] = ".safetensors";

/* One --lora. */
typedef struct given {
    char *path;
    const char *name; /* in `path`: the file's, without folders; `name_length` without ".safetensors" */
    size_t name_length;
    double scale;
    bool scaled, used;
} given;

static bool same(const char *a, size_t a_length, const char *b, size_t b_length) {
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

static bool read_number(const char *text, size_t length, double *out) {
    char copy[40];
    if (length == 0 || length >= sizeof copy) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return parameters_number(copy, out);
}

/* "FILE" or "FILE:SCALE"; a colon that no number follows belongs to the file's name. */
static mzt_status read_given(const base_host *host, const char *text, given *out, mzt_error *error) {
    const char *colon = strrchr(text, ':');
    *out = (given){.scale = 1};
    out->scaled = colon && read_number(colon + 1, strlen(colon + 1), &out->scale);
    out->path = host_strndup(host, text, out->scaled ? (size_t)(colon - text) : strlen(text));
    if (!out->path) return error_memory(error, text, strlen(text));
    const char *slash = strrchr(out->path, '/');
    out->name = slash ? slash + 1 : out->path;
    out->name_length = strlen(out->name);
    const size_t end = sizeof ending - 1;
    if (out->name_length > end && strcmp(out->name + out->name_length - end, ending) == 0)
        out->name_length -= end;
    if (out->name_length == 0 || strpbrk(out->name, ":<>\n\""))
        return error_set(error, MZT_ERROR_INVALID,
                         "--lora %s: expected FILE or FILE:SCALE, with a name without : < > and quotes",
                         text);
    if (fabs(out->scale) <= LORA_SCALE_MAX) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "--lora %s: scale %g: expected a number within %g of 0", text,
                     out->scale, LORA_SCALE_MAX);
}

static mzt_status gather(const base_host *host, int argc, char **argv, given *list, uint32_t *count,
                         mzt_error *error) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--lora") == 0 && i + 1 < argc) value = argv[++i];
        if (!value && strncmp(argv[i], "--lora=", 7) == 0) value = argv[i] + 7;
        if (!value) continue;
        if (*count == LORA_MAX)
            return error_set(error, MZT_ERROR_INVALID, "--lora: at most %d files", LORA_MAX);
        TRY(read_given(host, value, &list[(*count)++], error));
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------------
 * finding files -- */

/* FOLDER/NAME.safetensors, if it is there. */
static char *look_in(const base_host *host, const char *folder, const char *name) {
    char file[300];
    if (snprintf(file, sizeof file, "%s%s", name, ending) >= (int)sizeof file) return NULL;
    char *path = path_join(host, folder, file);
    if (path && file_exists(path)) return path;
    host_free(host, path);
    return NULL;
}

/* MODEL/loras and the folder "loras" beside MODEL. */
static char *look_near(const base_host *host, const char *model_path, const char *name) {
    char *inside = path_join(host, model_path, "loras"), *parent = host_strdup(host, model_path),
         *beside = NULL, *found = NULL;
    size_t length = parent ? strlen(parent) : 0;
    while (length > 1 && parent[length - 1] == '/')
        parent[--length] = '\0';
    char *slash = parent ? strrchr(parent, '/') : NULL;
    if (slash) slash[slash == parent] = '\0';
    if (parent) beside = path_join(host, slash ? parent : ".", "loras");
    if (inside) found = look_in(host, inside, name);
    if (!found && beside) found = look_in(host, beside, name);
    host_free(host, inside);
    host_free(host, parent);
    host_free(host, beside);
    return found;
}

/* Names in prompts may come with a stranger's picture: they stay within the folder. */
static mzt_status find_file(const base_host *host, const char *name, const char *folder,
                            const char *model_path, char **path, mzt_error *error) {
    char shown[80];
    error_text(shown, sizeof shown, name);
    if (strpbrk(name, "/\\\"") || name[0] == '.')
        return error_set(error, MZT_ERROR_INVALID, "<lora:%s>: expected a file's name, without folders",
                         shown);
    *path = folder ? look_in(host, folder, name) : look_near(host, model_path, name);
    if (*path) return MZT_OK;
    if (folder)
        return error_set(error, MZT_ERROR_NOT_FOUND, "<lora:%s>: there is no %s%s in %s", shown, shown,
                         ending, folder);
    return error_set(error, MZT_ERROR_NOT_FOUND,
                     "<lora:%s>: there is no %s%s in %s/loras, nor in the folder loras beside the model: "
                     "give it with --lora FILE or "
                     "--lora-dir",
                     shown, shown, ending, model_path);
}

/* --------------------------------------------------------------------------------------------------------------
 * tags -- */

static mzt_status add(const base_host *host, lora_choice *c, const char *name, size_t length, double scale,
                      mzt_error *error) {
    if (c->count == LORA_MAX) return error_set(error, MZT_ERROR_INVALID, "at most %d LoRA files", LORA_MAX);
    c->names[c->count] = host_strndup(host, name, length);
    if (!c->names[c->count]) return error_memory(error, "LoRA", length);
    c->list[c->count++].scale = scale;
    return MZT_OK;
}

static given *given_of(given *list, uint32_t count, const prompt_tag *tag) {
    for (uint32_t i = 0; i < count; i++)
        if (same(list[i].name, list[i].name_length, tag->name, tag->name_length)) return &list[i];
    return NULL;
}

/* Tags of the prompt in their order. Those to which an option gives another scale are left out of c->prompt;
 * the option's own tag will stand at the end. */
static mzt_status read_tags(const base_host *host, const char *prompt, given *list, uint32_t count,
                            lora_choice *c, mzt_error *error) {
    prompt_tag tag;
    char *out = c->prompt;
    for (; prompt_tag_find(prompt, &tag); prompt = tag.begin + tag.bytes) {
        given *option = given_of(list, count, &tag);
        double scale = 1;
        if (tag.scale_length &&
            !(read_number(tag.scale, tag.scale_length, &scale) && fabs(scale) <= LORA_SCALE_MAX))
            return error_set(error, MZT_ERROR_INVALID,
                             "%.*s: expected <lora:NAME:SCALE> with a number within %g of 0",
                             (int)(tag.bytes < 100 ? tag.bytes : 100), tag.begin, LORA_SCALE_MAX);
        const bool replaced = option && option->scaled;
        const size_t kept = (size_t)(tag.begin - prompt) + (replaced ? 0 : tag.bytes);
        memcpy(out, prompt, kept);
        out += kept;
        if (replaced) continue;
        if (option) option->used = true;
        TRY(add(host, c, tag.name, tag.name_length, scale, error));
    }
    strcpy(out, prompt);
    return MZT_OK;
}

/* Tags for the options that stand for none. */
static mzt_status write_tags(const base_host *host, const given *list, uint32_t count, lora_choice *c,
                             mzt_error *error) {
    for (uint32_t i = 0; i < count; i++) {
        char scale[40];
        if (list[i].used) continue;
        snprintf(scale, sizeof scale, "%.9g", list[i].scale);
        const size_t length = strlen(c->prompt);
        const bool space = length && c->prompt[length - 1] != ' ' && c->prompt[length - 1] != '>';
        snprintf(c->prompt + length, list[i].name_length + 60, "%s<lora:%.*s:%s>", space ? " " : "",
                 (int)list[i].name_length, list[i].name, scale);
        TRY(add(host, c, list[i].name, list[i].name_length, list[i].scale, error));
    }
    return MZT_OK;
}

static mzt_status find_files(const base_host *host, const given *list, uint32_t count, const char *folder,
                             const char *model_path, lora_choice *c, mzt_error *error) {
    for (uint32_t i = 0; i < c->count; i++) {
        const char *name = c->names[i];
        char *path = NULL;
        for (uint32_t k = 0; k < count && !path; k++)
            if (same(list[k].name, list[k].name_length, name, strlen(name)))
                path = host_strdup(host, list[k].path);
        if (!path) TRY(find_file(host, name, folder, model_path, &path, error));
        c->list[i].path = path;
    }
    return MZT_OK;
}

mzt_status lora_choose(const base_host *host, int argc, char **argv, const char *prompt, const char *negative,
                       const char *folder, const char *model_path, lora_choice *out, mzt_error *error) {
    given list[LORA_MAX];
    uint32_t count = 0;
    prompt_tag tag;
    *out = (lora_choice){.count = 0};
    if (prompt_tag_find(negative, &tag))
        return error_set(
            error, MZT_ERROR_INVALID,
            "%.*s in the negative prompt: a LoRA changes the whole network; give it in the prompt",
            (int)(tag.bytes < 100 ? tag.bytes : 100), tag.begin);
    mzt_status status = gather(host, argc, argv, list, &count, error);
    size_t size = strlen(prompt) + 1;
    for (uint32_t i = 0; i < count; i++)
        size += list[i].name_length + 60;
    out->prompt = host_calloc(host, size, 1);
    if (status >= 0 && !out->prompt) status = error_memory(error, "prompt", size);
    if (status >= 0) status = read_tags(host, prompt, list, count, out, error);
    if (status >= 0) status = write_tags(host, list, count, out, error);
    if (status >= 0) status = find_files(host, list, count, folder, model_path, out, error);
    for (uint32_t i = 0; i < count; i++)
        host_free(host, list[i].path);
    return status;
}

/* -------------------------------------------------------------------------------------------------------------
 * hashes -- */

static mzt_status hash_file(const char *path, char text[LORA_HASH_DIGITS + 1], mzt_error *error) {
    enum { PIECE = 1 << 20 };
    file_mapping file;
    sha256 s;
    uint8_t digest[32];
    TRY(file_map(path, &file, error));
    uint64_t header = 8;
    for (int i = 0; i < 8 && file.size >= 8; i++) /* the header's length, little endian */
        header += (uint64_t)file.data[i] << (8 * i);
    sha256_begin(&s);
    for (uint64_t at = header; at < file.size; at += PIECE)
        sha256_add(&s, file.data + at, (size_t)(file.size - at < PIECE ? file.size - at : PIECE));
    sha256_end(&s, digest);
    sha256_hex(digest, LORA_HASH_DIGITS, text);
    file_unmap(&file);
    return MZT_OK;
}

mzt_status lora_hash(const base_host *host, lora_choice *c, mzt_error *error) {
    size_t size = 1, used = 0;
    if (c->count == 0) return MZT_OK;
    for (uint32_t i = 0; i < c->count; i++)
        size += strlen(c->names[i]) + LORA_HASH_DIGITS + 4;
    c->hashes = host_calloc(host, size, 1);
    if (!c->hashes) return error_memory(error, "LoRA", size);
    for (uint32_t i = 0; i < c->count; i++) {
        char digits[LORA_HASH_DIGITS + 1];
        TRY(hash_file(c->list[i].path, digits, error));
        used +=
            (size_t)snprintf(c->hashes + used, size - used, "%s%s: %s", i ? ", " : "", c->names[i], digits);
    }
    return MZT_OK;
}

void lora_compare_hashes(const lora_choice *c, const char *recorded) {
    for (uint32_t i = 0; c->hashes && i < c->count; i++) {
        const size_t length = strlen(c->names[i]);
        const char *now = c->hashes, *then = recorded;
        while (now && !(strncmp(now, c->names[i], length) == 0 && now[length] == ':'))
            now = strstr(now, ", ") ? strstr(now, ", ") + 2 : NULL;
        while (then && !(strncmp(then, c->names[i], length) == 0 && then[length] == ':'))
            then = strstr(then, ", ") ? strstr(then, ", ") + 2 : NULL;
        if (now && then && strncmp(now + length, then + length, LORA_HASH_DIGITS + 2) != 0)
            fprintf(stderr, "mezzotint: %s is another file than the picture was made with\n",
                    c->list[i].path);
    }
}

void lora_choice_release(const base_host *host, lora_choice *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        host_free(host, c->names[i]);
        host_free(host, (void *)(uintptr_t)c->list[i].path);
    }
    host_free(host, c->prompt);
    host_free(host, c->hashes);
    *c = (lora_choice){.count = 0};
}
