/* JSON: what is refused and how it is said, typed look-ups, and the writer. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "json/json.h"
#include "json/json_write.h"

static mzt_status parse(const base_host *host, const char *text, json_doc **doc, mzt_error *error) {
    return json_parse(host, "t.json", text, strlen(text), doc, error);
}

static json_doc *must_parse(const base_host *host, const char *text) {
    json_doc *doc;
    mzt_error error = {0};
    if (parse(host, text, &doc, &error) != MZT_OK) fail_msg("%s", error.message);
    return doc;
}

static void test_broken(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "t.json:1:1: expected a value, found the end"},
        {" \n ", "t.json:2:2: expected a value, found the end"},
        {"{\"a\": 1,}", "t.json:1:9: expected a key in quotes, found '}'"},
        {"{\n  \"a\" 1}", "t.json:2:7: expected ':' behind a key, found '1'"},
        {"{\"a\": 1", "t.json:1:8: expected ',' or '}', found the end"},
        {"[1 2]", "t.json:1:4: expected ',' or ']', found '2'"},
        {"[1,]", "t.json:1:4: expected a value, found ']'"},
        {"{} x", "t.json:1:4: text behind the document, found 'x'"},
        {"{}{}", "t.json:1:3: text behind the document, found '{'"},
        {"tru", "t.json:1:1: expected a value, found 't'"},
        {"nan", "t.json:1:1: expected a value, found 'n'"},
        {"-NaN", "t.json:1:2: expected a digit, found 'N'"},
        {"-Infinit", "t.json:1:1: expected a value, found '-'"},
        {"Infinityx", "t.json:1:9: text behind the document, found 'x'"},
        {"01", "t.json:1:2: number with a leading zero, found '1'"},
        {"1.", "t.json:1:3: expected a digit, found the end"},
        {".5", "t.json:1:1: expected a value, found '.'"},
        {"1e+", "t.json:1:4: expected a digit, found the end"},
        {"+1", "t.json:1:1: expected a value, found '+'"},
        {"1111111111222222222233333333334444444444555555555566666666667",
         "t.json:1:62: number of more than 60 characters, found the end"},
        {"\"abc", "t.json:1:5: string without an end, found the end"},
        {"\"a\nb\"", "t.json:1:3: control character in a string, found byte 0x0a"},
        {"\"\\x\"", "t.json:1:2: unknown escape in a string, found '\\'"},
        {"\"\\", "t.json:1:2: unknown escape in a string, found '\\'"},
        {"\"\\u12\"", "t.json:1:2: \\u without four hexadecimal digits, found '\\'"},
        {"\"a\\u0000b\"", "t.json:1:3: \\u0000 in a string, found '\\'"},
        {"\"\\ud800\"", "t.json:1:2: unpaired surrogate in a string, found '\\'"},
        {"\"\\ude00\"", "t.json:1:2: unpaired surrogate in a string, found '\\'"},
        {"\"\\ud83d\\u0041\"", "t.json:1:2: unpaired surrogate in a string, found '\\'"},
        {"\"\xc3\xa9\xff\"", "t.json:1:3: invalid UTF-8 in a string, found byte 0xff"},
        {"\"\xed\xa0\x80\"", "t.json:1:2: invalid UTF-8 in a string, found byte 0xed"},
        {"\"\xc0\xaf\"", "t.json:1:2: invalid UTF-8 in a string, found byte 0xc0"},
        {"\"\xe2\x82", "t.json:1:2: invalid UTF-8 in a string, found byte 0xe2"},
        {"{\"a\":{\"b\":1,\"c\":2,\"b\":1}}", "t.json: a.b: the key occurs twice"},
        {"{\"a\":1,\"\\u0061\":2}", "t.json: a: the key occurs twice"},
        {"[{},{\"x\\n\":1,\"x\\n\":2}]", "t.json: [1].x?: the key occurs twice"},
    };
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_doc *doc;
        mzt_error error = {0};
        assert_int_equal(parse(&host, cases[i].text, &doc, &error), MZT_ERROR_FORMAT);
        assert_null(doc);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(parse(&host, cases[i].text, &doc, NULL), MZT_ERROR_FORMAT);
    }
    json_doc *doc;
    mzt_error error = {0};
    assert_int_equal(json_parse(&host, "t.json", "[1\0]", 4, &doc, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "t.json:1:3: expected ',' or ']', found byte 0x00");
    assert_int_equal(counts.live, 0);
}

static void test_limits(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    mzt_error error = {0};
    json_doc *doc;
    for (int depth = JSON_DEPTH_LIMIT; depth <= JSON_DEPTH_LIMIT + 1; depth++) {
        char text[2 * JSON_DEPTH_LIMIT + 3] = {0};
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        mzt_status status = parse(&host, text, &doc, &error);
        assert_int_equal(status, depth == JSON_DEPTH_LIMIT ? MZT_OK : MZT_ERROR_FORMAT);
        json_destroy(doc);
    }
    assert_string_equal(error.message, "t.json:1:65: nested deeper than 64 levels, found '['");
    size_t size = 2 * (size_t)JSON_VALUE_LIMIT + 8;
    char *text = malloc(size);
    assert_non_null(text);
    text[0] = '[';
    size_t used = 1;
    for (uint32_t i = 0; i < JSON_VALUE_LIMIT; i++) {
        text[used++] = '1';
        text[used++] = ',';
    }
    text[used - 1] = ']';
    assert_int_equal(json_parse(&host, "t.json", text, used, &doc, &error), MZT_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "more than 4194304 values"));
    free(text);
    assert_int_equal(counts.live, 0);
}

/* Python's extra numbers count only where a value stands. */
static void test_python_numbers(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    json_doc *doc = must_parse(&host, "\xef\xbb\xbf{\"NaN\": NaN, \"l\": [Infinity, -Infinity, 1e999], "
                                      "\"s\": \"NaN Infinity -Infinity\", \"m\": \"\\u00ff\"}");
    json_value root = json_root(doc);
    double number = 0;
    int64_t integer = 0;
    mzt_error error = {0};
    assert_int_equal(json_get_double(root, "NaN", 0, &number, &error), MZT_OK);
    assert_true(isnan(number));
    assert_int_equal(json_get_int(root, "NaN", 0, 9, 0, &integer, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message, "t.json: NaN: expected an integer in 0..9, found NaN");
    json_value element = json_first(json_get(root, "l"));
    assert_int_equal(json_as_double(element, &number, &error), MZT_OK);
    assert_true(isinf(number) && number > 0);
    assert_int_equal(json_as_int(element, -JSON_INT_LIMIT, JSON_INT_LIMIT, &integer, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(json_as_double(json_next(element), &number, &error), MZT_OK);
    assert_true(isinf(number) && number < 0);
    assert_int_equal(json_as_double(json_next(json_next(element)), &number, &error), MZT_OK);
    assert_true(isinf(number));
    const char *text;
    assert_int_equal(json_get_string(root, "s", NULL, &text, &error), MZT_OK);
    assert_string_equal(text, "NaN Infinity -Infinity");
    assert_int_equal(json_get_string(root, "m", NULL, &text, &error), MZT_OK);
    assert_string_equal(text, "\xc3\xbf");
    json_destroy(doc);
    json_destroy(must_parse(&host, "\xef\xbb\xbf"
                                   "0"));
}

static const char sample[] =
    "{\"yes\": true, \"no\": false, \"none\": null, \"n\": 42, \"f\": 4.2e1, \"half\": 0.5,"
    " \"big\": 9007199254740993, \"name\": \"silu\", \"list\": [320, 640, 1280],"
    " \"mixed\": [1, \"x\"], \"deep\": {\"a\": [{\"b\": -7}]}, \"accent\": \"\\ud83d\\ude00\"}";

static void test_lookups(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    json_doc *doc = must_parse(&host, sample);
    json_value root = json_root(doc);
    mzt_error error = {0};
    bool flag = false;
    int64_t n = 0, list[3] = {0};
    double f = 0;
    const char *text = NULL;
    uint32_t count = 9;
    assert_int_equal(json_get_bool(root, "yes", false, &flag, &error), MZT_OK);
    assert_true(flag);
    assert_int_equal(json_get_bool(root, "no", true, &flag, &error), MZT_OK);
    assert_false(flag);
    assert_int_equal(json_get_bool(root, "none", true, &flag, &error), MZT_OK);
    assert_true(flag);
    assert_int_equal(json_get_int(root, "n", 0, 100, 7, &n, &error), MZT_OK);
    assert_int_equal(n, 42);
    assert_int_equal(json_require_int(root, "f", 42, 42, &n, &error), MZT_OK);
    assert_int_equal(n, 42);
    assert_int_equal(json_get_int(root, "absent", 0, 100, -1, &n, &error), MZT_OK);
    assert_int_equal(n, -1);
    assert_int_equal(json_get_double(root, "half", 1, &f, &error), MZT_OK);
    assert_true(f == 0.5);
    assert_int_equal(json_get_double(root, "absent", 1.25, &f, &error), MZT_OK);
    assert_true(f == 1.25);
    assert_int_equal(json_require_string(root, "name", &text, &error), MZT_OK);
    assert_string_equal(text, "silu");
    assert_int_equal(json_require_string(root, "accent", &text, &error), MZT_OK);
    assert_string_equal(text, "\xf0\x9f\x98\x80");
    assert_int_equal(json_get_string(root, "none", "gelu", &text, &error), MZT_OK);
    assert_string_equal(text, "gelu");
    assert_int_equal(json_require_ints(root, "list", 1, 4096, list, 3, &count, &error), MZT_OK);
    assert_int_equal(count, 3);
    assert_true(list[0] == 320 && list[1] == 640 && list[2] == 1280);
    assert_int_equal(json_get_ints(root, "n", 1, 4096, list, 3, &count, &error), MZT_OK);
    assert_true(count == 1 && list[0] == 42);
    assert_int_equal(json_get_ints(root, "none", 1, 4096, list, 3, &count, &error), MZT_OK);
    assert_int_equal(count, 0);
    json_value deep;
    assert_int_equal(json_get_object(root, "absent", &deep, &error), MZT_OK);
    assert_int_equal(json_kind_of(deep), JSON_ABSENT);
    assert_int_equal(json_require_object(root, "deep", &deep, &error), MZT_OK);
    assert_int_equal(json_count(root), 12);
    count = 0;
    for (json_value v = json_first(root); v.item; v = json_next(v))
        count += json_key(v)[0] == 'n';
    assert_int_equal(count, 4);
    json_destroy(doc);
    assert_int_equal(counts.live, 0);
}

#define EXPECT(call, text)                                                                                   \
    do {                                                                                                     \
        mzt_error error_ = {0}, *error = &error_;                                                            \
        assert_int_equal(call, MZT_ERROR_INVALID);                                                           \
        assert_int_equal(error_.status, MZT_ERROR_INVALID);                                                  \
        assert_string_equal(error_.message, text);                                                           \
    } while (0)

static void test_messages(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    json_doc *doc = must_parse(&host, sample);
    json_value root = json_root(doc), value;
    bool flag;
    int64_t n, list[3];
    double f;
    const char *text;
    uint32_t count;
    EXPECT(json_get_bool(root, "n", false, &flag, error), "t.json: n: expected true or false, found 42");
    EXPECT(json_get_int(root, "half", 0, 9, 0, &n, error),
           "t.json: half: expected an integer in 0..9, found 0.5");
    EXPECT(json_get_int(root, "n", 0, 9, 0, &n, error), "t.json: n: expected an integer in 0..9, found 42");
    EXPECT(json_get_int(root, "big", 0, 9, 0, &n, error),
           "t.json: big: expected an integer in 0..9, found 9007199254740992");
    EXPECT(json_get_double(root, "name", 0, &f, error), "t.json: name: expected a number, found \"silu\"");
    EXPECT(json_get_string(root, "yes", "", &text, error), "t.json: yes: expected a string, found true");
    EXPECT(json_get_array(root, "deep", &value, error), "t.json: deep: expected an array, found an object");
    EXPECT(json_get_object(root, "list", &value, error), "t.json: list: expected an object, found an array");
    EXPECT(json_get_ints(root, "mixed", 0, 9, list, 3, &count, error),
           "t.json: mixed[1]: expected an integer in 0..9, found \"x\"");
    EXPECT(json_get_ints(root, "list", 0, 9999, list, 2, &count, error),
           "t.json: list: expected at most 2 integers, found 3");
    EXPECT(json_require_string(root, "absent", &text, error),
           "t.json: absent: expected a string, found nothing");
    EXPECT(json_require_bool(root, "none", &flag, error), "t.json: none: expected true or false, found null");
    EXPECT(json_require_array(json_get(root, "deep"), "x", &value, error),
           "t.json: deep.x: expected an array, found nothing");
    json_value b = json_first(json_get(json_get(root, "deep"), "a"));
    EXPECT(json_get_int(b, "b", 0, 9, 0, &n, error),
           "t.json: deep.a[0].b: expected an integer in 0..9, found -7");
    EXPECT(json_get_int(json_get(root, "list"), "b", 0, 9, 0, &n, error),
           "t.json: list: expected an object, found an array");
    EXPECT(json_error(root, error, MZT_ERROR_INVALID, "unknown %s", "class"), "t.json: unknown class");
    assert_int_equal(json_get_bool(root, "n", false, &flag, NULL), MZT_ERROR_INVALID);
    json_destroy(doc);
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host host = alloc_count_host(&counts);
        json_doc *doc;
        mzt_error error = {0};
        mzt_status status = parse(&host, sample, &doc, &error);
        bool reached = counts.calls >= fail_at;
        assert_int_equal(status, reached ? MZT_ERROR_OUT_OF_MEMORY : MZT_OK);
        json_destroy(doc);
        assert_int_equal(counts.live, 0);
        if (!reached) break;
    }
    json_destroy(NULL);
}

static void test_file(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    const char *path = MZT_BINARY_DIR "/test_json_file.json";
    mzt_error error = {0};
    json_doc *doc;
    assert_int_equal(file_write(&host, path, "{\"a\":1}", 7, &error), MZT_OK);
    assert_int_equal(json_read(&host, path, &doc, &error), MZT_OK);
    assert_int_equal(json_count(json_root(doc)), 1);
    json_destroy(doc);
    remove(path);
    assert_int_equal(json_read(&host, path, &doc, &error), MZT_ERROR_NOT_FOUND);
    assert_null(doc);
}

static void write_sample(json_writer *w) {
    json_write_object(w, NULL);
    json_write_string(w, "text", "a\"b\\c\n\x01\xc3\xa9\xff");
    json_write_string(w, "none", NULL);
    json_write_bool(w, "yes", true);
    json_write_array(w, "numbers");
    json_write_int(w, NULL, INT64_MIN);
    json_write_uint(w, NULL, UINT64_MAX);
    json_write_double(w, NULL, 0.1);
    json_write_double(w, NULL, 1.0 / 3.0);
    json_write_double(w, NULL, 1e300);
    json_write_double(w, NULL, (double)NAN);
    json_write_double(w, NULL, -(double)INFINITY);
    json_write_array(w, NULL);
    json_write_end_array(w);
    json_write_end_array(w);
    json_write_object(w, "empty");
    json_write_end_object(w);
    json_write_null(w, "last");
    json_write_end_object(w);
}

static void test_writer(void **state) {
    (void)state;
    for (long fail_at = 0;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host host = alloc_count_host(&counts);
        json_writer writer = json_writer_make(&host);
        mzt_error error = {0};
        char *text;
        size_t length = 0;
        write_sample(&writer);
        mzt_status status = json_writer_finish(&writer, &text, &length, &error);
        bool reached = fail_at > 0 && counts.calls >= fail_at;
        assert_int_equal(status, reached ? MZT_ERROR_OUT_OF_MEMORY : MZT_OK);
        if (!reached) {
            assert_string_equal(
                text,
                "{\"text\":\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\",\"none\":null,\"yes\":true,"
                "\"numbers\":[-9223372036854775808,18446744073709551615,0.1,0.3333333333333333,"
                "1e+300,null,null,[]],\"empty\":{},\"last\":null}");
            assert_int_equal(length, strlen(text));
            counts.fail_at = 0;
            json_destroy(must_parse(&host, text));
        }
        host_free(&host, text);
        assert_int_equal(counts.live, 0);
        if (fail_at > 0 && !reached) break;
    }
}

/* A host program may have set a locale with a decimal comma. */
static void test_locale(void **state) {
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) {
        print_message("locale de_DE.UTF-8 is not installed: decimal comma not tested\n");
        return;
    }
    base_host host = host_make(NULL);
    json_writer writer = json_writer_make(&host);
    char *text;
    double number = 0;
    json_write_double(&writer, NULL, 0.5);
    assert_int_equal(json_writer_finish(&writer, &text, NULL, NULL), MZT_OK);
    assert_string_equal(text, "0.5");
    json_doc *doc = must_parse(&host, text);
    assert_int_equal(json_as_double(json_root(doc), &number, NULL), MZT_OK);
    assert_true(number == 0.5);
    json_destroy(doc);
    host_free(&host, text);
    setlocale(LC_NUMERIC, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_python_numbers), cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_file),           cmocka_unit_test(test_writer),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
