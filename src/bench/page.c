/* Results side by side as a page; see compare.h. One HTML file with its style and drawings (SVG) inside:
 * nothing is fetched. */
#include <math.h>
#include <string.h>

#include "bench/compare.h"

/* Colours for ops and for series: readable on white, told apart by people who do not see red and green alike
 * (Okabe and Ito). */
static const char *const palette[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                      "#56b4e9", "#d55e00", "#f0e442", "#999999"};

enum { COLOURS = sizeof palette / sizeof *palette };

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;color:#1d1d1f;background:#fff;max-width:1000px;margin:2em "
    "auto;padding:0 1em}"
    "h1{font-size:1.6em;margin-bottom:.2em}h2{font-size:1.2em;margin:2em 0 .5em}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3em .6em;text-align:right;border-bottom:1px "
    "solid #ddd;"
    "font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}"
    ".wrong{color:#b00020;font-weight:600}.best{font-weight:600}.note{color:#666;font-size:.9em}svg "
    "text{font:12px system-ui,"
    "sans-serif;fill:#333}.axis{stroke:#999;stroke-width:1}.grid{stroke:#e5e5e5;stroke-width:1}";

static void add_device_list(text_builder *t, const compare_column *columns, uint32_t count) {
    text_add(t, "<table><tr><th>device</th><th>type</th><th>best matrix "
                "product</th><th>copy</th><th>revision</th><th>date</th>"
                "<th>file</th></tr>\n");
    for (uint32_t c = 0; c < count; c++) {
        const file_device *d = columns[c].device;
        char a[32], b[32];
        text_add(t, "<tr><td>%c. ", 'A' + (char)(c % 26));
        text_add_html(t, d->name);
        text_add(t, "<br><span class=note>");
        text_add_html(t, *d->driver ? d->driver : columns[c].file->processor);
        if (columns[c].file->load > 0.5) text_add(t, ", busy before: load %.1f", columns[c].file->load);
        text_add(t, "</span></td><td>");
        text_add_html(t, d->type);
        text_add(t, "</td><td>%s</td><td>%s</td><td>", text_rate(d->product_rate, "FLOP/s", a),
                 text_rate(d->copy_rate, "B/s", b));
        text_add_html(t, columns[c].file->revision);
        text_add(t, "</td><td>%.10s</td><td>", columns[c].file->date);
        text_add_html(t, columns[c].file->path);
        text_add(t, "</td></tr>\n");
    }
    text_add(t, "</table>\n");
}

static uint32_t colour_of(const char *op) {
    static const char *const order[] = {"conv2d",     "linear",           "attention", "group_norm",
                                        "layer_norm", "group_norm_stats", "geglu"};
    for (uint32_t i = 0; i < sizeof order / sizeof *order; i++)
        if (strcmp(order[i], op) == 0) return i;
    return COLOURS - 1;
}

/* A bar a device: how an evaluation's time divides among the ops. */
static void add_bars(text_builder *t, const compare_column *columns, uint32_t count,
                     const file_network *row) {
    double longest = 0;
    for (uint32_t c = 0; c < count; c++) {
        const file_network *n = compare_find(columns[c].device, row);
        if (n && n->time.median > longest) longest = n->time.median;
    }
    text_add(t, "<svg viewBox='0 0 960 %u' role=img>\n", (unsigned)(26 * count + 30));
    for (uint32_t c = 0; c < count; c++) {
        const file_network *n = compare_find(columns[c].device, row);
        const double y = 26.0 * c + 4;
        char a[24];
        text_add(t, "<text x='0' y='%.0f'>%c</text>\n", y + 14, 'A' + (char)(c % 26));
        if (!n) continue;
        const double width = 780 * n->time.median / longest,
                     scale = n->device_seconds > 0 ? width / n->device_seconds : 0;
        double x = 20;
        for (uint32_t i = 0; i < n->op_count; i++) {
            const double w = n->ops[i].seconds * scale;
            if (w < 0.05) continue;
            text_add(t, "<rect x='%.1f' y='%.0f' width='%.1f' height='18' fill='%s'><title>", x, y, w,
                     palette[colour_of(n->ops[i].name)]);
            text_add_html(t, n->ops[i].name);
            text_add(t, ": %s</title></rect>\n", text_seconds(n->ops[i].seconds, a));
            x += w;
        }
        text_add(t, "<text x='%.0f' y='%.0f'%s>%s%s</text>\n", width + 26, y + 14,
                 n->wrong ? " style='fill:#b00020'" : "", text_seconds(n->time.median, a),
                 n->wrong ? " WRONG RESULTS" : "");
    }
    static const char *const names[] = {"conv2d",     "linear",     "attention", "group_norm",
                                        "layer_norm", "statistics", "geglu",     "other"};
    for (uint32_t i = 0; i < COLOURS; i++)
        text_add(t, "<rect x='%u' y='%u' width='10' height='10' fill='%s'/><text x='%u' y='%u'>%s</text>\n",
                 20 + 112 * (unsigned)i, (unsigned)(26 * count + 12), palette[i], 34 + 112 * (unsigned)i,
                 (unsigned)(26 * count + 21), names[i]);
    text_add(t, "</svg>\n");
}

/* Where log10 of a value falls on an axis of `length` from log10 `low` to log10 `high`. */
static double place(double value, double low, double high, double length) {
    const double share = (log10(value) - low) / (high - low);
    return length * (share < 0 ? 0 : share > 1 ? 1 : share);
}

/* FLOP/s over FLOP/byte of every kernel; the roof is what the device was measured to do at best. */
static void add_roofline(text_builder *t, const compare_column *column, uint32_t index) {
    const file_device *d = column->device;
    const double w = 860, h = 260, x0 = 70, y0 = 10;
    double top = d->product_rate;
    for (uint32_t n = 0; n < d->network_count; n++)
        for (uint32_t k = 0; k < d->networks[n].kernel_count; k++) {
            const file_kernel *kernel = &d->networks[n].kernels[k];
            if (kernel->seconds > 0 && kernel->flops / kernel->seconds > top)
                top = kernel->flops / kernel->seconds;
        }
    if (!(top > 0) || !(d->copy_rate > 0)) return;
    const double high = ceil(log10(top) * 2) / 2, low = high - 4, left = -1, right = 4;
    text_add(t, "<h2>%c. ", 'A' + (char)(index % 26));
    text_add_html(t, d->name);
    text_add(t, ": every kernel under its roof</h2>\n<svg viewBox='0 0 960 320' role=img>\n");
    for (int i = (int)ceil(low); i <= (int)floor(high); i++) {
        char rate[32];
        const double y = y0 + h - place(pow(10, i), low, high, h);
        text_add(t,
                 "<line class=grid x1='%.0f' x2='%.0f' y1='%.1f' y2='%.1f'/><text x='0' y='%.1f'>%s</text>\n",
                 x0, x0 + w, y, y, y + 4, text_rate(pow(10, i), "F/s", rate));
    }
    for (int i = (int)left; i <= (int)right; i++) {
        const double x = x0 + place(pow(10, i), left, right, w);
        text_add(
            t,
            "<line class=grid x1='%.1f' x2='%.1f' y1='%.0f' y2='%.0f'/><text x='%.1f' y='%.0f'>%g</text>\n",
            x, x, y0, y0 + h, x - 8, y0 + h + 16, pow(10, i));
    }
    text_add(t, "<text x='%.0f' y='%.0f'>FLOP per byte moved</text>\n", x0 + w / 2 - 60, y0 + h + 36);
    const double ridge = d->product_rate / d->copy_rate;
    const double begin = d->copy_rate * pow(10, left);
    text_add(
        t, "<polyline fill=none stroke='#333' stroke-width='2' points='%.1f,%.1f %.1f,%.1f %.1f,%.1f'/>\n",
        x0, y0 + h - place(begin, low, high, h), x0 + place(ridge, left, right, w),
        y0 + h - place(d->product_rate, low, high, h), x0 + w, y0 + h - place(d->product_rate, low, high, h));
    for (uint32_t n = 0; n < d->network_count; n++)
        for (uint32_t k = 0; k < d->networks[n].kernel_count; k++) {
            const file_kernel *kernel = &d->networks[n].kernels[k];
            if (kernel->flops <= 0 || kernel->bytes <= 0 || kernel->seconds <= 0) continue;
            const double share = kernel->in_step * kernel->count / fmax(d->networks[n].device_seconds, 1e-12);
            char rate[32];
            text_add(t, "<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s' fill-opacity='.6'%s><title>",
                     x0 + place(kernel->flops / kernel->bytes, left, right, w),
                     y0 + h - place(kernel->flops / kernel->seconds, low, high, h),
                     2.5 + 14 * sqrt(fmin(share, 1)), palette[colour_of(kernel->op)],
                     kernel->wrong ? " stroke='#b00020' stroke-width='3'" : "");
            text_add_html(t, kernel->op);
            text_add(t, " ");
            text_add_html(t, kernel->shape);
            text_add(t, ": %s, %.1f %% of %s %s%s</title></circle>\n",
                     text_rate(kernel->flops / kernel->seconds, "FLOP/s", rate), 100 * share,
                     d->networks[n].model, d->networks[n].network, kernel->wrong ? ", WRONG" : "");
        }
    text_add(t, "</svg><p class=note>A circle is a kernel, its area its share of the time. The line is the "
                "best measured copy and "
                "matrix product.</p>\n");
}

static bool same_device(const file_device *a, const file_device *b) {
    return strcmp(a->name, b->name) == 0 && strcmp(a->type, b->type) == 0;
}

/* A line for each device that stands in several files: its times, oldest file first as given. */
static void add_history(text_builder *t, const compare_column *columns, uint32_t count,
                        const file_network *row) {
    bool any = false;
    for (uint32_t c = 0; c < count; c++) {
        uint32_t points = 0;
        double longest = 0;
        for (uint32_t e = 0; e < count; e++) {
            const file_network *n = compare_find(columns[e].device, row);
            if (e < c && same_device(columns[c].device, columns[e].device)) break;
            if (!n || !same_device(columns[c].device, columns[e].device)) continue;
            points++;
            longest = fmax(longest, n->time.high);
        }
        if (points < 2) continue;
        if (!any) text_add(t, "<p class=note>Over revisions:</p><svg viewBox='0 0 960 140' role=img>\n");
        any = true;
        uint32_t at = 0;
        text_add(t, "<polyline fill=none stroke='%s' stroke-width='2' points='", palette[c % COLOURS]);
        for (uint32_t e = c; e < count; e++) {
            const file_network *n = compare_find(columns[e].device, row);
            if (!n || !same_device(columns[c].device, columns[e].device)) continue;
            text_add(t, "%.1f,%.1f ", 40 + 860.0 * at++ / (points - 1), 110 - 95 * n->time.median / longest);
        }
        text_add(t, "'/>\n");
        at = 0;
        for (uint32_t e = c; e < count; e++) {
            const file_network *n = compare_find(columns[e].device, row);
            if (!n || !same_device(columns[c].device, columns[e].device)) continue;
            const double x = 40 + 860.0 * at++ / (points - 1);
            text_add(t, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s'/><text x='%.1f' y='130'>",
                     x, x, 110 - 95 * n->time.low / longest, 110 - 95 * n->time.high / longest,
                     palette[c % COLOURS], x - 30);
            text_add_html(t, columns[e].file->revision);
            text_add(t, "</text>\n");
        }
    }
    if (any) text_add(t, "</svg>\n");
}

static void add_network(text_builder *t, const compare_column *columns, uint32_t count,
                        const file_network *row) {
    const file_network *best = NULL;
    for (uint32_t c = 0; c < count; c++) {
        const file_network *n = compare_find(columns[c].device, row);
        if (n && !n->wrong && (!best || n->time.median < best->time.median)) best = n;
    }
    text_add(t, "<h2>");
    text_add_html(t, row->model);
    text_add(t, " ");
    text_add_html(t, row->network);
    text_add(t, ", batch %.0f, %.0f &times; %.0f</h2>\n", row->batch, row->size, row->size);
    text_add(
        t, "<table><tr><th>device</th><th>median</th><th>95 %%</th><th>rate</th><th>of the best product</th>"
           "<th>dispatches</th><th>held</th><th></th></tr>\n");
    for (uint32_t c = 0; c < count; c++) {
        const file_network *n = compare_find(columns[c].device, row);
        if (!n) continue;
        char a[24], b[24], d[24], rate[32], held[32];
        const double reached = n->flops / n->time.median;
        text_add(t,
                 "<tr%s><td>%c</td><td>%s</td><td>%s &hellip; %s</td><td>%s</td><td>%.0f "
                 "%%</td><td>%.0f</td><td>%s</td><td%s>",
                 n == best ? " class=best" : "", 'A' + (char)(c % 26), text_seconds(n->time.median, a),
                 text_seconds(n->time.low, b), text_seconds(n->time.high, d),
                 text_rate(reached, "FLOP/s", rate),
                 columns[c].device->product_rate > 0 ? 100 * reached / columns[c].device->product_rate : 0,
                 n->dispatches, text_rate(n->memory, "B", held), n->wrong ? " class=wrong" : "");
        if (n->wrong)
            text_add(t, "wrong results, not ranked");
        else if (n == best)
            text_add(t, "fastest");
        else if (!timing_differs(&n->time, &best->time))
            text_add(t, "same within noise");
        else
            text_add(t, "%.2f &times;", n->time.median / best->time.median);
        text_add(t, "</td></tr>\n");
    }
    text_add(t, "</table>\n");
    add_bars(t, columns, count, row);
    add_history(t, columns, count, row);
}

void compare_page(text_builder *t, const compare_column *columns, uint32_t count) {
    text_add(
        t,
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Mezzotint benchmarks</title>"
        "<meta name=viewport content='width=device-width'><style>%s</style>\n<h1>Mezzotint benchmarks</h1>\n"
        "<p class=note>Times are medians of one evaluation with intervals that hold the median with 95 %% "
        "confidence. "
        "Every kernel was held against the reference in the same run.</p>\n",
        style);
    add_device_list(t, columns, count);
    for (uint32_t c = 0; c < count; c++)
        for (uint32_t n = 0; n < columns[c].device->network_count; n++) {
            const file_network *row = &columns[c].device->networks[n];
            bool seen = false;
            for (uint32_t e = 0; e < c && !seen; e++)
                seen = compare_find(columns[e].device, row) != NULL;
            if (!seen) add_network(t, columns, count, row);
        }
    for (uint32_t c = 0; c < count; c++)
        add_roofline(t, &columns[c], c);
    text_add(t, "</html>\n");
}
