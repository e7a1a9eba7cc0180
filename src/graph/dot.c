/* A picture of the graph in Graphviz's dot language: one box a node, one edge a value, parameters left out.
 */
#include "graph/build.h"

#include <stdio.h>

#include "base/file.h"

static mzt_status put(file_writer *writer, mzt_error *error, const char *format, ...) BASE_PRINTF(3, 4);

static mzt_status put(file_writer *writer, mzt_error *error, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line)
        return error_set(error, MZT_ERROR_INVALID, "a name is too long for dot");
    return file_writer_write(writer, line, (uint64_t)length, error);
}

/* Names come from configurations and code; quotes and backslashes cannot occur unescaped in dot. */
static void escape(const char *text, char *out, size_t size) {
    size_t used = 0;
    for (; *text && used + 3 < size; text++) {
        if (*text == '"' || *text == '\\') out[used++] = '\\';
        out[used++] = (unsigned char)*text < 0x20 ? '?' : *text;
    }
    out[used] = '\0';
}

static mzt_status put_tensors(const graph *g, file_writer *writer, mzt_error *error) {
    char name[400];
    for (uint32_t i = 1; i < g->tensor_count; i++) {
        const graph_tensor *t = &g->tensors[i];
        if (t->alias_of || !(t->kind == GRAPH_INPUT || t->kind == GRAPH_STATE)) continue;
        escape(t->name, name, sizeof name);
        TRY(put(writer, error, "  t%u [shape=ellipse, label=\"%s\\n%u x %u x %u x %u %s\"];\n", i, name,
                t->shape.n, t->shape.h, t->shape.w, t->shape.c, dtype_name(t->type)));
    }
    return MZT_OK;
}

static mzt_status put_node(const graph *g, uint32_t index, uint32_t *writers, file_writer *writer,
                           mzt_error *error) {
    const graph_node *node = &g->nodes[index];
    const op_info *info = op_get(node->op);
    tensor out = node->bindings[info->output];
    shape4 s = graph_shape(g, out);
    char name[400];
    escape(node->name, name, sizeof name);
    TRY(put(writer, error, "  n%u [label=\"%s\\n%s\\n%u x %u x %u x %u\"];\n", index, name, info->name, s.n,
            s.h, s.w, s.c));
    for (uint32_t b = 0; b < info->binding_count; b++) {
        if (!node->bindings[b] || !(info->bindings[b].access & OP_READ)) continue;
        tensor root = graph_root(g, node->bindings[b]);
        if (g->tensors[root].kind == GRAPH_PARAM) continue;
        TRY(put(writer, error, "  %c%u -> n%u [label=\"%s\"];\n", writers[root] == PLAN_NONE ? 't' : 'n',
                writers[root] == PLAN_NONE ? root : writers[root], index, info->bindings[b].name));
    }
    writers[graph_root(g, out)] = index;
    return MZT_OK;
}

mzt_status graph_write_dot(const graph *g, const char *path, mzt_error *error) {
    uint32_t *writers =
        host_calloc(g->host, g->tensor_count, sizeof *writers); /* the last node that wrote a tensor */
    if (!writers) return error_memory(error, "a picture of the graph", g->tensor_count * sizeof *writers);
    for (uint32_t i = 0; i < g->tensor_count; i++)
        writers[i] = PLAN_NONE;
    file_writer *writer = NULL;
    mzt_status status = file_writer_open(g->host, path, &writer, error);
    if (status >= 0) {
        status = put(writer, error, "digraph network {\n  node [shape=box, fontname=\"monospace\"];\n");
        if (status >= 0) status = put_tensors(g, writer, error);
        for (uint32_t i = 0; i < g->node_count && status >= 0; i++)
            if (!g->nodes[i].dead) status = put_node(g, i, writers, writer, error);
        if (status >= 0) status = put(writer, error, "}\n");
        if (status < 0)
            file_writer_abandon(writer);
        else
            status = file_writer_commit(writer, error);
    }
    host_free(g->host, writers);
    return status;
}
