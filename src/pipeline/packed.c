/* Opening compiled models; see packed.h. */
#include "pipeline/packed.h"

#include <string.h>

#include "text/bpe_packed.h"

_Static_assert(sizeof(packed_header) == 64, "no padding in the header");
_Static_assert(sizeof(packed_section) == 24 + sizeof(part_spec), "no padding in sections");
_Static_assert(sizeof(packed_footer) == 24, "no padding in the footer");

bool packed_is(const void *data, uint64_t size) {
    return size >= sizeof(packed_header) && memcmp(data, PACKED_MAGIC, 8) == 0;
}

static void close(model *m) {
    packed_model *p = (packed_model *)(uintptr_t)m->packed;
    for (int i = 0; i < 2; i++)
        bpe_destroy(m->tokenizer[i]);
    if (p) file_unmap(&p->mapping);
    host_free(m->host, p);
    host_free(m->host, m->index.folder);
    host_free(m->host, m);
}

/* The networks of a compiled model are those that it was compiled for. */
static mzt_status find_part(const model *m, const part_spec *spec, const packed_part **out,
                            mzt_error *error) {
    const packed_model *p = m->packed;
    const packed_part *like = NULL, *found = NULL;
    for (uint32_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].spec.kind == spec->kind) like = &p->parts[i];
        if (part_spec_equal(&p->parts[i].spec, spec)) found = &p->parts[i];
    }
    if (!like)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s was compiled without %s", m->path,
                         part_name((part_kind)spec->kind));
    if (!found)
        return error_set(
            error, MZT_ERROR_UNSUPPORTED,
            "%s was compiled for another shape of %s: n %u, %u x %u, %u calls, %u noises, guided "
            "%u, %u tokens; the job has n %u, %u x %u, %u, %u, %u, %u",
            m->path, part_name((part_kind)spec->kind), like->spec.n, like->spec.w, like->spec.h,
            like->spec.calls, like->spec.noises, like->spec.guided, like->spec.text_length, spec->n, spec->w,
            spec->h, spec->calls, spec->noises, spec->guided, spec->text_length);
    *out = found;
    return MZT_OK;
}

static mzt_status estimate_part(const model *m, const executor_limits *limits, precision wanted,
                                const part_spec *spec, uint64_t *weights, uint64_t *activations,
                                mzt_error *error) {
    const packed_part *found;
    plan_image image = {0};
    (void)limits;
    (void)wanted;
    TRY(find_part(m, spec, &found, error));
    TRY(plan_image_parse(m->host, found->data, found->size, &image, error));
    *weights = image.plan->weight_bytes;
    *activations = image.plan->arena_bytes;
    plan_image_destroy(&image);
    return MZT_OK;
}

static mzt_status begin_part(const model *m, executor *e, precision wanted, const part_spec *spec,
                             network *out, network_maker *maker, mzt_error *error) {
    const packed_part *found;
    plan_image image = {0};
    dtype type;
    *out = (network){0};
    *maker = (network_maker){.e = NULL};
    TRY(part_type(m, &e->limits, wanted, (part_kind)spec->kind, &type, error));
    TRY(find_part(m, spec, &found, error));
    TRY(plan_image_parse(e->host, found->data, found->size, &image, error));
    mzt_status status = network_make_plan(e, image.plan, out, maker, error);
    if (status >= 0) status = program_queue_image(out->program, &image, error);
    image.plan = NULL; /* the network's now */
    plan_image_destroy(&image);
    return status;
}

static mzt_status damaged(const char *path, const char *what, mzt_error *error) {
    return error_set(error, MZT_ERROR_FORMAT, "%s: the compiled model is damaged: %s", path, what);
}

static mzt_status read_facts(model *m, packed_model *p, const uint8_t *data, uint64_t size,
                             mzt_error *error) {
    packed_facts *f = host_calloc(m->host, 1, sizeof *f);
    if (!f) return error_memory(error, "configuration", sizeof *f);
    mzt_status status = MZT_OK;
    if (size > sizeof f->bytes) {
        status = damaged(m->path, "configuration", error);
    } else {
        f->size = (uint32_t)size;
        memcpy(f->bytes, data, (size_t)size);
        if (!packed_go_over(f, m, &p->type)) status = damaged(m->path, "configuration", error);
    }
    host_free(m->host, f);
    return status < 0 ? status : sampler_config_check(&m->sampler, error);
}

static mzt_status read_section(model *m, packed_model *p, const packed_section *s, mzt_error *error) {
    uint64_t end;
    if (s->offset % PLAN_ALIGNMENT || !size_add(s->offset, s->size, &end) || end > p->mapping.size)
        return damaged(m->path, "a section lies outside of the file", error);
    const uint8_t *data = p->mapping.data + s->offset;
    switch (s->kind) {
    case PACKED_FACTS:
        return read_facts(m, p, data, s->size, error);
    case PACKED_TOKENIZER:
        if (s->index > 1 || m->tokenizer[s->index]) return damaged(m->path, "tokenizers", error);
        return bpe_unpack(m->host, m->path, data, s->size, &m->tokenizer[s->index], error);
    case PACKED_PART:
        if (p->part_count == PART_KIND_COUNT || s->spec.kind >= PART_KIND_COUNT)
            return damaged(m->path, "parts", error);
        p->parts[p->part_count++] = (packed_part){s->spec, data, s->size};
        return MZT_OK;
    }
    return damaged(m->path, "a section of unknown kind", error);
}

static mzt_status read_table(model *m, packed_model *p, mzt_error *error) {
    const file_mapping *f = &p->mapping;
    packed_header header;
    packed_footer footer;
    uint64_t bytes, end;
    if (!packed_is(f->data, f->size) || f->size < sizeof header + sizeof footer)
        return error_set(error, MZT_ERROR_FORMAT, "%s: not a compiled model", m->path);
    memcpy(&header, f->data, sizeof header);
    memcpy(&footer, f->data + f->size - sizeof footer, sizeof footer);
    if (header.order != PACKED_ORDER || header.version != PACKED_VERSION)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: compiled by another version or for another byte order: compile it again",
                         m->path);
    if (memcmp(footer.magic, PACKED_MAGIC, 8) != 0 ||
        !size_mul(footer.count, sizeof(packed_section), &bytes) || !size_add(footer.table, bytes, &end) ||
        end != f->size - sizeof footer || footer.count > 64)
        return damaged(m->path, "its end is missing", error);
    for (uint32_t i = 0; i < footer.count; i++) {
        packed_section s;
        memcpy(&s, f->data + footer.table + i * sizeof s, sizeof s);
        TRY(read_section(m, p, &s, error));
    }
    if (!m->vae.levels || !p->part_count || !m->tokenizer[0] || (m->index.xl && !m->tokenizer[1]))
        return damaged(m->path, "it is not complete", error);
    return MZT_OK;
}

mzt_status packed_open(const base_host *host, const char *path, model **out, mzt_error *error) {
    *out = NULL;
    model *m = host_calloc(host, 1, sizeof *m);
    packed_model *p = host_calloc(host, 1, sizeof *p);
    char *copy = host_strdup(host, path);
    if (!m || !p || !copy) {
        host_free(host, m);
        host_free(host, p);
        host_free(host, copy);
        return error_memory(error, "model", sizeof *m);
    }
    m->host = host;
    m->index.folder = copy;
    m->path = copy;
    m->packed = p;
    m->begin_part = begin_part;
    m->estimate_part = estimate_part;
    m->close = close;
    mzt_status status = host_file_map(host, path, &p->mapping, error);
    if (status >= 0) status = read_table(m, p, error);
    if (status < 0)
        close(m);
    else
        *out = m;
    return status;
}
