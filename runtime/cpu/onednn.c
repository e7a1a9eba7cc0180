/* The bridge to oneDNN; see onednn.h. The two major versions differ in how descriptors are made: 2.x by value
 * in structs, 3.x as opaque handles. The functions up to "the convolution" hide that. */
#if defined(MZT_HAVE_ONEDNN)
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include "cpu/onednn.h"

#if defined(MZT_HAVE_ONEDNN)

#include <dlfcn.h>
#include <dnnl.h>

struct onednn {
    const base_host *host;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    /* Of the OpenMP library that oneDNN itself is linked with; NULL where it is built without threads. */
    int (*get_threads)(void);
    void (*set_threads)(int count);
    int threads;
};

struct onednn_conv {
    onednn *owner;
    dnnl_primitive_t primitive;
    dnnl_memory_t source, weights, sums;
    uint64_t bytes;
};

/* ------------------------------------------------------------------------------------ descriptors, both
 * versions -- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t descriptor;
typedef const_dnnl_memory_desc_t descriptor_reference;

static dnnl_status_t describe(descriptor *d, const dnnl_dims_t dims, dnnl_data_type_t type,
                              const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(d, 4, dims, type, strides);
}

static dnnl_status_t describe_any(descriptor *d, const dnnl_dims_t dims, dnnl_data_type_t type) {
    return dnnl_memory_desc_create_with_tag(d, 4, dims, type, dnnl_format_tag_any);
}

static descriptor_reference reference(const descriptor *d) {
    return *d;
}

static void forget(descriptor *d) {
    if (*d) dnnl_memory_desc_destroy(*d);
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                          const descriptor *source, const descriptor *weights,
                                          const descriptor *sums, const dnnl_dims_t strides,
                                          const dnnl_dims_t before, const dnnl_dims_t after,
                                          const_dnnl_primitive_attr_t attributes) {
    const dnnl_dims_t dilation = {0, 0};
    return dnnl_convolution_forward_primitive_desc_create(
        out, engine, dnnl_forward_inference, dnnl_convolution_direct, *source, *weights, NULL, *sums, strides,
        dilation, before, after, attributes);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}
#else
typedef dnnl_memory_desc_t descriptor;
typedef const dnnl_memory_desc_t *descriptor_reference;

static dnnl_status_t describe(descriptor *d, const dnnl_dims_t dims, dnnl_data_type_t type,
                              const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(d, 4, dims, type, strides);
}

static dnnl_status_t describe_any(descriptor *d, const dnnl_dims_t dims, dnnl_data_type_t type) {
    return dnnl_memory_desc_init_by_tag(d, 4, dims, type, dnnl_format_tag_any);
}

static descriptor_reference reference(const descriptor *d) {
    return d;
}

static void forget(descriptor *d) {
    (void)d;
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                          const descriptor *source, const descriptor *weights,
                                          const descriptor *sums, const dnnl_dims_t strides,
                                          const dnnl_dims_t before, const dnnl_dims_t after,
                                          const_dnnl_primitive_attr_t attributes) {
    dnnl_convolution_desc_t d;
    dnnl_status_t status =
        dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference, dnnl_convolution_direct, source,
                                           weights, NULL, sums, strides, before, after);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &d, attributes, engine, NULL) : status;
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1);
}
#endif

/* ------------------------------------------------------------------------------------------------- the
 * library -- */

bool onednn_has_bf16(void) {
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), wanted = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & wanted) == wanted; /* each instruction set's number holds the bits of those it includes */
}

onednn *onednn_create(const base_host *host, uint32_t threads) {
    unsigned runtime = dnnl_version()->cpu_runtime;
    onednn *o = NULL;
    if (runtime != DNNL_RUNTIME_OMP && runtime != DNNL_RUNTIME_SEQ) return NULL;
    o = host_calloc(host, 1, sizeof *o);
    if (!o) return NULL;
    o->host = host;
    o->threads = (int)threads;
    if (runtime == DNNL_RUNTIME_OMP) { /* a data pointer from dlsym may hold a function's address: POSIX */
        void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads"),
             *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        if (!get || !set) goto fail;
        memcpy(&o->get_threads, &get, sizeof get);
        memcpy(&o->set_threads, &set, sizeof set);
    }
    if (dnnl_engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success) goto fail;
    if (dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags) != dnnl_success) goto fail;
    return o;
fail:
    onednn_destroy(o);
    return NULL;
}

void onednn_destroy(onednn *o) {
    if (!o) return;
    if (o->stream) dnnl_stream_destroy(o->stream);
    if (o->engine) dnnl_engine_destroy(o->engine);
    host_free(o->host, o);
}

/* OpenMP's thread count is a setting of the calling thread: ours inside, the host's again after. */
static int enter(const onednn *o) {
    int before = o->get_threads ? o->get_threads() : 0;
    if (o->set_threads) o->set_threads(o->threads);
    return before;
}

static void leave(const onednn *o, int before) {
    if (o->set_threads) o->set_threads(before);
}

/* --------------------------------------------------------------------------------------------- the
 * convolution -- */

/* Copies the weights into the layout that the convolution wants. */
static bool pack_weights(onednn_conv *conv, const onednn_shape *s, const descriptor *plain,
                         descriptor_reference packed, const void *weights) {
    onednn *o = conv->owner;
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t d = NULL;
    dnnl_primitive_t reorder = NULL;
    uint8_t *first = (uint8_t *)(uintptr_t)weights + (size_t)s->weight_offset * dtype_size(s->type);
    bool ok = dnnl_memory_create(&from, reference(plain), o->engine, first) == dnnl_success &&
              dnnl_memory_create(&conv->weights, packed, o->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success &&
              dnnl_reorder_primitive_desc_create(&d, reference(plain), o->engine, packed, o->engine, NULL) ==
                  dnnl_success &&
              dnnl_primitive_create(&reorder, d) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, conv->weights}};
        ok = dnnl_primitive_execute(reorder, o->stream, 2, arguments) == dnnl_success &&
             dnnl_stream_wait(o->stream) == dnnl_success;
    }
    conv->bytes = dnnl_memory_desc_get_size(packed);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (d) dnnl_primitive_desc_destroy(d);
    if (from) dnnl_memory_destroy(from);
    return ok;
}

static bool build(onednn_conv *conv, const onednn_shape *s, const void *weights) {
    onednn *o = conv->owner;
    dnnl_data_type_t type = s->type == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    int64_t h = s->h, w = s->w, c = s->c, k = s->weight_stride, cout = s->cout;
    const dnnl_dims_t source_dims = {s->n, c, h, w}, source_strides = {h * w * c, 1, w * c, c};
    const dnnl_dims_t sums_dims = {s->n, cout, s->oh, s->ow};
    const dnnl_dims_t sums_strides = {(int64_t)s->oh * s->ow * cout, 1, s->ow * cout, cout};
    const dnnl_dims_t weight_dims = {cout, c, s->kh, s->kw},
                      weight_strides = {s->kh * s->kw * k, 1, s->kw * k, k};
    const dnnl_dims_t strides = {s->stride, s->stride}, before = {s->pad_top, s->pad_left};
    const dnnl_dims_t after = {(int64_t)(s->oh - 1) * s->stride + s->kh - h - s->pad_top,
                               (int64_t)(s->ow - 1) * s->stride + s->kw - w - s->pad_left};
    descriptor source, plain, any, sums;
    memset(&source, 0, sizeof source);
    memset(&plain, 0, sizeof plain);
    memset(&any, 0, sizeof any);
    memset(&sums, 0, sizeof sums);
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t d = NULL;
    bool ok =
        describe(&source, source_dims, type, source_strides) == dnnl_success &&
        describe(&plain, weight_dims, type, weight_strides) == dnnl_success &&
        describe_any(&any, weight_dims, type) == dnnl_success &&
        describe(&sums, sums_dims, dnnl_f32, sums_strides) == dnnl_success &&
        dnnl_primitive_attr_create(&attributes) == dnnl_success &&
        dnnl_post_ops_create(&ops) == dnnl_success && (!s->accumulate || append_sum(ops) == dnnl_success) &&
        dnnl_primitive_attr_set_post_ops(attributes, ops) == dnnl_success &&
        describe_convolution(&d, o->engine, &source, &any, &sums, strides, before, after, attributes) ==
            dnnl_success &&
        dnnl_primitive_create(&conv->primitive, d) == dnnl_success &&
        dnnl_memory_create(&conv->source, reference(&source), o->engine, DNNL_MEMORY_NONE) == dnnl_success &&
        dnnl_memory_create(&conv->sums, reference(&sums), o->engine, DNNL_MEMORY_NONE) == dnnl_success &&
        pack_weights(conv, s, &plain, dnnl_primitive_desc_query_md(d, dnnl_query_weights_md, 0), weights);
    if (d) dnnl_primitive_desc_destroy(d);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (ops) dnnl_post_ops_destroy(ops);
    forget(&source);
    forget(&plain);
    forget(&any);
    forget(&sums);
    return ok;
}

onednn_conv *onednn_conv_create(onednn *o, const onednn_shape *shape, const void *weights) {
    onednn_conv *conv = host_calloc(o->host, 1, sizeof *conv);
    if (!conv) return NULL;
    conv->owner = o;
    int before = enter(o);
    bool ok = build(conv, shape, weights);
    leave(o, before);
    if (ok) return conv;
    onednn_conv_destroy(conv);
    return NULL;
}

void onednn_conv_destroy(onednn_conv *conv) {
    if (!conv) return;
    if (conv->primitive) dnnl_primitive_destroy(conv->primitive);
    if (conv->source) dnnl_memory_destroy(conv->source);
    if (conv->weights) dnnl_memory_destroy(conv->weights);
    if (conv->sums) dnnl_memory_destroy(conv->sums);
    host_free(conv->owner->host, conv);
}

uint64_t onednn_conv_bytes(const onednn_conv *conv) {
    return conv->bytes;
}

bool onednn_conv_run(onednn_conv *conv, const void *source, float *sums) {
    onednn *o = conv->owner;
    int before = enter(o);
    bool ok = dnnl_memory_set_data_handle(conv->source, (void *)(uintptr_t)source) == dnnl_success &&
              dnnl_memory_set_data_handle(conv->sums, sums) == dnnl_success;
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, conv->source}, {DNNL_ARG_WEIGHTS, conv->weights}, {DNNL_ARG_DST, conv->sums}};
    ok = ok && dnnl_primitive_execute(conv->primitive, o->stream, 3, arguments) == dnnl_success &&
         dnnl_stream_wait(o->stream) == dnnl_success;
    leave(o, before);
    return ok;
}

#else

bool onednn_has_bf16(void) {
    return false;
}

onednn *onednn_create(const base_host *host, uint32_t threads) {
    (void)host;
    (void)threads;
    return NULL;
}

void onednn_destroy(onednn *o) {
    (void)o;
}

onednn_conv *onednn_conv_create(onednn *o, const onednn_shape *shape, const void *weights) {
    (void)o;
    (void)shape;
    (void)weights;
    return NULL;
}

void onednn_conv_destroy(onednn_conv *conv) {
    (void)conv;
}

uint64_t onednn_conv_bytes(const onednn_conv *conv) {
    (void)conv;
    return 0;
}

bool onednn_conv_run(onednn_conv *conv, const void *source, float *sums) {
    (void)conv;
    (void)source;
    (void)sums;
    return false;
}

#endif
