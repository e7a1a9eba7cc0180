/* mezzotint info: what a picture was made with, from its own text. */
#include <stdio.h>

#include "command.h"
#include "image/png.h"
#include "json/json_write.h"
#include "pipeline/parameters.h"

static mzt_status print_json(const base_host *host, const char *file, const image *picture,
                             const parameters *p, mzt_error *error) {
    json_writer w = json_writer_make(host);
    char *line;
    json_write_object(&w, NULL);
    json_write_string(&w, "file", file);
    json_write_uint(&w, "width", picture->width);
    json_write_uint(&w, "height", picture->height);
    json_write_string(&w, "prompt", p->prompt);
    json_write_string(&w, "negative", p->negative);
    json_write_object(&w, "parameters");
    for (uint32_t i = 0; i < p->count; i++) {
        bool repeated = parameters_find(p, p->pairs[i].key) != p->pairs[i].value; /* the first one counts */
        if (!repeated) json_write_string(&w, p->pairs[i].key, p->pairs[i].value);
    }
    json_write_end_object(&w);
    json_write_end_object(&w);
    TRY(json_writer_finish(&w, &line, NULL, error));
    puts(line);
    host_free(host, line);
    return MZT_OK;
}

/* A stranger's text goes to the terminal without its control characters: they could say anything to it. */
static void print_text(const char *label, const char *text) {
    printf("%-24s", label);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool high = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080 to U+009F */
        if (*at == '\n')
            printf("\n%-24s", "");
        else if (*at < 0x20 || *at == 0x7f || high)
            putchar('?');
        else
            putchar(*at);
        if (high) at++;
    }
    putchar('\n');
}

mzt_status command_info(command_context *context, int argc, char **argv, mzt_error *error) {
    const base_host *host = &context->host;
    const char *file = NULL;
    bool json = false;
    const option options[] = {
        {0, "json", NULL, "print one JSON object", OPTION_FLAG, &json, 0, 0, NULL},
    };
    const option_set set = {"info",
                            "FILE.png",
                            "Prints the prompt and settings that a picture carries, as mezzotint and the "
                            "A1111 web UI write them.",
                            "To make the picture again:  mezzotint generate --from FILE.png",
                            options,
                            1,
                            1,
                            1};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, &file, &operand_count, error);
    if (status != MZT_OK) return status;
    image picture = {0};
    image_text_list text = {0};
    parameters p = {0};
    status = image_png_read(host, file, NULL, &picture, &text, error);
    const char *found = status >= 0 ? image_text_find(&text, "parameters") : NULL;
    if (status >= 0 && !found)
        status = error_set(error, MZT_ERROR_NOT_FOUND, "%s carries no parameters", file);
    if (status >= 0 && parameters_parse(host, found, &p, error) < 0)
        status = error_prefix(error, "%s: ", file);
    if (status >= 0 && json) {
        status = print_json(host, file, &picture, &p, error);
    } else if (status >= 0) {
        print_text("Prompt", p.prompt);
        if (p.negative[0]) print_text("Negative prompt", p.negative);
        for (uint32_t i = 0; i < p.count; i++)
            print_text(p.pairs[i].key, p.pairs[i].value);
    }
    parameters_destroy(&p);
    image_text_free(host, &text);
    image_free(host, &picture);
    return status;
}
