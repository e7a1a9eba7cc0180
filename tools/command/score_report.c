/* What mezzotint score found: a table, a JSON object, a sheet. */
#include <stdio.h>
#include <string.h>

#include "image/png.h"
#include "image/sheet.h"
#include "json/json_write.h"
#include "score/check.h"
#include "score_command.h"

static double mean(double sum, uint32_t count) {
    return count ? sum / count : 0;
}

/* "81.5 %", or "-" where nothing was asked. */
static const char *percent(score_share share, char *text, size_t size) {
    if (share.asked)
        snprintf(text, size, "%.1f %%", score_percent(share));
    else
        snprintf(text, size, "-");
    return text;
}

static void print_table(const score_command *c) {
    if (c->chosen_count)
        printf("%-12s %8s %9s %9s %9s %9s %9s %9s %9s\n", "suite", "pictures", "concept", "colour", "style",
               "all", "nearest", "spread", "copies");
    for (uint32_t s = 0; s < c->chosen_count; s++) {
        const score_total *t = &c->totals[s];
        char texts[4][16], spread[16] = "-";
        if (t->pairs) snprintf(spread, sizeof spread, "%.3f", mean(t->spread, t->pairs));
        printf("%-12.12s %8u %9s %9s %9s %9s %9.3f %9s %7.1f %%\n", c->chosen[s]->name, (unsigned)t->pictures,
               percent(t->concept, texts[0], 16), percent(t->colour, texts[1], 16),
               percent(t->style, texts[2], 16), percent(t->all, texts[3], 16), mean(t->nearest, t->pictures),
               spread, 100 * mean(t->copies, t->pictures));
        if (t->clear)
            printf("%12s %8u pictures are clear: nothing in them is right\n", "", (unsigned)t->clear);
    }
    if (!c->fidelity_known) return;
    const score_fidelity *f = &c->fidelity;
    printf(
        "autoencoder  %.2f dB, mean of %u held-out pictures of %u x %u; lowest %.2f dB, together %.2f dB\n",
        f->mean, (unsigned)f->pictures, (unsigned)f->side, (unsigned)f->side, f->lowest, f->pooled);
}

static void write_share(json_writer *w, const char *key, score_share share) {
    if (!share.asked) return;
    json_write_object(w, key);
    json_write_uint(w, "right", share.right);
    json_write_uint(w, "asked", share.asked);
    json_write_double(w, "percent", score_percent(share));
    json_write_end_object(w);
}

static void write_total(json_writer *w, const char *name, const score_total *t) {
    json_write_object(w, name);
    json_write_uint(w, "pictures", t->pictures);
    json_write_uint(w, "clear", t->clear);
    write_share(w, "concept", t->concept);
    write_share(w, "colour", t->colour);
    write_share(w, "style", t->style);
    write_share(w, "all", t->all);
    json_write_double(w, "nearest", mean(t->nearest, t->pictures));
    json_write_double(w, "difference", mean(t->copy, t->pictures));
    json_write_uint(w, "copies", t->copies);
    if (t->pairs) json_write_double(w, "spread", mean(t->spread, t->pairs));
    json_write_end_object(w);
}

static mzt_status print_json(json_writer *w, mzt_error *error) {
    char *text = NULL;
    size_t length;
    TRY(json_writer_finish(w, &text, &length, error));
    printf("%s\n", text);
    host_free(w->host, text);
    return MZT_OK;
}

mzt_status score_report(const score_command *c, mzt_error *error) {
    if (!c->json) {
        print_table(c);
        return MZT_OK;
    }
    json_writer w = json_writer_make(c->host);
    json_write_object(&w, NULL);
    json_write_string(&w, "model", c->model);
    json_write_string(&w, "data", c->data);
    if (c->reference) {
        json_write_uint(&w, "training_pictures", c->reference->count);
        json_write_uint(&w, "concepts", c->reference->concept_count);
    }
    json_write_object(&w, "suites");
    for (uint32_t s = 0; s < c->chosen_count; s++)
        write_total(&w, c->chosen[s]->name, &c->totals[s]);
    json_write_end_object(&w);
    if (c->fidelity_known) {
        json_write_object(&w, "autoencoder");
        json_write_double(&w, "psnr", c->fidelity.mean);
        json_write_double(&w, "psnr_lowest", c->fidelity.lowest);
        json_write_double(&w, "psnr_together", c->fidelity.pooled);
        json_write_uint(&w, "pictures", c->fidelity.pictures);
        json_write_uint(&w, "side", c->fidelity.side);
        json_write_end_object(&w);
    }
    json_write_end_object(&w);
    return print_json(&w, error);
}

mzt_status score_report_check(const score_command *c, mzt_error *error) {
    score_check_row rows[SCORE_CHECK_ROWS];
    score_command shown = *c;
    shown.bar = progress_begin("real pictures", c->quiet);
    mzt_status status = score_check(c->reference, c->every, score_progress, &shown, rows, error);
    progress_end(&shown.bar);
    if (status < 0) return status;
    json_writer w = json_writer_make(c->host);
    json_write_array(&w, NULL);
    if (!c->json)
        printf("%-24s %-9s %8s %9s %9s %9s %9s %10s\n", "real pictures", "itself", "pictures", "concept",
               "first", "style", "nearest", "difference");
    for (int i = 0; i < SCORE_CHECK_ROWS; i++) {
        const score_check_row *r = &rows[i];
        const double scale = 100.0 / r->pictures;
        if (!c->json)
            printf("%-24s %-9s %8u %7.1f %% %7.1f %% %7.1f %% %9.3f %10.3f\n", r->what,
                   r->original ? "known" : "left out", (unsigned)r->pictures, r->concept * scale,
                   r->first * scale, r->style * scale, r->nearest, r->copy);
        json_write_object(&w, NULL);
        json_write_string(&w, "change", r->what);
        json_write_bool(&w, "known", r->original);
        json_write_uint(&w, "pictures", r->pictures);
        json_write_double(&w, "concept", r->concept * scale);
        json_write_double(&w, "first", r->first * scale);
        json_write_double(&w, "style", r->style * scale);
        json_write_double(&w, "nearest", r->nearest);
        json_write_double(&w, "difference", r->copy);
        json_write_end_object(&w);
    }
    json_write_end_array(&w);
    if (c->json) return print_json(&w, error);
    json_writer_discard(&w);
    return MZT_OK;
}

mzt_status score_write_sheet(const score_command *c, mzt_error *error) {
    const char *captions[SCORE_SHEET_MAX];
    const sheet_options options = {.columns = c->columns, .tile_width = 128};
    image sheet = {0};
    for (uint32_t i = 0; i < c->tile_count; i++)
        captions[i] = c->captions[i];
    if (c->tile_count == 0) return error_set(error, MZT_ERROR_INVALID, "--sheet %s: no pictures", c->sheet);
    mzt_status status = sheet_make(c->host, c->tiles, captions, c->tile_count, &options, &sheet, error);
    if (status >= 0) status = image_png_write(c->host, c->sheet, &sheet, NULL, error);
    if (status >= 0 && !c->json && !c->quiet)
        printf("%s: the first picture of %u prompts\n", c->sheet, (unsigned)c->tile_count);
    image_free(c->host, &sheet);
    return status;
}
