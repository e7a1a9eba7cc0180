/* The tokenizer: ids equal to those of transformers' CLIPTokenizer, other vocabularies, decoding, hostile
 * input. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "json/json.h"
#include "text/bpe.h"
#include "text/clean.h"

static base_host host;
static mzt_error error;

/* A path in the CLIP vocabulary's folder; false, after saying so, when that is not there. */
static bool clip_path(const char *name, char path[1024]) {
    const char *shared = getenv("MZT_SHARED");
    snprintf(path, 1024, "%s/data/clip/%s", shared ? shared : MZT_SOURCE_DIR "/../shared", name);
    if (file_exists(path)) return true;
    print_message("%s is absent: this part is skipped\n", path);
    return false;
}

static bpe *load(const char *name, const bpe_options *options) {
    char path[1024];
    bpe *tokenizer = NULL;
    if (!clip_path(name, path)) return NULL;
    if (bpe_load(&host, path, options, &tokenizer, &error) < 0) fail_msg("%s", error.message);
    return tokenizer;
}

static void check_ids(const bpe *tokenizer, const char *text, const uint32_t *expected,
                      uint32_t expected_count) {
    uint32_t *ids, count;
    assert_int_equal(bpe_encode(tokenizer, text, strlen(text), &ids, &count, &error), MZT_OK);
    if (count != expected_count) fail_msg("\"%s\": %u tokens, expected %u", text, count, expected_count);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] != expected[i])
            fail_msg("\"%s\": token %u is %u, expected %u", text, i, ids[i], expected[i]);
    }
    host_free(&host, ids);
}

/* Every prompt of the reference list, 77 ids each, from each form of the vocabulary. */
static void test_expected_ids(void **state) {
    (void)state;
    static const char *const sources[] = {"", "vocab.json", "bpe_simple_vocab_16e6.txt.gz"};
    char path[1024];
    json_doc *doc = NULL;
    if (!clip_path("expected_ids.json", path)) return;
    assert_int_equal(json_read(&host, path, &doc, &error), MZT_OK);
    for (int source = 0; source < 3; source++) {
        bpe *tokenizer = load(sources[source], NULL);
        uint32_t prompts = 0;
        assert_non_null(tokenizer);
        for (json_value entry = json_first(json_root(doc)); entry.item; entry = json_next(entry), prompts++) {
            const char *text;
            uint32_t ids[77], at = 0;
            assert_int_equal(json_require_string(entry, "text", &text, &error), MZT_OK);
            assert_int_equal(bpe_encode_padded(tokenizer, text, 77, ids, NULL, &error), MZT_OK);
            for (json_value id = json_first(json_get(entry, "ids")); id.item; id = json_next(id), at++) {
                int64_t expected;
                assert_int_equal(json_as_int(id, 0, 49407, &expected, &error), MZT_OK);
                assert_true(at < 77);
                if (ids[at] != expected)
                    fail_msg("\"%s\": id %u is %u, expected %lld", text, at, ids[at], (long long)expected);
            }
            assert_int_equal(at, 77);
        }
        assert_true(prompts >= 30);
        bpe_destroy(tokenizer);
    }
    json_destroy(doc);
}

/* Corners of the cleaning, as transformers 4.44 gives them: special tokens by name in any case, long s, final
 * sigma, dotted I, line separator, soft hyphen and zero-width characters, composition, controls, ideographic
 * space, ligature and number forms, joined emoji, ideographs, U+FFFD, contractions, runs of punctuation, tags
 * and private use. */
static void test_cleaning_corners(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t count, ids[20];
    } corners[] = {
        {"a<|endoftext|>b", 3, {320, 49407, 321}},
        {"<|StartOfText|>", 1, {49406}},
        {"!<|ENDOFTEXT|>", 7, {0, 27, 347, 40786, 4160, 91, 285}},
        {"'\305\277x it'S", 6, {6, 129, 379, 343, 585, 568}},
        {"\316\221\316\243 \316\221\316\243. \316\243 \316\221\316\243\316\221",
         17,
         {138, 109, 139, 480, 138, 109, 139, 480, 269, 139, 481, 138, 109, 139, 225, 138, 365}},
        {"\304\260stanbul", 3, {328, 16384, 11231}},
        {"a\342\200\250b\342\200\213c\302\255z", 3, {320, 3116, 345}},
        {"e\314\201 \314\247x", 4, {4166, 136, 356, 343}},
        {"\341\272\236\303\237", 4, {127, 253, 127, 509}},
        {"x\001y\007z\037w\013q", 4, {20023, 89, 86, 336}},
        {"\343\200\200wide\302\240nb\015\012line", 3, {3184, 6813, 1148}},
        {"\357\254\201n \342\205\247 \342\221\240", 10, {171, 105, 223, 333, 158, 227, 371, 158, 239, 510}},
        {"\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247",
         4,
         {18966, 18800, 964, 356}},
        {"\346\274\242\345\255\227kana", 6, {162, 120, 351, 35751, 501, 35178}},
        {"hello\357\277\275world", 2, {12887, 1002}},
        {"'ll'd's'T", 4, {1342, 1896, 568, 713}},
        {"\342\204\253ngstr\303\266m", 5, {23176, 10352, 807, 7255, 332}},
        {"!!!\?\?\?...", 3, {11194, 5195, 22641}},
        {"\363\240\200\201a\356\200\200b", 1, {3937}},
    };
    bpe *tokenizer = load("", NULL);
    if (!tokenizer) return;
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
        check_ids(tokenizer, corners[i].text, corners[i].ids, corners[i].count);
    bpe_destroy(tokenizer);
}

/* Padding with "!" (id 0), as the second tokenizer of SDXL and that of SD 2 do: then "!" in a text is that
 * token too. */
static void test_padding_token(void **state) {
    (void)state;
    bpe *tokenizer = load("", &(bpe_options){.padding = "!"});
    if (!tokenizer) return;
    assert_int_equal(bpe_padding_id(tokenizer), 0);
    check_ids(tokenizer, "hello! world!!", (const uint32_t[]){3306, 0, 1002, 0, 0}, 5);
    uint32_t ids[8], used;
    assert_int_equal(bpe_encode_padded(tokenizer, "red apple", 8, ids, &used, &error), MZT_OK);
    assert_int_equal(used, 4);
    assert_memory_equal(ids, ((const uint32_t[]){49406, 736, 3055, 49407, 0, 0, 0, 0}), sizeof ids);
    assert_int_equal(bpe_encode_padded(tokenizer, "red apple", 3, ids, &used, &error), MZT_OK);
    assert_memory_equal(ids, ((const uint32_t[]){49406, 736, 49407}), 3 * sizeof *ids);
    assert_int_equal(bpe_encode_padded(tokenizer, "red apple", 1, ids, &used, &error), MZT_ERROR_INVALID);
    bpe_destroy(tokenizer);
}

static void test_pieces_and_decoding(void **state) {
    (void)state;
    bpe *tokenizer = load("", NULL);
    if (!tokenizer) return;
    uint32_t id, *ids, count;
    assert_string_equal(bpe_piece(tokenizer, 18376), "astronaut</w>");
    assert_true(bpe_find(tokenizer, ",</w>", &id));
    assert_int_equal(id, 267);
    assert_false(bpe_find(tokenizer, "no such piece", &id));
    assert_null(bpe_piece(tokenizer, 49408));
    assert_int_equal(bpe_id_count(tokenizer), 49408);
    assert_int_equal(bpe_max_length(tokenizer), 77);
    static const char *const round_trips[] = {"a red apple", "caf\303\251 cr\303\250me",
                                              "\346\227\245 \346\234\254", ""};
    for (int i = 0; i < 4; i++) {
        char *text;
        assert_int_equal(bpe_encode(tokenizer, round_trips[i], strlen(round_trips[i]), &ids, &count, &error),
                         MZT_OK);
        assert_int_equal(bpe_decode(tokenizer, ids, count, &text, &error), MZT_OK);
        assert_string_equal(text, round_trips[i]);
        host_free(&host, ids);
        host_free(&host, text);
    }
    /* Half of a character, a name, an id without a piece. */
    char *text;
    assert_int_equal(bpe_decode(tokenizer, (const uint32_t[]){127, 49407, 4000000000u}, 3, &text, &error),
                     MZT_OK);
    assert_string_equal(text, "\357\277\275<|endoftext|>");
    host_free(&host, text);
    bpe_destroy(tokenizer);
}

/* ------------------------------------------------------------------------------------------- small
 * vocabularies -- */

static const char small_vocab[] =
    "{\"<b>\":0,\"<e>\":1,\"a\":2,\"b</w>\":3,\"ab</w>\":4,\"a</w>\":5,\"aa\":6,\"?\":9}";
static const char small_merges[] = "#version: 0.2\na b</w>\na a\n";
static const bpe_options small_options = {
    .begin = "<b>", .end = "<e>", .padding = "?", .unknown = "?", .max_length = 6};

static mzt_status create(const char *vocab, const char *merges, const bpe_options *options, bpe **tokenizer) {
    return bpe_create(&host, "small", vocab, strlen(vocab), merges, merges ? strlen(merges) : 0, options,
                      tokenizer, &error);
}

static void test_small_vocabulary(void **state) {
    (void)state;
    bpe *tokenizer;
    assert_int_equal(create(small_vocab, small_merges, &small_options, &tokenizer), MZT_OK);
    check_ids(tokenizer, "ab", (const uint32_t[]){4}, 1);
    check_ids(tokenizer, "AAB aaa", (const uint32_t[]){2, 4, 6, 5}, 4); /* "a b</w>" ranks before "a a" */
    check_ids(tokenizer, "b a x", (const uint32_t[]){3, 5, 9}, 3);      /* x: the unknown token */
    check_ids(tokenizer, "<e>", (const uint32_t[]){1}, 1);
    assert_int_equal(bpe_max_length(tokenizer), 6);
    assert_int_equal(bpe_id_count(tokenizer), 10);
    assert_null(bpe_piece(tokenizer, 7));
    bpe_destroy(tokenizer);
    bpe_destroy(NULL);
}

/* A folder of one's own, whose configuration names the special tokens in both notations. */
static void test_small_folder(void **state) {
    (void)state;
    const char *const files[4][2] = {
        {"vocab.json", small_vocab},
        {"merges.txt", small_merges},
        {"tokenizer_config.json",
         "{\"bos_token\":{\"content\":\"<b>\"},\"eos_token\":\"<e>\",\"model_max_length\":5}"},
        {"special_tokens_map.json", "{\"pad_token\":\"?\",\"unk_token\":{\"content\":\"?\"}}"}};
    char folder[] = MZT_BINARY_DIR "/tokenizerXXXXXX", *path;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        path = path_join(&host, folder, files[i][0]);
        assert_int_equal(file_write(&host, path, files[i][1], strlen(files[i][1]), &error), MZT_OK);
        host_free(&host, path);
    }
    bpe *tokenizer;
    if (bpe_load(&host, folder, NULL, &tokenizer, &error) < 0) fail_msg("%s", error.message);
    assert_int_equal(bpe_begin_id(tokenizer), 0);
    assert_int_equal(bpe_end_id(tokenizer), 1);
    assert_int_equal(bpe_padding_id(tokenizer), 9);
    assert_int_equal(bpe_max_length(tokenizer), 5);
    bpe_destroy(tokenizer);
    for (int i = 0; i < 4; i++) {
        path = path_join(&host, folder, files[i][0]);
        remove(path);
        host_free(&host, path);
    }
    remove(folder);
    assert_int_equal(bpe_load(&host, folder, NULL, &tokenizer, &error), MZT_ERROR_NOT_FOUND);
    assert_null(tokenizer);
}

static void test_bad_vocabularies(void **state) {
    (void)state;
    static const char *const vocabularies[] = {"",
                                               "[]",
                                               "{",
                                               "{}",
                                               "{\"<b>\":0,\"<e>\":0,\"?\":1}",
                                               "{\"<b>\":-1}",
                                               "{\"<b>\":1.5}",
                                               "{\"<b>\":4194304}",
                                               "{\"<b>\":\"x\"}",
                                               "{\"\":1}",
                                               "{\"<b>\":0,\"?\":1}"};
    static const char *const merges[] = {"a", "a b c", " a", "a ", "a  b", "#version\na b\nab"};
    bpe *tokenizer;
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
        assert_true(create(vocabularies[i], small_merges, &small_options, &tokenizer) < 0);
        assert_null(tokenizer);
    }
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        assert_int_equal(create(small_vocab, merges[i], &small_options, &tokenizer), MZT_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "small: line 3: "));
    bpe_options wrong = small_options;
    wrong.max_length = 1;
    assert_int_equal(create(small_vocab, small_merges, &wrong, &tokenizer), MZT_ERROR_INVALID);
    static const char *const openai[] = {"",
                                         "x",
                                         "\"bpe_simple_vocab_16e6.txt#version: 0.2\ni n\n",
                                         "\"bpe_simple_vocab_16e6.txt#version: 0.2\ni n\ni n\n",
                                         "\x1f\x8b",
                                         "\x1f\x8b\x08xx"};
    for (size_t i = 0; i < sizeof openai / sizeof *openai; i++)
        assert_int_equal(create(openai[i], NULL, NULL, &tokenizer), MZT_ERROR_FORMAT);
}

/* ------------------------------------------------------------------------------------------------- hostile
 * text -- */

/* Invalid bytes vanish; the limit on length holds; a long word and a long row of combining marks end in time.
 */
static void test_hostile_text(void **state) {
    (void)state;
    bpe *tokenizer;
    assert_int_equal(create(small_vocab, small_merges, &small_options, &tokenizer), MZT_OK);
    check_ids(tokenizer,
              "a\xff\xfe\x80"
              "b\xc3 a\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf",
              (const uint32_t[]){4, 5}, 2);
    char *text = malloc(TEXT_LIMIT + 1);
    assert_non_null(text);
    uint32_t *ids, count;
    memset(text, 'a', TEXT_LIMIT + 1);
    assert_int_equal(bpe_encode(tokenizer, text, TEXT_LIMIT, &ids, &count, &error), MZT_OK);
    assert_int_equal(count, TEXT_LIMIT / 2 + 1); /* aa, ..., a, a</w> */
    host_free(&host, ids);
    assert_int_equal(bpe_encode(tokenizer, text, TEXT_LIMIT + 1, &ids, &count, &error), MZT_ERROR_INVALID);
    for (uint32_t i = 0; i + 4 <= TEXT_LIMIT; i += 4)
        memcpy(text + i, "\xcc\x81\xcc\xa7", 4);
    assert_int_equal(bpe_encode(tokenizer, text, TEXT_LIMIT, &ids, &count, &error), MZT_OK);
    host_free(&host, ids);
    uint32_t random = 1;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 64; i++)
            text[i] = (char)((random = random * 1664525u + 1013904223u) >> 24);
        assert_int_equal(bpe_encode(tokenizer, text, 64, &ids, &count, &error), MZT_OK);
        for (uint32_t i = 0; i < count; i++)
            assert_true(ids[i] < 10);
        host_free(&host, ids);
    }
    free(text);
    bpe_destroy(tokenizer);
}

/* Each allocation in turn fails: an error, nothing left behind. */
static void test_out_of_memory(void **state) {
    (void)state;
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host counting = alloc_count_host(&counts);
        bpe *tokenizer;
        uint32_t ids[6];
        char *text = NULL;
        mzt_status status = bpe_create(&counting, "small", small_vocab, strlen(small_vocab), small_merges,
                                       strlen(small_merges), &small_options, &tokenizer, &error);
        if (status >= 0) status = bpe_encode_padded(tokenizer, "ab b <e> aaa", 6, ids, NULL, &error);
        if (status >= 0) status = bpe_decode(tokenizer, ids, 6, &text, &error);
        host_free(&counting, text);
        bpe_destroy(tokenizer);
        assert_int_equal(counts.live, 0);
        if (counts.calls < fail_at) {
            assert_int_equal(status, MZT_OK);
            assert_true(fail_at > 20);
            return;
        }
        assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
    }
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_ids),     cmocka_unit_test(test_cleaning_corners),
        cmocka_unit_test(test_padding_token),    cmocka_unit_test(test_pieces_and_decoding),
        cmocka_unit_test(test_small_vocabulary), cmocka_unit_test(test_small_folder),
        cmocka_unit_test(test_bad_vocabularies), cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
