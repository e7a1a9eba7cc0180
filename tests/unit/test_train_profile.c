/* The profile of a training run: its tables from made-up times of a small plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "train/profile.h"

typedef struct said {
    char text[8192];
} said;

static void add_line(void *user, const char *text) {
    said *s = user;
    const size_t length = strlen(s->text);
    snprintf(s->text + length, sizeof s->text - length, "%s\n", text);
}

static void test_tables(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    char strings[] = "\0first\0second";
    plan_dispatch dispatches[2] = {{.op = OP_LINEAR, .node = 1, .flops = 3000000},
                                   {.op = OP_UNARY, .node = 7}};
    dispatches[0].params.linear = (linear_params){.m = 10, .n = 300, .k0 = 500};
    plan p = {.host = &host,
              .dispatches = dispatches,
              .dispatch_count = 2,
              .strings = strings,
              .string_bytes = sizeof strings};
    train_profile profile;
    said s = {""};
    assert_int_equal(train_profile_create(&host, &p, &profile, &error), MZT_OK);
    train_profile_report(&profile, 0, add_line, &s);
    assert_string_equal(s.text, ""); /* no step, nothing to say */
    profile.steps = 2;
    profile.seconds[0] = 0.006; /* 3 ms a step: 1 GFLOP/s, half of the peak */
    profile.seconds[1] = 0.002;
    profile.parts[PROFILE_WAIT] = 0.002;
    profile.parts[PROFILE_STEP] = 0.008;
    train_profile_report(&profile, 2e9, add_line, &s);
    print_message("%s", s.text);
    assert_non_null(strstr(s.text, "profile of 2 steps"));
    assert_non_null(strstr(s.text, "waiting for batches                               1.00 ms  20.0%"));
    assert_non_null(strstr(s.text,
                           "    1 linear                                      3.00 ms  75.0%     0.003 GFLOP"
                           "     1.0 GFLOP/s   50.0%"));
    assert_non_null(strstr(s.text, "    2 in all                                      4.00 ms 100.0%"));
    assert_non_null(strstr(s.text, "linear 10x500x300"));
    assert_non_null(strstr(s.text, "unary second"));
    train_profile_destroy(&profile);
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
