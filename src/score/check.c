/* The measure measured; see check.h. */
#include "score/check.h"

#include <math.h>

#include "base/file.h"
#include "image/png.h"

enum { CHECK_SIDE = 128 };

/* What is done to a picture; each is looked for with and without itself among the training pictures. */
typedef enum change { AS_IT_IS, MOVED, TURNED, CHANGES } change;

static bool is_item(const void *user, uint32_t item) {
    const uint32_t *self = user;
    return item == *self;
}

/* A picture as a model that knows it might draw it: by up to 12 % smaller, 4 % off its place, mirrored or
 * not, on a smaller square; TURNED: in another hue too. The values depend on the item's number alone. */
static mzt_status change_picture(const base_host *host, const image *in, change kind, uint32_t item,
                                 image *out, mzt_error *error) {
    float *floats = host_calloc(host, (size_t)CHECK_SIDE * CHECK_SIDE * 4, sizeof *floats);
    const augment_options options = {.resolution = CHECK_SIDE, .channels = 4};
    const augmentation a = {.mirrored = item % 2 == 1,
                            .scale = 0.88 + 0.0012 * (item % 100),
                            .shift_x = 0.04 * ((int)(item % 7) - 3) / 3,
                            .shift_y = 0.04 * ((int)(item % 5) - 2) / 2};
    image turned = {0};
    mzt_status status = floats ? image_copy(host, in, &turned, error) : error_memory(error, "picture", 0);
    if (status >= 0) {
        if (kind == TURNED) augment_turn_hue(&turned, 90 + item * 37 % 180);
        augment_place(&turned, &options, &a, floats);
        status = image_from_floats(host, floats, CHECK_SIDE, CHECK_SIDE, 4, out, error);
    }
    image_free(host, &turned);
    host_free(host, floats);
    return status;
}

static void compare(const score_reference *r, uint32_t item, const image *picture, bool original,
                    score_check_row *row) {
    score_look look;
    score_points points;
    score_look_at(picture, &look);
    score_map(r, &look, &points);
    const score_verdict v = score_compare(r, &points, original ? NULL : is_item, &item);
    bool found = false;
    double copy = 1;
    for (uint32_t k = 0; k < v.count; k++) {
        found = found || r->concepts[v.nearest[k].item] == r->concepts[item];
        copy = fmin(copy, score_framed_difference(look.framed, r->looks[v.nearest[k].item].framed));
    }
    row->pictures++;
    row->concept += found;
    row->first += v.count > 0 && r->concepts[v.nearest[0].item] == r->concepts[item];
    row->style += v.style == r->styles[item];
    row->nearest += v.count > 0 ? v.nearest[0].distance : 0;
    row->copy += copy;
}

static mzt_status check_item(const score_reference *r, uint32_t item, score_check_row *rows,
                             mzt_error *error) {
    char *path = path_join(r->host, r->data->folder, r->data->items[item].file);
    image picture = {0};
    mzt_status status =
        path ? image_png_read(r->host, path, NULL, &picture, NULL, error) : error_memory(error, "path", 0);
    for (change kind = AS_IT_IS; status >= 0 && kind < CHANGES; kind++) {
        image changed = {0};
        status = kind == AS_IT_IS ? image_copy(r->host, &picture, &changed, error)
                                  : change_picture(r->host, &picture, kind, item, &changed, error);
        for (int k = 0; status >= 0 && k < 2; k++)
            compare(r, item, &changed, k == 0, &rows[kind * 2 + k]);
        image_free(r->host, &changed);
    }
    image_free(r->host, &picture);
    host_free(r->host, path);
    return status;
}

mzt_status score_check(const score_reference *r, uint32_t stride,
                       bool (*progress)(void *user, uint32_t done, uint32_t count), void *user,
                       score_check_row rows[SCORE_CHECK_ROWS], mzt_error *error) {
    static const char *const names[CHANGES] = {"as it is", "moved, scaled, mirrored", "and its hue turned"};
    for (int i = 0; i < SCORE_CHECK_ROWS; i++)
        rows[i] = (score_check_row){.what = names[i / 2], .original = i % 2 == 0};
    for (uint32_t item = 0; item < r->data->count; item += stride) {
        const bool learned = r->concepts[item] % 2 == 0; /* fold 1 */
        if (r->concepts[item] != UINT32_MAX && !learned) TRY(check_item(r, item, rows, error));
        if (progress && !progress(user, item, r->data->count)) return MZT_CANCELLED;
    }
    for (int i = 0; i < SCORE_CHECK_ROWS; i++) {
        if (rows[i].pictures == 0)
            return error_set(error, MZT_ERROR_INVALID, "%s: too few pictures for a check", r->data->folder);
        rows[i].nearest /= rows[i].pictures;
        rows[i].copy /= rows[i].pictures;
    }
    return MZT_OK;
}
