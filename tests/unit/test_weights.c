/* Checkpoints of one and of several files, what is said where there is none, and packing into the engine's
 * layouts. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "weights/weights.h"

static const char folder[] = MZT_BINARY_DIR "/test_weights";

static const char *inside(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text) {
    base_host host = host_make(NULL);
    assert_int_equal(file_write(&host, inside(name), text, strlen(text), NULL), MZT_OK);
}

/* A file of one-element tensors named by the letters, each holding its letter's code. */
static void put_tensors(const char *name, const char *letters) {
    base_host host = host_make(NULL);
    weights_tensor tensors[8];
    char names[8][2] = {{0}};
    uint32_t count = (uint32_t)strlen(letters);
    assert_true(count <= 8);
    for (uint32_t i = 0; i < count; i++) {
        names[i][0] = letters[i];
        tensors[i] = (weights_tensor){.name = names[i],
                                      .dtype = WEIGHTS_U8,
                                      .rank = 1,
                                      .shape = {1},
                                      .count = 1,
                                      .data = (const uint8_t *)names[i]};
    }
    assert_int_equal(safetensors_save(&host, inside(name), tensors, count, NULL, 0, NULL), MZT_OK);
}

/* Every name that a test here may write. */
static const char *const leftovers[] = {"model.safetensors",
                                        "model.fp16.safetensors",
                                        "diffusion_pytorch_model.safetensors",
                                        "pytorch_model.bin",
                                        "s-1.safetensors",
                                        "s-2.safetensors",
                                        "model.safetensors.index.json",
                                        "other.safetensors",
                                        "diffusion_pytorch_model.safetensors.index.fp16.json"};

static int setup(void **state) {
    (void)state;
    mkdir(folder, 0777);
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++)
        remove(inside(leftovers[i]));
    return 0;
}

static int teardown(void **state) {
    setup(state);
    return rmdir(folder);
}

static void expect_open(const char *path, const char *name, uint32_t count) {
    base_host host = host_make(NULL);
    mzt_error error = {0};
    weights_set *set;
    if (weights_open(&host, path, &set, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_string_equal(weights_name(set), inside(name));
    assert_int_equal(weights_count(set), count);
    for (uint32_t i = 0; i < count; i++) {
        const weights_tensor *tensor = weights_at(set, i);
        assert_ptr_equal(weights_find(set, tensor->name), tensor);
        assert_int_equal(tensor->data[0], tensor->name[0]);
        if (i > 0) assert_true(strcmp(weights_at(set, i - 1)->name, tensor->name) < 0);
    }
    assert_null(weights_find(set, "absent"));
    weights_close(set);
}

static void expect_error(const char *path, mzt_status status, const char *message) {
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    mzt_error error = {0};
    weights_set *set;
    assert_int_equal(weights_open(&host, path, &set, &error), status);
    assert_int_equal(error.status, status);
    assert_null(set);
    char wanted[sizeof error.message];
    snprintf(wanted, sizeof wanted, message, folder);
    assert_string_equal(error.message, wanted);
    assert_int_equal(weights_open(&host, path, &set, NULL), status);
    assert_int_equal(counts.live, 0);
}

static void test_choice(void **state) {
    (void)state;
    expect_error(folder, MZT_ERROR_NOT_FOUND,
                 "%s: no weights here; looked for diffusion_pytorch_model.safetensors and model.safetensors, "
                 "their .fp16 "
                 "variants and their .index.json");
    put("pytorch_model.bin", "PK");
    expect_error(folder, MZT_ERROR_UNSUPPORTED,
                 "%s: only pickled weights (pytorch_model.bin); convert them once with diffusers: load the "
                 "model and call "
                 "save_pretrained(folder, safe_serialization=True)");
    put_tensors("model.fp16.safetensors", "c");
    expect_open(folder, "model.fp16.safetensors", 1);
    put_tensors("model.safetensors", "ba");
    expect_open(folder, "model.safetensors", 2);
    put_tensors("diffusion_pytorch_model.safetensors", "abc");
    expect_open(folder, "diffusion_pytorch_model.safetensors", 3);
    put_tensors("other.safetensors", "x");
    expect_open(inside("other.safetensors"), "other.safetensors", 1);
    remove(inside("other.safetensors"));
    expect_error(inside("other.safetensors"), MZT_ERROR_NOT_FOUND,
                 "%s/other.safetensors: cannot open: No such file or directory");
    put("diffusion_pytorch_model.safetensors", "burr");
    expect_error(folder, MZT_ERROR_FORMAT,
                 "%s/diffusion_pytorch_model.safetensors: 4 bytes, too short for a safetensors file");
}

static const char good_index[] =
    "{\"metadata\":{},\"weight_map\":{\"d\":\"s-2.safetensors\",\"a\":\"s-1.safetensors\","
    "\"c\":\"s-1.safetensors\",\"b\":\"s-2.safetensors\"}}";

static void test_shards(void **state) {
    (void)state;
    put_tensors("s-1.safetensors", "ca");
    put_tensors("s-2.safetensors", "bde");
    put("diffusion_pytorch_model.safetensors.index.fp16.json", good_index);
    expect_open(folder, "diffusion_pytorch_model.safetensors.index.fp16.json", 4);
    put("model.safetensors.index.json", good_index);
    expect_open(folder, "model.safetensors.index.json", 4);
    remove(inside("s-2.safetensors"));
    expect_error(folder, MZT_ERROR_NOT_FOUND, "%s/s-2.safetensors: cannot open: No such file or directory");
    put_tensors("s-2.safetensors", "b");
    expect_error(folder, MZT_ERROR_FORMAT,
                 "%s/model.safetensors.index.json: weight_map.d: the tensor is not in \"s-2.safetensors\"");
    static const struct {
        const char *index, *message;
    } cases[] = {
        {"{}", "%s/model.safetensors.index.json: weight_map: expected an object, found nothing"},
        {"[]", "%s/model.safetensors.index.json: expected an object, found an array"},
        {"{\"weight_map\":{\"a\":1}}",
         "%s/model.safetensors.index.json: weight_map.a: expected a string, found 1"},
        {"{\"weight_map\":{\"a\":\"s-1.safetensors\",\"a\":\"s-2.safetensors\"}}",
         "%s/model.safetensors.index.json: weight_map.a: the key occurs twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("model.safetensors.index.json", cases[i].index);
        expect_error(folder, MZT_ERROR_FORMAT, cases[i].message);
    }
}

/* An index must not lead out of its folder. */
static void test_shard_names(void **state) {
    (void)state;
    put_tensors("other.safetensors", "a");
    static const struct {
        const char *in_json, *shown;
    } names[] = {
        {"../test_weights/other.safetensors", "../test_weights/other.safetensors"},
        {"./other.safetensors", "./other.safetensors"},
        {"a/b.safetensors", "a/b.safetensors"},
        {"/etc/other.safetensors", "/etc/other.safetensors"},
        {"a\\\\b.safetensors", "a\\b.safetensors"},
        {"C:x.safetensors", "C:x.safetensors"},
        {"..safetensors", "..safetensors"},
        {".safetensors", ".safetensors"},
        {"", ""},
        {"other.bin", "other.bin"},
        {"a\\nb.safetensors", "a?b.safetensors"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[200], message[300];
        snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\"}}", names[i].in_json);
        snprintf(message, sizeof message,
                 "%%s/model.safetensors.index.json: weight_map.a: expected the name of a .safetensors file "
                 "beside the "
                 "index, found \"%s\"",
                 names[i].shown);
        put("model.safetensors.index.json", index);
        expect_error(folder, MZT_ERROR_FORMAT, message);
    }
    put("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"other.safetensors\"}}");
    expect_open(folder, "model.safetensors.index.json", 1);
}

static void test_out_of_memory(void **state) {
    (void)state;
    put_tensors("s-1.safetensors", "ca");
    put_tensors("s-2.safetensors", "bd");
    put("model.safetensors.index.json", good_index);
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host host = alloc_count_host(&counts);
        weights_set *set;
        mzt_error error = {0};
        mzt_status status = weights_open(&host, folder, &set, &error);
        bool reached = counts.calls >= fail_at;
        assert_int_equal(status, reached ? MZT_ERROR_OUT_OF_MEMORY : MZT_OK);
        weights_close(set);
        assert_int_equal(counts.live, 0);
        if (!reached) break;
    }
    weights_close(NULL);
}

/* ------------------------------------------------------------------------------------------------ packing --
 */

static weights_tensor tensor_of(const float *values, uint64_t o, uint64_t i, uint64_t h, uint64_t w) {
    return (weights_tensor){.name = "conv.weight",
                            .file = "memory",
                            .dtype = WEIGHTS_F32,
                            .rank = 4,
                            .shape = {o, i, h, w},
                            .count = o * i * h * w,
                            .data = (const uint8_t *)values};
}

/* Against the definition of the layouts, element by element; sizes 1, odd, and longer than the piece worked
 * in. */
static void test_convolution(void **state) {
    (void)state;
    static const uint64_t shapes[][4] = {{1, 1, 1, 1}, {2, 3, 3, 3},   {5, 7, 1, 1},
                                         {3, 1, 4, 5}, {2, 700, 3, 3}, {4, 2049, 1, 1}};
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        const uint64_t *s = shapes[n];
        uint64_t count = s[0] * s[1] * s[2] * s[3];
        float *oihw = malloc(count * sizeof *oihw), *ohwi = malloc(count * sizeof *ohwi),
              *back = malloc(count * sizeof *back);
        uint16_t *halves = malloc(count * sizeof *halves);
        assert_true(oihw && ohwi && back && halves);
        for (uint64_t k = 0; k < count; k++)
            oihw[k] = (float)(k % 2039);
        weights_tensor tensor = tensor_of(oihw, s[0], s[1], s[2], s[3]);
        assert_int_equal(weights_pack(&tensor, WEIGHTS_OIHW_TO_OHWI, DTYPE_F32, ohwi, count * 4, NULL),
                         MZT_OK);
        assert_int_equal(weights_pack(&tensor, WEIGHTS_OIHW_TO_OHWI, DTYPE_F16, halves, count * 2, NULL),
                         MZT_OK);
        for (uint64_t o = 0; o < s[0]; o++)
            for (uint64_t i = 0; i < s[1]; i++)
                for (uint64_t h = 0; h < s[2]; h++)
                    for (uint64_t w = 0; w < s[3]; w++) {
                        float wanted = oihw[((o * s[1] + i) * s[2] + h) * s[3] + w];
                        uint64_t place = ((o * s[2] + h) * s[3] + w) * s[1] + i;
                        assert_true(ohwi[place] == wanted);
                        assert_int_equal(halves[place], f16_from_f32(wanted));
                    }
        weights_tensor packed = tensor_of(ohwi, s[0], s[2], s[3], s[1]);
        assert_int_equal(weights_pack(&packed, WEIGHTS_OHWI_TO_OIHW, DTYPE_F32, back, count * 4, NULL),
                         MZT_OK);
        assert_memory_equal(back, oihw, count * 4);
        free(oihw);
        free(ohwi);
        free(back);
        free(halves);
    }
}

static void test_pack_errors(void **state) {
    (void)state;
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    float out[6];
    mzt_error error = {0};
    weights_tensor tensor = tensor_of(values, 1, 2, 3, 1);
    assert_int_equal(weights_pack(&tensor, WEIGHTS_PLAIN, DTYPE_F32, out, 20, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message,
                        "memory: tensor \"conv.weight\" [1,2,3,1] as f32 does not fill 20 bytes");
    tensor.rank = 3;
    assert_int_equal(weights_pack(&tensor, WEIGHTS_OIHW_TO_OHWI, DTYPE_F32, out, 24, &error),
                     MZT_ERROR_INVALID);
    assert_string_equal(
        error.message,
        "memory: tensor \"conv.weight\": expected rank 4 for a convolution, found shape [1,2,3]");
    tensor.rank = 4;
    tensor.shape[0] = 0;
    tensor.count = 0;
    assert_int_equal(weights_pack(&tensor, WEIGHTS_OIHW_TO_OHWI, DTYPE_F32, out, 0, &error), MZT_OK);
}

static void test_load(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error = {0};
    weights_set *set;
    put_tensors("model.safetensors", "ab");
    assert_int_equal(weights_open(&host, folder, &set, &error), MZT_OK);
    float out = 0;
    const uint64_t one[1] = {1}, two[2] = {1, 320};
    assert_int_equal(weights_load(set, "b", one, 1, WEIGHTS_PLAIN, DTYPE_F32, &out, 4, &error), MZT_OK);
    assert_true(out == 98.0f);
    char wanted[sizeof error.message];
    assert_int_equal(weights_load(set, "c", two, 2, WEIGHTS_PLAIN, DTYPE_F32, &out, 4, &error),
                     MZT_ERROR_NOT_FOUND);
    snprintf(wanted, sizeof wanted, "%s/model.safetensors: tensor \"c\" [1,320] is missing", folder);
    assert_string_equal(error.message, wanted);
    assert_int_equal(weights_load(set, "b", two, 2, WEIGHTS_PLAIN, DTYPE_F32, &out, 4, &error),
                     MZT_ERROR_FORMAT);
    snprintf(wanted, sizeof wanted, "%s/model.safetensors: tensor \"b\": expected shape [1,320], found [1]",
             folder);
    assert_string_equal(error.message, wanted);
    weights_close(set);
}

static void test_reference(void **state) {
    (void)state;
    static const struct {
        const char *component;
        uint32_t count;
        const char *tensor;
        uint64_t shape[4];
    } cases[] = {{"unet", 494, "conv_in.weight", {16, 4, 3, 3}},
                 {"vae", 152, "decoder.conv_in.weight", {0}},
                 {"text_encoder", 52, NULL, {0}}};
    const char *shared = getenv("MZT_SHARED");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/reference/sd1-tiny/%s", shared ? shared : MZT_SOURCE_DIR "/../shared",
                 cases[i].component);
        if (!file_exists(path)) {
            print_message("%s is absent: reference checkpoint not read\n", path);
            continue;
        }
        base_host host = host_make(NULL);
        mzt_error error = {0};
        weights_set *set;
        if (weights_open(&host, path, &set, &error) != MZT_OK) fail_msg("%s", error.message);
        assert_int_equal(weights_count(set), cases[i].count);
        if (cases[i].tensor) assert_non_null(weights_find(set, cases[i].tensor));
        const weights_tensor *tensor;
        if (cases[i].shape[0])
            assert_int_equal(weights_require(set, cases[i].tensor, cases[i].shape, 4, &tensor, &error),
                             MZT_OK);
        weights_close(set);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, setup),
        cmocka_unit_test_setup(test_shards, setup),
        cmocka_unit_test_setup(test_shard_names, setup),
        cmocka_unit_test_setup(test_out_of_memory, setup),
        cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_pack_errors),
        cmocka_unit_test_setup(test_load, setup),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
