/* mezzotint sheet: pictures side by side, with captions. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "image/png.h"
#include "image/sheet.h"
#include "pipeline/parameters.h"

enum { SHEET_PICTURES = 4096, CAPTION_SIZE = 256 };

typedef struct sheet_command {
    const base_host *host;
    const char *output, *key;
    bool caption;
    sheet_options options;
    image *pictures;
    char (*words)[CAPTION_SIZE];
    const char **captions;
    uint32_t count;
} sheet_command;

/* The file's name without folders and ".png", or one of its settings. */
static void make_caption(const sheet_command *c, const char *file, const image_text_list *text, char *words) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file,
               *found = image_text_find(text, "parameters");
    size_t length = strlen(name);
    parameters p = {0};
    if (c->key) {
        bool parsed = found && parameters_parse(c->host, found, &p, NULL) >= 0;
        const char *value = !parsed                         ? NULL
                            : strcmp(c->key, "Prompt") == 0 ? p.prompt
                                                            : parameters_find(&p, c->key);
        snprintf(words, CAPTION_SIZE, "%s", value ? value : "-");
        parameters_destroy(&p);
        return;
    }
    if (length > 4 && strcmp(name + length - 4, ".png") == 0) length -= 4;
    snprintf(words, CAPTION_SIZE, "%.*s", (int)(length < CAPTION_SIZE ? length : CAPTION_SIZE - 1), name);
}

static mzt_status run(sheet_command *c, const char *const *files, mzt_error *error) {
    image sheet = {0};
    c->pictures = host_calloc(c->host, c->count, sizeof *c->pictures);
    c->words = host_calloc(c->host, c->count, sizeof *c->words);
    c->captions = host_calloc(c->host, c->count, sizeof *c->captions);
    if (!c->pictures || !c->words || !c->captions)
        return error_memory(error, "sheet", c->count * sizeof *c->words);
    for (uint32_t i = 0; i < c->count; i++) {
        image_text_list text = {0};
        mzt_status status = image_png_read(c->host, files[i], NULL, &c->pictures[i], &text, error);
        if (status >= 0) make_caption(c, files[i], &text, c->words[i]);
        image_text_free(c->host, &text);
        TRY(status);
        if (command_interrupted()) return MZT_CANCELLED;
        c->captions[i] = c->words[i];
    }
    mzt_status status = sheet_make(c->host, c->pictures, c->caption ? c->captions : NULL, c->count,
                                   &c->options, &sheet, error);
    if (status >= 0) status = image_png_write(c->host, c->output, &sheet, NULL, error);
    if (status >= 0) printf("%s: %u pictures, %u x %u\n", c->output, c->count, sheet.width, sheet.height);
    image_free(c->host, &sheet);
    return status;
}

mzt_status command_sheet(command_context *context, int argc, char **argv, mzt_error *error) {
    sheet_command c = {.host = &context->host, .output = "sheet.png"};
    sheet_options *s = &c.options;
    const option options[] = {
        {'o', "output", "FILE.png", "where the sheet goes; default sheet.png", OPTION_TEXT, &c.output, 0, 0,
         NULL},
        {0, "columns", "N", "pictures in a row; default: as square as they allow", OPTION_COUNT, &s->columns,
         1, SHEET_PICTURES, NULL},
        {0, "caption", NULL, "the file's name under each", OPTION_FLAG, &c.caption, 0, 0, NULL},
        {0, "caption-from", "KEY", "one of its settings instead: Seed, Sampler, Prompt, ...", OPTION_TEXT,
         &c.key, 0, 0, NULL},
        {0, "title", "TEXT", "a line above all", OPTION_TEXT, &s->title, 0, 0, NULL},
        {0, "tile", "PIXELS", "scale larger pictures down to this width", OPTION_COUNT, &s->tile_width, 8,
         8192, NULL},
        {0, "dark", NULL, "light letters on a dark ground", OPTION_FLAG, &s->dark, 0, 0, NULL},
    };
    const option_set set = {
        "sheet",
        "FILE.png...",
        "Tiles pictures into one.",
        "example:  mezzotint sheet a-*.png -o compare.png --columns 4 --caption-from Sampler",
        options,
        sizeof options / sizeof *options,
        1,
        SHEET_PICTURES};
    const char **files = host_calloc(c.host, SHEET_PICTURES, sizeof *files);
    if (!files) return error_memory(error, "file names", SHEET_PICTURES * sizeof *files);
    mzt_status status = options_parse(&set, argc, argv, files, &c.count, error);
    c.caption = c.caption || c.key;
    if (status == MZT_OK) status = run(&c, files, error);
    for (uint32_t i = 0; c.pictures && i < c.count; i++)
        image_free(c.host, &c.pictures[i]);
    host_free(c.host, c.pictures);
    host_free(c.host, c.words);
    host_free(c.host, (void *)c.captions);
    host_free(c.host, (void *)files);
    return status;
}
