/* Weighted prompts: the notation rule by rule, and the division into chunks. The runs were checked against
 * the web UI's behaviour; weights are compared as doubles, exactly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "text/clean.h"
#include "text/prompt.h"
#include "text/prompt_tags.h"

static base_host host;
static mzt_error error;

typedef struct expected_run {
    const char *text; /* NULL: a BREAK; the list ends at weight 0 */
    double weight;
} expected_run;

static void check_runs(const char *prompt, const expected_run *expected) {
    prompt_runs runs;
    if (prompt_parse(&host, prompt, strlen(prompt), &runs, &error) < 0)
        fail_msg("%s: %s", prompt, error.message);
    uint32_t i = 0;
    for (; expected[i].weight != 0; i++) {
        if (i >= runs.count) fail_msg("%s: only %u runs", prompt, runs.count);
        const prompt_run *run = &runs.runs[i];
        if (run->is_break != !expected[i].text) fail_msg("%s: run %u: BREAK or not", prompt, i);
        if (run->is_break) continue;
        if (run->length != strlen(expected[i].text) || memcmp(run->text, expected[i].text, run->length) != 0)
            fail_msg("%s: run %u is \"%.*s\"", prompt, i, (int)run->length, run->text);
        if (run->weight != expected[i].weight) fail_msg("%s: run %u weighs %.17g", prompt, i, run->weight);
    }
    if (i != runs.count) fail_msg("%s: %u runs, expected %u", prompt, runs.count, i);
    prompt_runs_free(&host, &runs);
}

#define RUNS(...) ((const expected_run[]){__VA_ARGS__, {NULL, 0}})

static void test_weights(void **state) {
    (void)state;
    const double down = 1 / 1.1;
    check_runs("normal text", RUNS({"normal text", 1}));
    check_runs("", RUNS({"", 1}));
    check_runs("an (important) word", RUNS({"an ", 1}, {"important", 1.1}, {" word", 1}));
    check_runs("an [unimportant] word", RUNS({"an ", 1}, {"unimportant", down}, {" word", 1}));
    check_runs("(house:1.3)", RUNS({"house", 1.3}));
    check_runs("(house: 1.3 )", RUNS({"house", 1.3}));
    check_runs("(house:.5)(tree:2.)", RUNS({"house", 0.5}, {"tree", 2}));
    check_runs("(house:-1)", RUNS({"house", -1}));
    check_runs("(house:+1.25)", RUNS({"house", 1.25}));
    check_runs("(unnecessary)(parens)", RUNS({"unnecessaryparens", 1.1}));
    check_runs("((a))", RUNS({"a", 1.1 * 1.1}));
    check_runs("[[a]]", RUNS({"a", down * down}));
    check_runs("([a])", RUNS({"a", down * 1.1}));
    check_runs("(a (b:1.2) c)", RUNS({"a ", 1.1}, {"b", 1.2 * 1.1}, {" c", 1.1}));
    check_runs("(a:1.1) b", RUNS({"a", 1.1}, {" b", 1}));
    check_runs("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
               RUNS({"a ", 1}, {"house", 1.3 * 1.1 * 1.1}, {" ", 1.1}, {"on", down * 1.1}, {" a ", 1.1},
                    {"hill", 0.5 * 1.1}, {", sun, ", 1.1}, {"sky", 1.1 * 1.1 * 1.1 * 1.1}, {".", 1.1}));
    check_runs("()", RUNS({"", 1}));
    check_runs("(:1.5)", RUNS({"", 1}));
}

static void test_what_is_text(void **state) {
    (void)state;
    const double down = 1 / 1.1;
    check_runs("\\(literal\\]", RUNS({"(literal]", 1}));
    check_runs("(a\\)b)", RUNS({"a)b", 1.1}));
    check_runs("a\\\\(b)", RUNS({"a\\", 1}, {"b", 1.1}));
    check_runs("a\\b\\", RUNS({"ab", 1}));
    check_runs("a) b] c", RUNS({"a) b] c", 1}));
    check_runs("(a b", RUNS({"a b", 1.1}));
    check_runs("x [a (b", RUNS({"x ", 1}, {"a ", down}, {"b", 1.1 * down}));
    check_runs("(a [b) c]", RUNS({"a ", 1.1}, {"b", 1.1 * down}, {" c", down}));
    check_runs("a:1.3) b", RUNS({"a:1.3) b", 1}));
    check_runs("(a:b)", RUNS({"a:b", 1.1}));
    check_runs("(a:1.2.3)", RUNS({"a:1.2.3", 1.1}));
    check_runs("(a:.)", RUNS({"a:.", 1.1}));
    check_runs("(a:1e3)", RUNS({"a:1e3", 1.1}));
    check_runs("[a:0.5]", RUNS({"a:0.5", down}));
    check_runs("(a:1.2", RUNS({"a:1.2", 1.1}));
    check_runs("5:30, 16:9", RUNS({"5:30, 16:9", 1}));
}

static void test_break(void **state) {
    (void)state;
    check_runs("a BREAK b", RUNS({"a", 1}, {NULL, 1}, {"b", 1}));
    check_runs("a\n BREAK\tBREAK b", RUNS({"a", 1}, {NULL, 1}, {"", 1}, {NULL, 1}, {"b", 1}));
    check_runs("BREAK", RUNS({"", 1}, {NULL, 1}, {"", 1}));
    check_runs("BREAKs aBREAK BREAK_ break", RUNS({"BREAKs aBREAK BREAK_ break", 1}));
    check_runs("\303\251BREAK", RUNS({"\303\251BREAK", 1}));
    check_runs("a\343\200\200BREAK,b", RUNS({"a", 1}, {NULL, 1}, {",b", 1}));
    check_runs("(a BREAK b:1.5) c", RUNS({"a", 1.5}, {NULL, 1.5}, {"b", 1.5}, {" c", 1}));
    check_runs("x:BREAK(y)", RUNS({"x:", 1}, {NULL, 1}, {"", 1}, {"y", 1.1}));
}

static void check_invalid(const char *prompt, size_t length) {
    prompt_runs runs;
    assert_int_equal(prompt_parse(&host, prompt, length, &runs, &error), MZT_ERROR_INVALID);
    prompt_runs_free(&host, &runs);
}

static void test_limits(void **state) {
    (void)state;
    check_invalid("(a:1001)", 8);
    check_invalid("((a:900):2)", 11);
    check_invalid("(a:99999999999999999999999999)", 30);
    char *text = malloc(TEXT_LIMIT + 1);
    assert_non_null(text);
    memset(text, '(', TEXT_LIMIT + 1);
    check_invalid(text, TEXT_LIMIT + 1);
    check_invalid(text, PROMPT_DEPTH_LIMIT + 1);
    prompt_runs runs;
    assert_int_equal(prompt_parse(&host, text, PROMPT_DEPTH_LIMIT, &runs, &error), MZT_OK);
    prompt_runs_free(&host, &runs);
    memset(text, '9', TEXT_LIMIT); /* a number of 65,000 digits */
    memcpy(text, "(a:", 3);
    text[TEXT_LIMIT - 1] = ')';
    check_invalid(text, TEXT_LIMIT);
    uint32_t random = 1; /* any bytes, many of them brackets: no crash, and no more text than there was */
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < 40; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = (random >> 30) ? "()[]:\\1.BREAK "[(random >> 16) % 14] : (char)(random >> 16);
        }
        if (prompt_parse(&host, text, 40, &runs, &error) >= 0) {
            size_t total = 0;
            for (uint32_t i = 0; i < runs.count; i++)
                total += runs.runs[i].length;
            assert_true(total <= 40);
        }
        prompt_runs_free(&host, &runs);
    }
    free(text);
}

/* -------------------------------------------------------------------------------------------------------
 * chunks -- */

/* One letter a word, so one token a word: a..h are ids 10..17, the comma 3. */
static const char vocab[] =
    "{\"<b>\":0,\"<e>\":1,\"<p>\":2,\",</w>\":3,\"a</w>\":10,\"b</w>\":11,\"c</w>\":12}";

static bpe *letters(const base_host *from) {
    bpe *tokenizer = NULL;
    const bpe_options options = {
        .begin = "<b>", .end = "<e>", .padding = "<p>", .max_length = 77, .unknown = "<p>"};
    (void)bpe_create(from, "letters", vocab, strlen(vocab), "", 0, &options, &tokenizer, &error);
    return tokenizer;
}

/* `count` times "word ", appended. */
static char *repeat(char *text, const char *word, int count) {
    for (int i = 0; i < count; i++)
        text += sprintf(text, "%s ", word);
    return text;
}

/* A chunk's tokens as letters: begin <, end >, padding -, comma and a b c. */
static void check_chunk(const prompt_tokens *tokens, uint32_t chunk, const char *expected) {
    char got[128];
    assert_true(chunk < tokens->chunk_count && tokens->chunk_length < sizeof got);
    for (uint32_t i = 0; i < tokens->chunk_length; i++) {
        uint32_t id = tokens->ids[chunk * tokens->chunk_length + i];
        got[i] = id < 4 ? "<>-,"[id] : (char)('a' + id - 10);
    }
    got[tokens->chunk_length] = '\0';
    assert_string_equal(got, expected);
}

static void encode(const bpe *tokenizer, const char *text, const prompt_options *options,
                   prompt_tokens *tokens) {
    if (prompt_encode(tokenizer, text, options, tokens, &error) < 0) fail_msg("%s", error.message);
}

static void test_short_chunks(void **state) {
    (void)state;
    bpe *tokenizer = letters(&host);
    prompt_tokens tokens;
    const prompt_options eight = {.chunk_length = 8};
    encode(tokenizer, "", &eight, &tokens);
    assert_int_equal(tokens.chunk_count, 1);
    assert_int_equal(tokens.used, 0);
    check_chunk(&tokens, 0, "<>------");
    assert_int_equal(prompt_tokens_extend(tokenizer, &tokens, 4, &error), MZT_OK);
    assert_int_equal(tokens.chunk_count, 4);
    check_chunk(&tokens, 3, "<>------");
    prompt_tokens_free(tokenizer, &tokens);

    encode(tokenizer, "a b c a b c", &eight, &tokens); /* exactly full: one chunk */
    assert_int_equal(tokens.chunk_count, 1);
    check_chunk(&tokens, 0, "<abcabc>");
    prompt_tokens_free(tokenizer, &tokens);

    encode(tokenizer, "a, b c a b c", &eight, &tokens); /* full: what follows the comma moves */
    assert_int_equal(tokens.chunk_count, 2);
    check_chunk(&tokens, 0, "<a,>----");
    check_chunk(&tokens, 1, "<bcabc>-");
    assert_int_equal(tokens.used, 6 + 5);
    prompt_tokens_free(tokenizer, &tokens);

    const prompt_options no_search = {.chunk_length = 8, .no_comma_search = true};
    encode(tokenizer, "a, b c a b c", &no_search, &tokens);
    check_chunk(&tokens, 0, "<a,bcab>");
    check_chunk(&tokens, 1, "<c>-----");
    prompt_tokens_free(tokenizer, &tokens);

    encode(tokenizer, "a b c a b c, a", &eight,
           &tokens); /* a comma that comes first in the next chunk stays there */
    check_chunk(&tokens, 0, "<abcabc>");
    check_chunk(&tokens, 1, "<,a>----");
    prompt_tokens_free(tokenizer, &tokens);

    encode(tokenizer, "BREAK a BREAK b c", &eight, &tokens);
    assert_int_equal(tokens.chunk_count, 3);
    check_chunk(&tokens, 0, "<>------");
    check_chunk(&tokens, 1, "<a>-----");
    check_chunk(&tokens, 2, "<bc>----");
    assert_int_equal(tokens.used, 14);
    prompt_tokens_free(tokenizer, &tokens);

    const prompt_options plain = {.chunk_length = 8, .plain = true};
    encode(tokenizer, "(a:2)", &plain, &tokens);
    check_chunk(&tokens, 0, "<-a--->-"); /* brackets, colon, digit: the unknown token of this vocabulary */
    prompt_tokens_free(tokenizer, &tokens);
    assert_int_equal(prompt_encode(tokenizer, "a", &(prompt_options){.chunk_length = 2}, &tokens, &error),
                     MZT_ERROR_INVALID);
    bpe_destroy(tokenizer);
}

/* The reach of the search for a comma: 20 tokens, in chunks of 77. Weights move with their tokens. */
static void test_comma_reach(void **state) {
    (void)state;
    bpe *tokenizer = letters(&host);
    for (int behind = 18; behind <= 21; behind++) {
        char text[1024], *end = text;
        end = repeat(end, "a", 74 - behind);
        end = repeat(end, ",", 1);
        repeat(end, "(b:1.5)", behind + 1);
        prompt_tokens tokens;
        encode(tokenizer, text, NULL, &tokens);
        assert_int_equal(tokens.chunk_count, 2);
        bool moved = behind < 20; /* the full chunk ends with the comma and `behind` more tokens */
        uint32_t first = moved ? (uint32_t)behind + 1 : 1;
        for (uint32_t i = 0; i < 77; i++) {
            assert_int_equal(tokens.ids[77 + i], i == 0 ? 0 : i <= first ? 11 : i == first + 1 ? 1 : 2);
            assert_true(tokens.weights[77 + i] == (i >= 1 && i <= first ? 1.5f : 1.0f));
        }
        uint32_t kept = moved ? 75 - (uint32_t)behind : 75;
        assert_int_equal(tokens.ids[kept], moved ? 3 : 11);
        assert_int_equal(tokens.ids[kept + 1], 1);
        assert_true(tokens.weights[kept + 1] == 1.0f);
        prompt_tokens_free(tokenizer, &tokens);
    }
    bpe_destroy(tokenizer);
}

static void test_weigh(void **state) {
    (void)state;
    float hidden[6] = {1, 2, 3, 4, 5, 6};
    const float ones[3] = {1, 1, 1}, weights[3] = {1, 2, 0.5f}, zeros[3] = {0, 0, 0};
    prompt_weigh(hidden, ones, 3, 2);
    assert_true(hidden[3] == 4);
    prompt_weigh(hidden, weights, 3, 2); /* rows 1 2 | 6 8 | 2.5 3: sum 22.5, was 21 */
    const double expected[6] = {1, 2, 6, 8, 2.5, 3};
    for (int i = 0; i < 6; i++)
        assert_true(fabs(hidden[i] - expected[i] * 21 / 22.5) < 1e-5);
    prompt_weigh(hidden, zeros, 3, 2);
    for (int i = 0; i < 6; i++)
        assert_true(hidden[i] == 0);
}

/* Tags name files and are left out; what only looks like one is text. */
static void test_tags(void **state) {
    (void)state;
    static const struct {
        const char *text, *rest, *name, *scale; /* of the first tag; name NULL: there is none */
    } cases[] = {
        {"a cat <lora:ink:0.7>, blue", "a cat , blue", "ink", "0.7"},
        {"<lora:ink><lyco:rain:-1>", "", "ink", ""},
        {"a <b <lora:x y:1:2> c", "a <b  c", "x y", "1:2"},
        {"a <lora:> <lora:ink", "a <lora:> <lora:ink", NULL, NULL},
        {"a <lora:in<lora:k:1>", "a <lora:in", "k", "1"},
        {"<hypernet:a:1> (b:1.2)", "<hypernet:a:1> (b:1.2)", NULL, NULL},
        {"", "", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prompt_tag tag;
        char *rest = prompt_without_tags(&host, cases[i].text);
        assert_non_null(rest);
        assert_string_equal(rest, cases[i].rest);
        host_free(&host, rest);
        assert_int_equal(prompt_tag_find(cases[i].text, &tag), cases[i].name != NULL);
        if (!cases[i].name) continue;
        assert_int_equal(tag.name_length, strlen(cases[i].name));
        assert_memory_equal(tag.name, cases[i].name, tag.name_length);
        assert_int_equal(tag.scale_length, strlen(cases[i].scale));
        assert_memory_equal(tag.scale, cases[i].scale, tag.scale_length);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host counting = alloc_count_host(&counts);
        bpe *tokenizer = letters(&counting);
        mzt_status status = tokenizer ? MZT_OK : error.status;
        if (tokenizer) {
            prompt_tokens tokens;
            status = prompt_encode(tokenizer, "(a) b, c BREAK [c] BREAK a BREAK b", NULL, &tokens, &error);
            if (status >= 0) status = prompt_tokens_extend(tokenizer, &tokens, 9, &error);
            prompt_tokens_free(tokenizer, &tokens);
        }
        bpe_destroy(tokenizer);
        assert_int_equal(counts.live, 0);
        if (counts.calls < fail_at) {
            assert_int_equal(status, MZT_OK);
            return;
        }
        assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
    }
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),      cmocka_unit_test(test_what_is_text),
        cmocka_unit_test(test_break),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_short_chunks), cmocka_unit_test(test_comma_reach),
        cmocka_unit_test(test_weigh),        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
