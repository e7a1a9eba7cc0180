/* Writing compiled models; see packed.h. Weights are brought into the plan's own form by the reference
 * executor, one network at a time. */
#include <string.h>

#include "graph/graph.h"
#include "model/load.h"
#include "pipeline/packed.h"
#include "text/bpe_packed.h"

typedef struct packer {
    const model *m;
    file_writer *file;
    uint64_t at;
    packed_section sections[PART_KIND_COUNT + 3];
    uint32_t count;
    mzt_error *error;
} packer;

static mzt_status append(packer *p, const void *data, uint64_t size) {
    static const uint8_t zeros[PLAN_ALIGNMENT] = {0};
    const uint64_t padding = align_up(size, PLAN_ALIGNMENT) - size;
    TRY(file_writer_write(p->file, data, size, p->error));
    if (padding) TRY(file_writer_write(p->file, zeros, padding, p->error));
    p->at += size + padding;
    return MZT_OK;
}

static mzt_status append_section(packer *p, packed_kind kind, uint32_t index, const void *data,
                                 uint64_t size) {
    p->sections[p->count++] =
        (packed_section){.kind = (uint32_t)kind, .index = index, .offset = p->at, .size = size};
    return append(p, data, size);
}

static mzt_status write_facts(packer *p, dtype type) {
    packed_facts *f = host_calloc(p->m->host, 1, sizeof *f);
    model *copy = host_calloc(p->m->host, 1, sizeof *copy);
    mzt_status status = f && copy ? MZT_OK : error_memory(p->error, "configuration", sizeof *f);
    if (status >= 0) {
        *copy = *p->m;
        f->writing = true;
        if (!packed_go_over(f, copy, &type))
            status = error_set(p->error, MZT_ERROR_UNSUPPORTED, "%s: its configuration cannot be compiled",
                               p->m->path);
    }
    if (status >= 0) status = append_section(p, PACKED_FACTS, 0, f->bytes, f->size);
    host_free(p->m->host, f);
    host_free(p->m->host, copy);
    return status;
}

static mzt_status write_tokenizers(packer *p) {
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *data;
        uint64_t size;
        if (!p->m->tokenizer[i]) continue;
        TRY(bpe_pack(p->m->tokenizer[i], &data, &size, p->error));
        mzt_status status = append_section(p, PACKED_TOKENIZER, i, data, size);
        host_free(p->m->host, data);
        TRY(status);
    }
    return MZT_OK;
}

static mzt_status read_weight(void *user, uint32_t buffer, void *data, mzt_error *error) {
    program *g = user;
    return program_read(g, buffer, 0, data, g->plan->buffers[buffer].bytes, error);
}

static mzt_status write_part(packer *p, executor *reference, const executor_limits *limits, precision wanted,
                             const part_spec *spec) {
    const model *m = p->m;
    const graph_options options = {.max_range = limits->max_range};
    const weights_set *weights = m->weights[part_component((part_kind)spec->kind)];
    plan *compiled = NULL;
    program *g = NULL;
    dtype type;
    uint64_t size = 0;
    TRY(part_type(m, limits, wanted, (part_kind)spec->kind, &type, p->error));
    graph *described = part_describe(m, type, spec, p->error);
    if (!described) return MZT_ERROR_OUT_OF_MEMORY;
    mzt_status status = graph_compile(described, &options, &compiled, p->error);
    graph_destroy(described);
    if (status >= 0) status = executor_prepare(reference, compiled, &g, p->error);
    if (status >= 0) status = model_load(m->host, g, weights, p->error);
    p->sections[p->count] = (packed_section){.kind = PACKED_PART, .offset = p->at, .spec = *spec};
    if (status >= 0) status = plan_image_write(compiled, read_weight, g, p->file, &size, p->error);
    p->sections[p->count++].size = size;
    p->at += size;
    program_destroy(g);
    plan_destroy(compiled);
    return status < 0 ? error_prefix(p->error, "%s: ", part_name((part_kind)spec->kind)) : status;
}

static mzt_status write_all(packer *p, executor *reference, const executor_limits *limits, precision wanted,
                            const part_spec *parts, uint32_t count) {
    const packed_header header = {.magic = PACKED_MAGIC, .version = PACKED_VERSION, .order = PACKED_ORDER};
    packed_footer footer = {.magic = PACKED_MAGIC};
    dtype type;
    TRY(part_type(p->m, limits, wanted, PART_DENOISER, &type, p->error));
    TRY(append(p, &header, sizeof header));
    TRY(write_facts(p, type));
    TRY(write_tokenizers(p));
    for (uint32_t i = 0; i < count; i++)
        TRY(write_part(p, reference, limits, wanted, &parts[i]));
    footer.table = p->at;
    footer.count = p->count;
    TRY(file_writer_write(p->file, p->sections, p->count * sizeof *p->sections, p->error));
    return file_writer_write(p->file, &footer, sizeof footer, p->error);
}

mzt_status packed_write(const model *m, const executor_limits *limits, precision p, const part_spec *parts,
                        uint32_t count, const char *path, mzt_error *error) {
    packer work = {.m = m, .error = error};
    executor *reference;
    if (m->packed) return error_set(error, MZT_ERROR_INVALID, "%s is compiled already", m->path);
    TRY(cpu_reference_create(m->host, &reference, error));
    mzt_status status = file_writer_open(m->host, path, &work.file, error);
    if (status >= 0) {
        status = write_all(&work, reference, limits, p, parts, count);
        if (status >= 0)
            status = file_writer_commit(work.file, error);
        else
            file_writer_abandon(work.file);
    }
    executor_destroy(reference);
    return status;
}
