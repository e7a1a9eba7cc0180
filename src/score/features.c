/* Content and style features; see features.h. */
#include "score/features.h"

#include <math.h>
#include <string.h>

#include "train/colour.h"

enum { CANVAS = 64, SIDE = SCORE_SIDE, CELLS = 8, BINS = 8 };

/* Premultiplied RGBA 0...1. */
typedef struct canvas {
    float p[CANVAS][CANVAS][4];
} canvas;

typedef struct framed {
    float p[SIDE][SIDE][4];
} framed;

/* The whole picture on a square of 64 x 64, its longer side filling it: means over what each pixel covers, or
 * for smaller pictures the nearest pixel. */
static void reduce(const image *picture, canvas *out) {
    const uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    const double step = (double)longer / CANVAS;
    const double left = (longer - picture->width) / 2.0, top = (longer - picture->height) / 2.0;
    memset(out, 0, sizeof *out);
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            const int64_t x0 = (int64_t)floor(x * step - left + 1e-9),
                          y0 = (int64_t)floor(y * step - top + 1e-9);
            int64_t x1 = (int64_t)floor((x + 1) * step - left + 1e-9),
                    y1 = (int64_t)floor((y + 1) * step - top + 1e-9);
            uint64_t sum[4] = {0, 0, 0, 0}, count = 0;
            if (x1 <= x0) x1 = x0 + 1;
            if (y1 <= y0) y1 = y0 + 1;
            for (int64_t v = y0; v < y1; v++) {
                for (int64_t u = x0; u < x1; u++, count++) {
                    if (u < 0 || v < 0 || u >= picture->width || v >= picture->height) continue;
                    const uint8_t *p = image_pixel(picture, (uint32_t)u, (uint32_t)v);
                    const uint32_t alpha = picture->channels == 4 ? p[3] : 255;
                    for (int c = 0; c < 3; c++)
                        sum[c] += (uint64_t)alpha * p[c];
                    sum[3] += (uint64_t)alpha * 255;
                }
            }
            for (int c = 0; c < 4; c++)
                out->p[y][x][c] = (float)((double)sum[c] / (65025.0 * (double)count));
        }
    }
}

/* First and last of the 64 sums that reach half an opaque pixel; false where none does. */
static bool extent(const float *sums, int *first, int *last) {
    *first = *last = -1;
    for (int i = 0; i < CANVAS; i++) {
        if (sums[i] < 0.5f) continue;
        if (*first < 0) *first = i;
        *last = i;
    }
    return *first >= 0;
}

/* The object's bounding box, with proportions kept, on 32 x 32 with a margin of 1. `proportions` is
 * log2(width / height); false for a clear picture, which is framed as a whole. */
static bool frame(const canvas *from, framed *out, float *proportions) {
    float columns[CANVAS] = {0}, rows[CANVAS] = {0};
    int x0, x1, y0, y1;
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            columns[x] += from->p[y][x][3];
            rows[y] += from->p[y][x][3];
        }
    }
    bool found = extent(columns, &x0, &x1) && extent(rows, &y0, &y1);
    if (!found) x0 = y0 = 0, x1 = y1 = CANVAS - 1;
    const double width = x1 - x0 + 1, height = y1 - y0 + 1, longer = width > height ? width : height;
    const double step = longer / (SIDE - 2), cx = x0 + width / 2, cy = y0 + height / 2;
    const int taps = step > 1 ? 3 : 1;
    *proportions = (float)log2(width / height);
    memset(out, 0, sizeof *out);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            for (int t = 0; t < taps * taps; t++) { /* bilinear samples spread over the pixel */
                const double u = cx + (x + (t % taps + 0.5) / taps - SIDE / 2.0) * step - 0.5;
                const double v = cy + (y + (t / taps + 0.5) / taps - SIDE / 2.0) * step - 0.5;
                const int px = (int)floor(u), py = (int)floor(v);
                for (int k = 0; k < 4; k++) {
                    const int sx = px + (k & 1), sy = py + (k >> 1);
                    if (sx < 0 || sy < 0 || sx >= CANVAS || sy >= CANVAS) continue;
                    const double weight = (k & 1 ? u - px : 1 - (u - px)) * (k >> 1 ? v - py : 1 - (v - py));
                    for (int c = 0; c < 4; c++)
                        out->p[y][x][c] += (float)(weight / (taps * taps)) * from->p[sy][sx][c];
                }
            }
        }
    }
    return found;
}

/* Lightness over mid grey, and alpha: [SIDE + 2][SIDE + 2] with a border, as they are outside. */
typedef struct planes {
    float light[SIDE + 2][SIDE + 2], alpha[SIDE + 2][SIDE + 2];
} planes;

static void make_planes(const framed *f, planes *out) {
    for (int y = 0; y < SIDE + 2; y++) {
        for (int x = 0; x < SIDE + 2; x++) {
            const bool inside = x > 0 && y > 0 && x <= SIDE && y <= SIDE;
            const float *p = inside ? f->p[y - 1][x - 1] : NULL;
            out->alpha[y][x] = p ? p[3] : 0;
            out->light[y][x] = p ? 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2] + 0.5f * (1 - p[3]) : 0.5f;
        }
    }
}

/* Adds a gradient at (x, y) to the cells and orientations (unsigned, 0 to 180 degrees) around it. */
static void vote(float cells[CELLS][CELLS][BINS], int x, int y, double gx, double gy) {
    const double magnitude = sqrt(gx * gx + gy * gy);
    if (magnitude < 1e-4) return;
    double angle = atan2(gy, gx) / 3.14159265358979323846 * BINS;
    if (angle < 0) angle += BINS;
    const double size = (double)SIDE / CELLS, fx = (x + 0.5) / size - 0.5, fy = (y + 0.5) / size - 0.5;
    const int x0 = (int)floor(fx), y0 = (int)floor(fy), b0 = (int)floor(angle);
    for (int k = 0; k < 8; k++) {
        const int cx = x0 + (k & 1), cy = y0 + (k >> 1 & 1), bin = (b0 + (k >> 2)) % BINS;
        if (cx < 0 || cy < 0 || cx >= CELLS || cy >= CELLS) continue;
        const double weight = (k & 1 ? fx - x0 : 1 - (fx - x0)) * (k & 2 ? fy - y0 : 1 - (fy - y0)) *
                              (k & 4 ? angle - b0 : 1 - (angle - b0));
        cells[cy][cx][bin] += (float)(weight * magnitude);
    }
}

/* Histograms of oriented gradients (Dalal and Triggs, 2005): lightness and outline together, each cell set
 * against the gradients of the cells around it, then square roots, so that weak structure counts too. */
static void orientations(const planes *p, float *out) {
    float cells[CELLS][CELLS][BINS] = {{{0}}};
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            vote(cells, x, y, p->light[y + 1][x + 2] - p->light[y + 1][x],
                 p->light[y + 2][x + 1] - p->light[y][x + 1]);
            vote(cells, x, y, 0.5f * (p->alpha[y + 1][x + 2] - p->alpha[y + 1][x]),
                 0.5f * (p->alpha[y + 2][x + 1] - p->alpha[y][x + 1]));
        }
    }
    for (int y = 0; y < CELLS; y++) {
        for (int x = 0; x < CELLS; x++) {
            float around = 0, count = 0;
            for (int v = y - 1; v <= y + 1; v++) {
                for (int u = x - 1; u <= x + 1; u++) {
                    if (u < 0 || v < 0 || u >= CELLS || v >= CELLS) continue;
                    count++;
                    for (int b = 0; b < BINS; b++)
                        around += cells[v][u][b];
                }
            }
            for (int b = 0; b < BINS; b++)
                out[(y * CELLS + x) * BINS + b] = sqrtf(cells[y][x][b] / (around / count + 0.5f));
        }
    }
}

static colour_lch pixel_lch(const float p[4]) {
    double rgb[3] = {0, 0, 0};
    for (int c = 0; c < 3 && p[3] > 1e-3f; c++)
        rgb[c] = p[c] / p[3] < 1 ? p[c] / p[3] : 1;
    return colour_from_rgb(rgb);
}

/* Means of 4 x 4 pixels: alpha, lightness and chroma, the last two times alpha. */
static void layout(const framed *f, float *out) {
    const int size = SIDE / CELLS;
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            float *cell = out + ((y / size) * CELLS + x / size) * 3;
            const float alpha = f->p[y][x][3] / (float)(size * size);
            if (alpha == 0) continue;
            const colour_lch lch = pixel_lch(f->p[y][x]);
            cell[0] += alpha;
            cell[1] += alpha * (float)lch.lightness;
            cell[2] += alpha * (float)lch.chroma * 3;
        }
    }
}

static void describe_content(const framed *f, float proportions, float *out) {
    planes p;
    memset(out, 0, SCORE_CONTENT * sizeof *out);
    make_planes(f, &p);
    orientations(&p, out);
    layout(f, out + CELLS * CELLS * BINS);
    out[SCORE_CONTENT - 1] = proportions;
}

/* Square roots of the shares that histograms hold, so that rare and common values are told apart alike. */
static void finish_shares(float *values, int count, double total) {
    for (int i = 0; i < count; i++)
        values[i] = total > 0 ? (float)sqrt(values[i] / total) : 0;
}

typedef struct tones {
    colour_lch lch[CANVAS][CANVAS];
    bool opaque[CANVAS][CANVAS];
    double count;
} tones;

static void find_tones(const canvas *c, tones *t) {
    t->count = 0;
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            t->opaque[y][x] = c->p[y][x][3] >= 0.5f;
            t->lch[y][x] = t->opaque[y][x] ? pixel_lch(c->p[y][x]) : (colour_lch){0, 0, 0};
            t->count += t->opaque[y][x];
        }
    }
}

/* The largest difference of a channel between two pixels. */
static float step_between(const float *a, const float *b) {
    return fmaxf(fmaxf(fabsf(a[0] - b[0]), fabsf(a[1] - b[1])), fabsf(a[2] - b[2]));
}

/* 0 for next to nothing, then a place for every halving of the full range, to `last`. */
static int halvings(float value, int last) {
    return value < 1e-3f ? 0 : (int)fmax(1, fmin(last, last + 1 + log2(value)));
}

/* Histograms of steps (12) and bends (8), to the right and down, between pixels that are opaque in full. */
static void describe_steps(const canvas *c, float *steps, float *bends) {
    double step_count = 0, bend_count = 0;
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            for (int k = 0; k < 2; k++) {
                const int dx = k == 0, dy = k == 1;
                if (x + 2 * dx >= CANVAS || y + 2 * dy >= CANVAS) continue;
                const float *a = c->p[y][x], *b = c->p[y + dy][x + dx], *d = c->p[y + 2 * dy][x + 2 * dx];
                if (a[3] < 0.98f || b[3] < 0.98f) continue;
                steps[halvings(step_between(a, b), 11)]++;
                step_count++;
                if (d[3] < 0.98f) continue;
                float bend = 0;
                for (int i = 0; i < 3; i++)
                    bend = fmaxf(bend, fabsf(a[i] - 2 * b[i] + d[i]) / 2);
                bends[halvings(bend, 7)]++;
                bend_count++;
            }
        }
    }
    finish_shares(steps, 12, step_count);
    finish_shares(bends, 8, bend_count);
}

/* Shares of the six most common colours, of 12 x 12 x 12, and the logarithm of how many there are. */
static void describe_palette(const canvas *c, const tones *t, float *common, float *number) {
    uint16_t counts[12 * 12 * 12] = {0};
    uint32_t different = 0;
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            const float *p = c->p[y][x];
            int place = 0;
            if (!t->opaque[y][x]) continue;
            for (int i = 0; i < 3; i++)
                place = place * 12 + (int)fminf(p[i] / p[3] * 12, 11);
            different += counts[place]++ == 0;
        }
    }
    for (int k = 0; k < 6; k++) {
        int best = 0;
        for (int i = 1; i < 12 * 12 * 12; i++)
            if (counts[i] > counts[best]) best = i;
        common[k] = t->count > 0 ? (float)sqrt(counts[best] / t->count) : 0;
        counts[best] = 0;
    }
    *number = (float)log(1.0 + different);
}

/* How lightness and chroma change from left to right and from top to bottom, and between the rim and the
 * inside: 6 values. */
static void describe_shading(const tones *t, float *out) {
    double sums[2][6] = {{0}}, rim[2] = {0, 0}, rims = 0, means[2] = {0, 0}, cx = 0, cy = 0, xx = 0, yy = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int y = 0; y < CANVAS; y++) {
            for (int x = 0; x < CANVAS; x++) {
                if (!t->opaque[y][x]) continue;
                const double values[2] = {t->lch[y][x].lightness, 3 * t->lch[y][x].chroma};
                if (pass == 0) {
                    cx += x / t->count, cy += y / t->count;
                    means[0] += values[0] / t->count, means[1] += values[1] / t->count;
                    continue;
                }
                const bool edge = x == 0 || y == 0 || x == CANVAS - 1 || y == CANVAS - 1 ||
                                  !t->opaque[y][x - 1] || !t->opaque[y][x + 1] || !t->opaque[y - 1][x] ||
                                  !t->opaque[y + 1][x];
                xx += (x - cx) * (x - cx), yy += (y - cy) * (y - cy), rims += edge;
                for (int k = 0; k < 2; k++) {
                    sums[k][0] += (x - cx) * (values[k] - means[k]);
                    sums[k][1] += (y - cy) * (values[k] - means[k]);
                    if (edge) rim[k] += values[k] - means[k];
                }
            }
        }
    }
    for (int k = 0; k < 2; k++) {
        out[3 * k] = xx > 0 ? (float)(sums[k][0] / xx * 32) : 0;
        out[3 * k + 1] = yy > 0 ? (float)(sums[k][1] / yy * 32) : 0;
        out[3 * k + 2] = rims > 0 ? (float)(rim[k] / rims) : 0;
    }
}

/* On the 64 x 64 canvas. */
static void describe_style(const canvas *c, float *out) {
    float *histogram = out, *steps = out + 48, *bends = steps + 12, *soft = bends + 8, *common = soft + 6,
          *rest = common + 6;
    double edges = 0;
    tones t;
    memset(out, 0, SCORE_STYLE * sizeof *out);
    find_tones(c, &t);
    for (int y = 0; y < CANVAS; y++) {
        for (int x = 0; x < CANVAS; x++) {
            const float alpha = c->p[y][x][3];
            if (alpha > 0.02f && alpha < 0.98f) { /* edges and shadows: 6 steps of alpha */
                soft[(int)(alpha * 5.999f)]++;
                edges++;
            }
            if (!t.opaque[y][x]) continue;
            const int light = (int)fmin(t.lch[y][x].lightness * 8, 7),
                      chroma = (int)fmin(t.lch[y][x].chroma * 24, 5);
            histogram[light * 6 + chroma]++;
        }
    }
    finish_shares(histogram, 48, t.count);
    finish_shares(soft, 6, edges);
    describe_steps(c, steps, bends);
    describe_palette(c, &t, common, &rest[0]);
    describe_shading(&t, rest + 1);
    rest[7] = (float)(t.count / (CANVAS * CANVAS));
}

void score_look_at(const image *picture, score_look *look) {
    canvas c;
    framed f, mirrored;
    float proportions;
    reduce(picture, &c);
    look->clear = !frame(&c, &f, &proportions);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            memcpy(mirrored.p[y][SIDE - 1 - x], f.p[y][x], sizeof f.p[y][x]);
            for (int k = 0; k < 4; k++)
                look->framed[(y * SIDE + x) * 4 + k] = (uint8_t)(fminf(f.p[y][x][k], 1) * 255 + 0.5f);
        }
    }
    describe_content(&f, proportions, look->content[0]);
    describe_content(&mirrored, proportions, look->content[1]);
    describe_style(&c, look->style);
}

double score_framed_difference(const uint8_t *a, const uint8_t *b) {
    uint64_t sum[2] = {0, 0};
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const uint8_t *to = b + (y * SIDE + x) * 4;
            for (int mirror = 0; mirror < 2; mirror++) {
                const uint8_t *from = a + (y * SIDE + (mirror ? SIDE - 1 - x : x)) * 4;
                for (int k = 0; k < 4; k++) {
                    const int d = from[k] - to[k];
                    sum[mirror] += (uint64_t)(d * d);
                }
            }
        }
    }
    const uint64_t best = sum[0] < sum[1] ? sum[0] : sum[1];
    return sqrt((double)best / (SIDE * SIDE * 4)) / 255;
}
