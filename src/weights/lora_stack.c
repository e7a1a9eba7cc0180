/* LoRA files over a model's weights: which tensors change, and the changes as they are read. See lora.h. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/lora_internal.h"

/* A module that changes a tensor. */
typedef struct change {
    const lora_module *module;
    const lora_file *file;
} change;

/* A tensor that changes. */
typedef struct target {
    weights_overlay overlay; /* `user` is the target */
    struct lora_stack *stack;
    const weights_tensor *tensor; /* as it lies in the file */
    change *changes;
    uint32_t count, capacity;
} target;

/* The matrices of a target in f32. A loader reads one tensor from its beginning to its end, mostly; so only
 * those of the tensor that was read last are kept. */
typedef struct prepared {
    const target *of;
    lora_term *terms; /* [of->count] */
    atomic_uint users;
} prepared;

struct lora_stack {
    const base_host *host;
    lora_file **files;
    uint32_t file_count, file_capacity;
    target **targets; /* of all networks */
    uint32_t target_count, target_capacity;
    atomic_flag busy; /* guards `last` */
    prepared *last;
};

mzt_status lora_stack_create(const base_host *host, lora_stack **out, mzt_error *error) {
    *out = host_calloc(host, 1, sizeof **out);
    if (!*out) return error_memory(error, "LoRA", sizeof **out);
    (*out)->host = host;
    atomic_flag_clear(&(*out)->busy);
    return MZT_OK;
}

/* -----------------------------------------------------------------------------------------------------------
 * preparing -- */

static void release(const base_host *host, prepared *p) {
    if (!p || atomic_fetch_sub(&p->users, 1) > 1) return;
    for (uint32_t i = 0; p->terms && i < p->of->count; i++)
        lora_term_destroy(host, &p->terms[i]);
    host_free(host, p->terms);
    host_free(host, p);
}

/* Takes the last one if it is of this target (and counts the new user), or exchanges it. */
static prepared *exchange(lora_stack *s, const target *wanted, prepared *by) {
    while (atomic_flag_test_and_set(&s->busy)) { /* held for a few instructions only */
    }
    prepared *out = s->last;
    if (by)
        s->last = by;
    else if (out && out->of == wanted)
        atomic_fetch_add(&out->users, 1);
    else
        out = NULL;
    atomic_flag_clear(&s->busy);
    return out;
}

static mzt_status prepare(const target *t, prepared **out, mzt_error *error) {
    lora_stack *s = t->stack;
    *out = exchange(s, t, NULL);
    if (*out) return MZT_OK;
    prepared *p = host_calloc(s->host, 1, sizeof *p);
    if (!p) return error_memory(error, "LoRA", sizeof *p);
    p->of = t;
    atomic_init(&p->users, 1);
    p->terms = host_calloc(s->host, t->count, sizeof *p->terms);
    mzt_status status = p->terms ? MZT_OK : error_memory(error, "LoRA", t->count * sizeof *p->terms);
    for (uint32_t i = 0; i < t->count && status >= 0; i++)
        status =
            lora_term_create(s->host, t->changes[i].module, t->changes[i].file->scale, &p->terms[i], error);
    if (status < 0) {
        release(s->host, p);
        return status;
    }
    atomic_fetch_add(&p->users, 1); /* the stack's own */
    release(s->host, exchange(s, t, p));
    *out = p;
    return MZT_OK;
}

static mzt_status add(const weights_overlay *overlay, const weights_tensor *tensor, uint64_t first,
                      uint64_t count, float *values, mzt_error *error) {
    const target *t = overlay->user;
    const uint64_t columns = t->tensor->count / t->tensor->shape[0];
    prepared *p;
    (void)tensor;
    TRY(prepare(t, &p, error));
    first -= t->tensor->origin; /* the tensor may be a cut of a larger one */
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < t->count && status >= 0; i++)
        status = lora_term_add(&p->terms[i], columns, first, count, values, error);
    release(t->stack->host, p);
    for (uint64_t i = 0; i < count && status >= 0; i++) {
        if (isfinite(values[i])) continue;
        char name[120];
        status = error_set(error, MZT_ERROR_FORMAT, "%s: makes \"%s\" infinite or NaN at element %llu",
                           safetensors_name(t->changes[t->count - 1].file->file),
                           error_text(name, sizeof name, t->tensor->name), (unsigned long long)(first + i));
    }
    return status;
}

/* ---------------------------------------------------------------------------------------------------------------
 * files -- */

static mzt_status add_file(lora_stack *stack, safetensors_file *file, double scale, mzt_error *error) {
    lora_file *f = NULL;
    TRY(lora_file_create(stack->host, file, scale, &f, error));
    if (!HOST_GROW(stack->host, stack->files, stack->file_count, stack->file_capacity)) {
        lora_file_destroy(f);
        return error_memory(error, "LoRA", sizeof *f);
    }
    stack->files[stack->file_count++] = f;
    return MZT_OK;
}

static mzt_status check_scale(const char *name, double scale, mzt_error *error) {
    if (isfinite(scale) && fabs(scale) <= LORA_SCALE_MAX) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s: scale %g: expected a number within %g of 0", name, scale,
                     LORA_SCALE_MAX);
}

mzt_status lora_stack_add(lora_stack *stack, const char *path, double scale, mzt_error *error) {
    safetensors_file *file;
    TRY(check_scale(path, scale, error));
    TRY(safetensors_open(stack->host, path, &file, error));
    return add_file(stack, file, scale, error);
}

mzt_status lora_stack_add_memory(lora_stack *stack, const char *name, const void *data, uint64_t size,
                                 double scale, mzt_error *error) {
    safetensors_file *file;
    TRY(check_scale(name, scale, error));
    TRY(safetensors_open_memory(stack->host, name, data, size, &file, error));
    return add_file(stack, file, scale, error);
}

void lora_stack_destroy(lora_stack *s) {
    if (!s) return;
    release(s->host, s->last);
    for (uint32_t i = 0; i < s->file_count; i++)
        lora_file_destroy(s->files[i]);
    for (uint32_t i = 0; i < s->target_count; i++) {
        host_free(s->host, s->targets[i]->changes);
        host_free(s->host, s->targets[i]);
    }
    host_free(s->host, s->files);
    host_free(s->host, s->targets);
    host_free(s->host, s);
}

/* -------------------------------------------------------------------------------------------------------------
 * targets -- */

/* Targets first ... of the stack, those of one network: found or made. NULL when out of memory. */
static target *target_of(lora_stack *s, uint32_t first, const weights_tensor *tensor) {
    for (uint32_t i = first; i < s->target_count; i++)
        if (s->targets[i]->tensor == tensor) return s->targets[i];
    if (!HOST_GROW(s->host, s->targets, s->target_count, s->target_capacity)) return NULL;
    target *t = host_calloc(s->host, 1, sizeof *t);
    if (!t) return NULL;
    *t = (target){.overlay = {add, t}, .stack = s, .tensor = tensor};
    return s->targets[s->target_count++] = t;
}

static mzt_status add_change(lora_stack *s, uint32_t first, const lora_file *f, const lora_module *m,
                             const weights_tensor *tensor, mzt_error *error) {
    TRY(lora_module_check(f, m, tensor, error));
    if (f->scale == 0 || m->factor == 0) return MZT_OK;
    target *t = target_of(s, first, tensor);
    if (!t || !HOST_GROW(s->host, t->changes, t->count, t->capacity))
        return error_memory(error, "LoRA", sizeof *t);
    t->changes[t->count++] = (change){m, f};
    return MZT_OK;
}

static mzt_status match_file(lora_stack *s, uint32_t first, lora_file *f, lora_network network,
                             const lora_names *names, mzt_error *error) {
    for (uint32_t i = 0; i < f->count; i++) {
        lora_module *m = &f->modules[i];
        const weights_tensor *tensor = m->network == network ? lora_names_find(names, m->name) : NULL;
        if (!tensor) continue;
        m->found = true;
        TRY(add_change(s, first, f, m, tensor, error));
    }
    return MZT_OK;
}

typedef struct choice {
    target **targets;
    uint32_t count;
} choice;

static int compare_targets(const void *a, const void *b) {
    const target *const *x = a, *const *y = b;
    return strcmp((*x)->tensor->name, (*y)->tensor->name);
}

static const weights_overlay *choose(void *user, const weights_tensor *tensor) {
    const choice *c = user;
    uint32_t low = 0, high = c->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = strcmp(tensor->name, c->targets[middle]->tensor->name);
        if (order == 0) return &c->targets[middle]->overlay;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

mzt_status lora_stack_apply(lora_stack *stack, lora_network network, const weights_set *below,
                            weights_set **out, mzt_error *error) {
    const uint32_t first = stack->target_count;
    lora_names names;
    *out = NULL;
    TRY(lora_names_create(stack->host, below, network, &names, error));
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < stack->file_count && status >= 0; i++)
        status = match_file(stack, first, stack->files[i], network, &names, error);
    lora_names_destroy(&names);
    TRY(status);
    if (stack->target_count == first) return MZT_OK;
    choice c = {stack->targets + first, stack->target_count - first};
    qsort(c.targets, c.count, sizeof *c.targets, compare_targets);
    return weights_overlaid(stack->host, below, choose, &c, out, error);
}

mzt_status lora_stack_finish(const lora_stack *stack, mzt_error *error) {
    enum { SHOWN = 3 };
    for (uint32_t i = 0; i < stack->file_count; i++) {
        const lora_file *f = stack->files[i];
        char list[400] = "";
        size_t used = 0;
        uint32_t lost = 0;
        for (uint32_t k = 0; k < f->count + f->unknown_count; k++) {
            if (k < f->count && f->modules[k].found) continue;
            char shown[120];
            error_text(shown, sizeof shown, k < f->count ? f->modules[k].key : f->unknown[k - f->count]);
            if (lost++ < SHOWN)
                used +=
                    (size_t)snprintf(list + used, sizeof list - used, "%s\"%s\"", used ? ", " : "", shown);
        }
        const uint32_t all = f->count + f->unknown_count;
        if (lost == all)
            return error_set(error, MZT_ERROR_NOT_FOUND, "%s: none of its %u modules is in this model: %s%s",
                             safetensors_name(f->file), (unsigned)all, list, lost > SHOWN ? ", ..." : "");
        if (lost)
            host_log(stack->host, MZT_LOG_WARNING, "%s: %u of %u modules are not in this model: %s%s",
                     safetensors_name(f->file), (unsigned)lost, (unsigned)all, list,
                     lost > SHOWN ? ", ..." : "");
    }
    return MZT_OK;
}

void lora_stack_count(const lora_stack *stack, uint32_t *modules, uint32_t *tensors) {
    *modules = 0;
    *tensors = stack->target_count;
    for (uint32_t i = 0; i < stack->file_count; i++)
        for (uint32_t k = 0; k < stack->files[i]->count; k++)
            *modules += stack->files[i]->modules[k].found;
}
