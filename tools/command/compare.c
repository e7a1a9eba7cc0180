/* mezzotint compare: results of mezzotint bench side by side. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "bench/compare.h"
#include "command.h"

enum { MAX_FILES = 32 };

static mzt_status write_page(const base_host *host, const char *path, const compare_column *columns,
                             uint32_t count, mzt_error *error) {
    text_builder t = text_make(host);
    char *page = NULL;
    size_t length;
    compare_page(&t, columns, count);
    TRY(text_finish(&t, &page, &length, error));
    mzt_status status = file_write(host, path, page, length, error);
    host_free(host, page);
    if (status >= 0) printf("\nwrote %s\n", path);
    return status;
}

static mzt_status print_table(const base_host *host, const compare_column *columns, uint32_t count,
                              mzt_error *error) {
    text_builder t = text_make(host);
    char *table = NULL;
    compare_table(&t, columns, count);
    TRY(text_finish(&t, &table, NULL, error));
    fputs(table, stdout);
    host_free(host, table);
    return MZT_OK;
}

/* Every file but the first against the first. */
static mzt_status find_regressions(const base_host *host, const bench_file *files, uint32_t count,
                                   mzt_error *error) {
    text_builder t = text_make(host);
    char *lines = NULL;
    uint32_t found = 0;
    for (uint32_t i = 1; i < count; i++)
        found += compare_regressions(&t, &files[0], &files[i]);
    TRY(text_finish(&t, &lines, NULL, error));
    printf("\n%s", lines);
    host_free(host, lines);
    if (found)
        return error_set(error, MZT_ERROR_INVALID, "%u slower than in %s beyond noise", (unsigned)found,
                         files[0].path);
    printf("nothing is slower than in %s beyond noise\n", files[0].path);
    return MZT_OK;
}

mzt_status command_compare(command_context *context, int argc, char **argv, mzt_error *error) {
    const base_host *host = &context->host;
    const char *html = NULL, *paths[MAX_FILES];
    bool baseline = false;
    const option options[] = {
        {0, "html", "FILE", "write a page with drawings here", OPTION_TEXT, &html, 0, 0, NULL},
        {0, "baseline", NULL, "fail where a later file is slower than the first beyond noise", OPTION_FLAG,
         &baseline, 0, 0, NULL},
    };
    const option_set set = {"compare",
                            "A.json [B.json ...]",
                            "Shows results of mezzotint bench side by side.",
                            NULL,
                            options,
                            2,
                            1,
                            MAX_FILES};
    uint32_t count, opened = 0, column_count = 0;
    mzt_status status = options_parse(&set, argc, argv, paths, &count, error);
    if (status != MZT_OK) return status;
    bench_file files[MAX_FILES] = {{.doc = NULL}};
    compare_column *columns = NULL;
    while (status >= 0 && opened < count) {
        status = bench_file_read(host, paths[opened], &files[opened], error);
        opened += status >= 0;
    }
    if (status >= 0) status = compare_columns(host, files, count, &columns, &column_count, error);
    if (status >= 0) status = print_table(host, columns, column_count, error);
    if (status >= 0 && html) status = write_page(host, html, columns, column_count, error);
    if (status >= 0 && baseline) status = find_regressions(host, files, count, error);
    host_free(host, columns);
    for (uint32_t i = 0; i < opened; i++)
        bench_file_destroy(&files[i]);
    return status;
}
