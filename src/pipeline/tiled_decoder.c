/* Decoding in windows; see tiled_decoder.h. */
#include "pipeline/tiled_decoder.h"

#include <string.h>

#include "model/vae.h"
#include "pipeline/stored.h"

enum { HALO = 1, SMALLEST = 32 };

/* Activations of the whole picture in host memory, [h][w][c] in the type of the device's. */
typedef struct plane {
    void *data;
    uint32_t h, w, c;
} plane;

/* An axis divided into windows of one size. */
typedef struct axis {
    uint32_t size, window, count;
    bool wraps; /* windows reach over the end to the beginning */
} axis;

struct tiled_decoder {
    const model *m;
    const base_host *host;
    executor *e;
    dtype type;
    shape4 latent;
    model_wrap wrap;
    uint64_t limit, allowed, most; /* allowed: by estimates, which executors may exceed */
    vae_stage stages[VAE_STAGES_MAX];
    uint32_t stage_count, stage; /* 0: the head, then stages[stage - 1] */
    network network;             /* of the stage in progress; plan NULL: none */
    axis y, x;
    uint32_t window; /* next */
    plane current, hidden, next;
    float *in, *skip, *out; /* one window */
    double *sums, *squares; /* [channels] of what the stage has put out */
    float *statistics;      /* [groups][2] for the stage's norm */
    double done, all;       /* pixels times channels */
};

static mzt_status make_plane(const tiled_decoder *d, uint32_t h, uint32_t w, uint32_t c, plane *out,
                             mzt_error *error) {
    uint64_t count, bytes = UINT64_MAX;
    *out = (plane){NULL, h, w, c};
    if (size_mul((uint64_t)h * w, c, &count)) bytes = dtype_bytes(d->type, count);
    if (bytes < SIZE_MAX) out->data = host_calloc(d->host, (size_t)bytes, 1);
    return out->data ? MZT_OK : error_memory(error, "a picture's activations", bytes);
}

static void free_plane(const tiled_decoder *d, plane *p) {
    host_free(d->host, p->data);
    p->data = NULL;
}

/* ------------------------------------------------------------------------------------------------ windows --
 */

static axis divide(uint32_t size, uint32_t window, bool wraps) {
    if (window >= size) return (axis){size, size, 1, false};
    const uint32_t step = window - 2 * HALO;
    return (axis){size, window, ceil_div(size, step), wraps};
}

/* Where window `i` begins (before 0: at the other end), and which part of it [first, end) is taken. */
static int64_t window_place(const axis *a, uint32_t i, uint32_t *first, uint32_t *end) {
    const uint32_t step = a->window - 2 * HALO;
    *first = 0;
    *end = a->window;
    if (a->count == 1) return 0;
    const int64_t wanted = (int64_t)i * step, last = wanted + step < a->size ? wanted + step : a->size;
    int64_t begin = wanted - HALO;
    if (!a->wraps) {
        if (begin < 0) begin = 0;
        if (begin + a->window > a->size) begin = (int64_t)a->size - a->window;
    }
    *first = (uint32_t)(wanted - begin);
    *end = (uint32_t)(last - begin);
    return begin;
}

static uint32_t at_axis(const axis *a, int64_t place) {
    return (uint32_t)((place % a->size + a->size) % a->size);
}

/* The window at (y, x) of a plane, as f32. */
static void gather(const tiled_decoder *d, const plane *p, int64_t y, int64_t x, float *out) {
    const size_t size = dtype_size(d->type);
    for (uint32_t i = 0; i < d->y.window; i++)
        for (uint32_t k = 0; k < d->x.window;) {
            const uint32_t column = at_axis(&d->x, x + k), left = p->w - column;
            const uint32_t run = left < d->x.window - k ? left : d->x.window - k;
            const uint64_t from = ((uint64_t)at_axis(&d->y, y + i) * p->w + column) * p->c;
            dtype_convert(DTYPE_F32, out + ((uint64_t)i * d->x.window + k) * p->c, d->type,
                          (const uint8_t *)p->data + from * size, (size_t)run * p->c);
            k += run;
        }
}

/* Elements of one row of the result go to their place, and into the sums. */
static void put_row(tiled_decoder *d, const float *row, uint32_t y, uint32_t x, uint32_t count) {
    plane *p = &d->next;
    const uint64_t to = ((uint64_t)y * p->w + x) * p->c;
    dtype_convert(d->type, (uint8_t *)p->data + to * dtype_size(d->type), DTYPE_F32, row,
                  (size_t)count * p->c);
    for (uint32_t i = 0; i < count; i++, row += p->c)
        for (uint32_t c = 0; c < p->c; c++) {
            d->sums[c] += (double)row[c];
            d->squares[c] += (double)row[c] * (double)row[c];
        }
}

/* ------------------------------------------------------------------------------------------------- stages --
 */

static graph *describe_head(const tiled_decoder *d) {
    graph *g = model_graph(d->m, MODEL_VAE, d->type);
    if (!g) return NULL;
    const vae_options options = {.wrap = d->wrap, .has = model_vae_has, .user = d->m};
    tensor latent = graph_input(g, "latent", d->type, d->latent);
    graph_output(g, vae_describe_head(g, &d->m->vae, latent, &options), "out");
    return g;
}

static graph *describe_stage(const tiled_decoder *d, const vae_stage *s, const axis *y, const axis *x) {
    graph *g = model_graph(d->m, MODEL_VAE, d->type);
    if (!g) return NULL;
    const model_wrap wrap = {d->wrap.x && x->count == 1, d->wrap.y && y->count == 1};
    vae_stage_inputs in = {.x = graph_input(g, "x", d->type, (shape4){1, y->window, x->window, s->cin})};
    if (s->skip) in.skip = graph_input(g, "skip", d->type, (shape4){1, y->window, x->window, s->skip});
    if (s->kind != VAE_STAGE_UPSAMPLE)
        in.statistics = graph_input(g, "statistics", DTYPE_F32, (shape4){1, 1, d->m->vae.groups, 2});
    graph_output(g, vae_describe_stage(g, &d->m->vae, s, &in, wrap), "out");
    return g;
}

/* What a graph takes on the device; uses it up. */
static mzt_status measure(const executor_limits *limits, graph *g, uint64_t *bytes, mzt_error *error) {
    uint64_t weights = 0, activations = 0;
    mzt_status status = network_measure(limits, g, &weights, &activations, error);
    *bytes = weights + activations;
    return status;
}

/* The largest windows that fit: the whole, else squares of 32 * 2^n or 48 * 2^n. */
static mzt_status choose_windows(tiled_decoder *d, const vae_stage *s, mzt_error *error) {
    const plane *p = s->kind == VAE_STAGE_SECOND ? &d->hidden : &d->current;
    uint64_t bytes = 0;
    for (uint32_t window = UINT32_MAX; window >= SMALLEST;) {
        d->y = divide(p->h, window, d->wrap.y);
        d->x = divide(p->w, window, d->wrap.x);
        TRY(measure(&d->e->limits, describe_stage(d, s, &d->y, &d->x), &bytes, error));
        if (bytes <= d->allowed) return MZT_OK;
        const uint32_t largest = d->y.window > d->x.window ? d->y.window : d->x.window;
        window = SMALLEST;
        while (2 * window < largest)
            window *= 2;
        if (window + window / 2 < largest) window += window / 2;
        if (largest <= SMALLEST) break;
    }
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                     "vae decoder: the smallest window takes %llu bytes on the device, %llu are allowed",
                     (unsigned long long)bytes, (unsigned long long)d->limit);
}

/* Group statistics of the stage's input, as one window of the given size has to hear them. */
static void set_statistics(tiled_decoder *d, const plane *p, uint64_t window_pixels) {
    const uint32_t groups = d->m->vae.groups, size = p->c / groups;
    const double count = (double)p->h * p->w * size;
    for (uint32_t g = 0; g < groups; g++) {
        double sum = 0, squares = 0;
        for (uint32_t c = g * size; c < (g + 1) * size; c++) {
            sum += d->sums[c];
            squares += d->squares[c];
        }
        const double mean = sum / count, variance = squares / count - mean * mean;
        d->statistics[2 * g] = (float)mean;
        d->statistics[2 * g + 1] = (float)((variance > 0 ? variance : 0) * (double)window_pixels * size);
    }
}

static mzt_status reserve(const tiled_decoder *d, float **block, uint64_t count, mzt_error *error) {
    float *grown = count <= SIZE_MAX / sizeof **block
                       ? host_realloc(d->host, *block, (size_t)count, sizeof **block)
                       : NULL;
    if (!grown) return error_memory(error, "a window's activations", count * sizeof **block);
    *block = grown;
    return MZT_OK;
}

/* Makes the stage's network with windows as large as the limit allows by what is really held. */
static mzt_status create_stage(tiled_decoder *d, const vae_stage *s, mzt_error *error) {
    for (d->allowed = d->limit;;) {
        TRY(choose_windows(d, s, error));
        graph *g = describe_stage(d, s, &d->y, &d->x);
        if (!g) return error_memory(error, "graph", sizeof *g);
        TRY(network_create(d->e, g, d->m->weights[MODEL_VAE], &d->network, error));
        const uint64_t held = program_memory(d->network.program);
        if (held <= d->limit) {
            if (held > d->most) d->most = held;
            return MZT_OK;
        }
        network_destroy(&d->network);
        d->allowed = held - d->limit < d->allowed ? d->allowed - (held - d->limit) : 0;
    }
}

static mzt_status begin_stage(tiled_decoder *d, mzt_error *error) {
    const vae_stage *s = &d->stages[d->stage - 1];
    const plane *from = s->kind == VAE_STAGE_SECOND ? &d->hidden : &d->current;
    TRY(create_stage(d, s, error));
    const uint64_t pixels = (uint64_t)d->y.window * d->x.window;
    TRY(reserve(d, &d->in, pixels * s->cin, error));
    if (s->skip) TRY(reserve(d, &d->skip, pixels * s->skip, error));
    TRY(reserve(d, &d->out, pixels * s->scale * s->scale * s->cout, error));
    set_statistics(d, from, pixels);
    if (s->kind != VAE_STAGE_UPSAMPLE)
        TRY(network_set(&d->network, "statistics", d->statistics, 2 * (uint64_t)d->m->vae.groups, error));
    memset(d->sums, 0, s->cout * sizeof *d->sums);
    memset(d->squares, 0, s->cout * sizeof *d->squares);
    d->window = 0;
    /* A residual block's result may take its input's place: nobody reads that beyond the pixels being
     * written. */
    if (s->kind == VAE_STAGE_SECOND && s->skip == s->cout) {
        d->next = d->current;
        return MZT_OK;
    }
    return make_plane(d, from->h * s->scale, from->w * s->scale, s->cout, &d->next, error);
}

static void end_stage(tiled_decoder *d) {
    const vae_stage *s = &d->stages[d->stage - 1];
    network_destroy(&d->network);
    if (s->kind == VAE_STAGE_FIRST) {
        d->hidden = d->next;
    } else {
        if (d->current.data != d->next.data) free_plane(d, &d->current);
        d->current = d->next;
        if (s->kind == VAE_STAGE_SECOND) free_plane(d, &d->hidden);
    }
    d->next.data = NULL;
    d->stage++;
}

static mzt_status run_window(tiled_decoder *d, mzt_error *error) {
    const vae_stage *s = &d->stages[d->stage - 1];
    const plane *from = s->kind == VAE_STAGE_SECOND ? &d->hidden : &d->current;
    const uint64_t pixels = (uint64_t)d->y.window * d->x.window;
    uint32_t y0, y1, x0, x1;
    const int64_t y = window_place(&d->y, d->window / d->x.count, &y0, &y1),
                  x = window_place(&d->x, d->window % d->x.count, &x0, &x1);
    gather(d, from, y, x, d->in);
    TRY(network_set(&d->network, "x", d->in, pixels * s->cin, error));
    if (s->skip) {
        gather(d, &d->current, y, x, d->skip);
        TRY(network_set(&d->network, "skip", d->skip, pixels * s->skip, error));
    }
    TRY(network_run(&d->network, error));
    TRY(network_get(&d->network, "out", d->out, pixels * s->scale * s->scale * s->cout, error));
    const uint64_t stride = (uint64_t)d->x.window * s->scale * s->cout;
    for (uint32_t i = y0 * s->scale; i < y1 * s->scale; i++) {
        const uint32_t line = at_axis(&d->y, y + i / s->scale) * s->scale + i % s->scale;
        for (uint32_t k = x0; k < x1; k++) /* input pixel by input pixel: a run may reach over the end */
            put_row(d, d->out + i * stride + (uint64_t)k * s->scale * s->cout, line,
                    at_axis(&d->x, x + k) * s->scale, s->scale);
    }
    d->done += (double)(y1 - y0) * (x1 - x0) * s->scale * s->scale * s->cin * s->cout;
    d->window++;
    return MZT_OK;
}

static mzt_status run_head(tiled_decoder *d, mzt_error *error) {
    const uint64_t count = (uint64_t)d->latent.h * d->latent.w * d->current.c;
    TRY(reserve(d, &d->out, count, error));
    TRY(network_run(&d->network, error));
    TRY(network_get(&d->network, "out", d->out, count, error));
    memset(d->sums, 0, d->current.c * sizeof *d->sums);
    memset(d->squares, 0, d->current.c * sizeof *d->squares);
    d->next = d->current;
    for (uint32_t i = 0; i < d->latent.h; i++)
        put_row(d, d->out + (uint64_t)i * d->latent.w * d->current.c, i, 0, d->latent.w);
    d->next.data = NULL;
    network_destroy(&d->network);
    d->stage = 1;
    return MZT_OK;
}

/* --------------------------------------------------------------------------------------------- the decoder
 * -- */

/* Pixels times channels in and out, of all stages. */
static double all_work(const tiled_decoder *d) {
    double work = 0, pixels = (double)d->latent.h * d->latent.w;
    for (uint32_t i = 0; i < d->stage_count; i++) {
        pixels *= (double)d->stages[i].scale * d->stages[i].scale;
        work += pixels * d->stages[i].cin * d->stages[i].cout;
    }
    return work;
}

static mzt_status prepare(tiled_decoder *d, mzt_error *error) {
    uint32_t widest = d->m->vae.out_channels;
    uint64_t bytes = 0;
    d->stage_count = vae_decoder_stages(&d->m->vae, d->stages);
    if (!d->stage_count)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "vae decoder: this autoencoder cannot be run in windows");
    for (uint32_t i = 0; i < d->m->vae.levels; i++)
        if (d->m->vae.channels[i] > widest) widest = d->m->vae.channels[i];
    d->sums = host_calloc(d->host, widest, sizeof *d->sums);
    d->squares = host_calloc(d->host, widest, sizeof *d->squares);
    d->statistics = host_calloc(d->host, d->m->vae.groups, 2 * sizeof *d->statistics);
    if (!d->sums || !d->squares || !d->statistics) return error_memory(error, "statistics", widest * 16ull);
    TRY(measure(&d->e->limits, describe_head(d), &bytes, error));
    if (bytes > d->limit)
        return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                         "vae decoder: its first layers take %llu bytes on the device, %llu are allowed",
                         (unsigned long long)bytes, (unsigned long long)d->limit);
    d->all = all_work(d);
    return MZT_OK;
}

mzt_status tiled_decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                                uint64_t limit, tiled_decoder **out, mzt_error *error) {
    *out = NULL;
    tiled_decoder *d = host_calloc(m->host, 1, sizeof *d);
    if (!d) return error_memory(error, "vae decoder", sizeof *d);
    *d = (tiled_decoder){.m = m, .host = m->host, .e = e, .latent = latent, .wrap = wrap, .limit = limit};
    d->latent.n = 1;
    mzt_status status = part_type(m, &e->limits, p, PART_DECODER, &d->type, error);
    if (status >= 0) status = prepare(d, error);
    if (status < 0)
        tiled_decoder_destroy(d);
    else
        *out = d;
    return status;
}

static void clear(tiled_decoder *d) {
    network_destroy(&d->network);
    if (d->next.data != d->current.data) free_plane(d, &d->next);
    d->next.data = NULL;
    free_plane(d, &d->current);
    free_plane(d, &d->hidden);
}

void tiled_decoder_destroy(tiled_decoder *d) {
    if (!d) return;
    clear(d);
    host_free(d->host, d->in);
    host_free(d->host, d->skip);
    host_free(d->host, d->out);
    host_free(d->host, d->sums);
    host_free(d->host, d->squares);
    host_free(d->host, d->statistics);
    host_free(d->host, d);
}

mzt_status tiled_decoder_begin(tiled_decoder *d, const float *latent, mzt_error *error) {
    clear(d);
    d->stage = 0;
    d->done = 0;
    TRY(make_plane(d, d->latent.h, d->latent.w, d->stages[0].cin, &d->current, error));
    graph *g = describe_head(d);
    if (!g) return error_memory(error, "graph", sizeof *g);
    TRY(network_create(d->e, g, d->m->weights[MODEL_VAE], &d->network, error));
    d->most = program_memory(d->network.program);
    return network_set(&d->network, "latent", latent, (uint64_t)d->latent.h * d->latent.w * d->latent.c,
                       error);
}

mzt_status tiled_decoder_advance(tiled_decoder *d, double *share, mzt_error *error) {
    if (d->stage == 0) {
        TRY(run_head(d, error));
    } else if (d->stage <= d->stage_count) {
        if (!d->network.plan) TRY(begin_stage(d, error));
        TRY(run_window(d, error));
        if (d->window == d->y.count * d->x.count) end_stage(d);
    }
    *share = d->done / d->all;
    return d->stage > d->stage_count ? MZT_OK : MZT_PENDING;
}

void tiled_decoder_picture(const tiled_decoder *d, float *picture) {
    dtype_convert(DTYPE_F32, picture, d->type, d->current.data,
                  (size_t)d->current.h * d->current.w * d->current.c);
}

uint64_t tiled_decoder_memory(const tiled_decoder *d) {
    return d->most;
}
