/* Line plots as SVG; see plot.h. */
#include "train/plot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

enum {
    WIDTH = 960,
    HEIGHT = 540,
    LEFT = 80,
    RIGHT = 20,
    TOP = 44,
    BOTTOM = 56,
    TICKS = 6,
    COLOURS = 6,
    MOST_POINTS = 4000
};

/* A text that grows. */
typedef struct text {
    const base_host *host;
    char *bytes;
    size_t length, capacity;
    bool failed;
} text;

static void put(text *t, const char *format, ...) BASE_PRINTF(2, 3);

static void put(text *t, const char *format, ...) {
    if (t->failed) return;
    if (t->capacity - t->length < 512) {
        const size_t capacity = 2 * t->capacity + 4096;
        char *bytes = host_realloc(t->host, t->bytes, capacity, 1);
        if (!bytes) {
            t->failed = true;
            return;
        }
        t->bytes = bytes;
        t->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    const int wrote = vsnprintf(t->bytes + t->length, t->capacity - t->length, format, arguments);
    va_end(arguments);
    if (wrote > 0)
        t->length += (size_t)wrote < t->capacity - t->length ? (size_t)wrote : t->capacity - t->length - 1;
}

/* Labels are ours or a user's: what XML reserves is replaced, the rest cut at 60 bytes. */
static void put_label(text *t, const char *label) {
    char safe[64];
    size_t length = 0;
    for (; label[length] && length < 60; length++)
        safe[length] = strchr("<>&\"'", label[length]) ? '_' : label[length];
    safe[length] = '\0';
    put(t, "%s", safe);
}

typedef struct range {
    double low, high;
} range;

static bool usable(double x, double y, bool logarithmic) {
    return isfinite(x) && isfinite(y) && (!logarithmic || y > 0);
}

static double scaled(double y, bool logarithmic) {
    return logarithmic ? log10(y) : y;
}

static void widen(range *r, double value) {
    if (value < r->low) r->low = value;
    if (value > r->high) r->high = value;
}

static void find_ranges(const plot_series *series, uint32_t count, bool logarithmic, range *x, range *y) {
    *x = *y = (range){HUGE_VAL, -HUGE_VAL};
    for (uint32_t s = 0; s < count; s++) {
        for (uint32_t i = 0; i < series[s].count; i++) {
            if (!usable(series[s].x[i], series[s].y[i], logarithmic)) continue;
            widen(x, series[s].x[i]);
            widen(y, scaled(series[s].y[i], logarithmic));
        }
    }
    if (x->low > x->high) *x = *y = (range){0, 1};
    if (x->high <= x->low) x->high = x->low + 1;
    if (y->high <= y->low) y->high = y->low + (y->low != 0 ? fabs(y->low) * 0.1 : 1);
}

static double at_x(const range *r, double value) {
    return LEFT + (value - r->low) / (r->high - r->low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const range *r, double value) {
    return HEIGHT - BOTTOM - (value - r->low) / (r->high - r->low) * (HEIGHT - TOP - BOTTOM);
}

static void put_axes(text *t, const range *x, const range *y, const plot_options *o) {
    for (int i = 0; i <= TICKS; i++) {
        const double vx = x->low + (x->high - x->low) * i / TICKS,
                     vy = y->low + (y->high - y->low) * i / TICKS;
        put(t, "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#ddd'/>\n", LEFT, WIDTH - RIGHT,
            at_y(y, vy), at_y(y, vy));
        put(t, "<text x='%d' y='%.1f' text-anchor='end'>%.3g</text>\n", LEFT - 8, at_y(y, vy) + 4,
            o->logarithmic ? pow(10, vy) : vy);
        put(t, "<text x='%.1f' y='%d' text-anchor='middle'>%.4g</text>\n", at_x(x, vx), HEIGHT - BOTTOM + 20,
            vx);
    }
    put(t, "<path d='M%d %dV%dH%d' fill='none' stroke='#000'/>\n", LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
    put(t, "<text x='%d' y='%d' text-anchor='middle'>", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
    put_label(t, o->x_label);
    put(t, "</text>\n<text x='20' y='%d' text-anchor='middle' transform='rotate(-90 20 %d)'>", HEIGHT / 2,
        HEIGHT / 2);
    put_label(t, o->y_label);
    put(t, "</text>\n<text x='%d' y='24' text-anchor='middle' font-size='16'>", WIDTH / 2);
    put_label(t, o->title);
    put(t, "</text>\n");
}

static void put_series(text *t, const plot_series *s, uint32_t index, const range *x, const range *y,
                       bool logarithmic) {
    static const char *const strokes[COLOURS] = {"#1f5fbf", "#d0342c", "#1c8a43",
                                                 "#8a2fb8", "#c77700", "#444444"};
    const char *stroke = strokes[index % COLOURS];
    const uint32_t stride = s->count / MOST_POINTS + 1;
    bool begun = false;
    put(t, "<path fill='none' stroke='%s' stroke-width='1.5' d='", stroke);
    for (uint32_t i = 0; i < s->count; i += stride) {
        if (!usable(s->x[i], s->y[i], logarithmic)) continue;
        put(t, "%c%.1f %.1f", begun ? 'L' : 'M', at_x(x, s->x[i]), at_y(y, scaled(s->y[i], logarithmic)));
        begun = true;
    }
    put(t, "%s'/>\n<text x='%d' y='%d' text-anchor='end' fill='%s'>", begun ? "" : "M0 0", WIDTH - RIGHT - 8,
        (int)(TOP + 16 + 18 * index), stroke);
    put_label(t, s->name);
    put(t, "</text>\n");
}

mzt_status plot_write(const base_host *host, const char *path, const plot_series *series, uint32_t count,
                      const plot_options *options, mzt_error *error) {
    range x, y;
    text t = {.host = host};
    find_ranges(series, count, options->logarithmic, &x, &y);
    put(&t,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' "
        "font-size='12'>\n"
        "<rect width='100%%' height='100%%' fill='#fff'/>\n",
        WIDTH, HEIGHT);
    put_axes(&t, &x, &y, options);
    for (uint32_t i = 0; i < count; i++)
        put_series(&t, &series[i], i, &x, &y, options->logarithmic);
    put(&t, "</svg>\n");
    mzt_status status =
        t.failed ? error_memory(error, path, t.capacity) : file_write(host, path, t.bytes, t.length, error);
    host_free(host, t.bytes);
    return status;
}
