/* config.c: defaults, the checks of every kind of option, and what is said about bad and unknown variables. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

static char problems[8][1024];
static size_t problem_count;

static void note_problem(const char *line)
{
    assert_true(problem_count < COUNT_OF(problems));
    strncpy(problems[problem_count], line, sizeof *problems - 1);
    problem_count++;
}

/* Loads an environment of one variable; returns the number of problems. */
static size_t load(const char *entry)
{
    char copy[600];
    char *environment[] = {copy, NULL};
    strcpy(copy, entry);
    problem_count = 0;
    pmt_config_load(environment, note_problem);
    return problem_count;
}

static void defaults_are_those_of_the_table(void **state)
{
    char *empty[] = {NULL};
    (void)state;
    problem_count = 0;
    pmt_config_load(empty, note_problem);
    assert_int_equal(problem_count, 0);
    assert_string_equal(pmt_config.dir, ".");
    assert_int_equal(pmt_config.events, PMT_EVENTS_CALLS);
    assert_int_equal(pmt_config.threshold, 1);
    assert_int_equal(pmt_config.sample, 512 << 10);
    assert_int_equal(pmt_config.log_max, 256 << 20);
    assert_string_equal(pmt_config.snapshot, "peak,exit");
    assert_int_equal(pmt_config.summary, PMT_SUMMARY_AUTO);
    assert_int_equal(pmt_config.follow, 1);
    assert_int_equal(pmt_config.all, 0);
    assert_int_equal(pmt_config.verbose, 1);
    assert_int_equal(pmt_config.enable, 1);
}

static void a_missing_environment_is_an_empty_one(void **state)
{
    (void)state;
    problem_count = 0;
    pmt_config_load(NULL, note_problem);
    assert_int_equal(problem_count, 0);
    assert_int_equal(pmt_config.threshold, 1);
}

static void good_values_are_taken(void **state)
{
    (void)state;
    assert_int_equal(load("PMT_THRESHOLD=0"), 0);
    assert_int_equal(pmt_config.threshold, 0);
    assert_int_equal(load("PMT_THRESHOLD=1000000000"), 0);
    assert_int_equal(pmt_config.threshold, 1000000000);
    assert_int_equal(load("PMT_LOG_MAX=4K"), 0);
    assert_int_equal(pmt_config.log_max, 4096);
    assert_int_equal(load("PMT_LOG_MAX=3G"), 0);
    assert_int_equal(pmt_config.log_max, 3LL << 30);
    assert_int_equal(load("PMT_EVENTS=off"), 0);
    assert_int_equal(pmt_config.events, PMT_EVENTS_OFF);
    assert_int_equal(load("PMT_EVENTS=lines"), 0);
    assert_int_equal(pmt_config.events, PMT_EVENTS_LINES);
    assert_int_equal(load("PMT_FOLLOW=0"), 0);
    assert_int_equal(pmt_config.follow, 0);
    assert_int_equal(load("PMT_LINES="), 0);
    assert_int_equal(load("PMT_SNAPSHOT=+256M,80%,signal"), 0);
}

static void bad_values_are_named_and_leave_the_default(void **state)
{
    static const struct {
        const char *entry, *accepted;
    } rows[] = {
        {"PMT_THRESHOLD=abc", "0..1000000000"},
        {"PMT_THRESHOLD=", "0..1000000000"},
        {"PMT_THRESHOLD=-1", "0..1000000000"},
        {"PMT_THRESHOLD=1000000001", "0..1000000000"},
        {"PMT_THRESHOLD=1 ", "0..1000000000"},
        {"PMT_THRESHOLD=1K", "0..1000000000"},
        {"PMT_THRESHOLD=99999999999999999999", "0.."},
        {"PMT_LOG_MAX=1", "4K..1048576G"},
        {"PMT_LOG_MAX=1T", "suffixes K, M, G"},
        {"PMT_LOG_MAX=4KK", "suffixes K, M, G"},
        {"PMT_LOG_MAX=9999999999999999G", "4K.."},
        {"PMT_LOG_MAX=K", "4K.."},
        {"PMT_EVENTS=Calls", "off|python|calls|lines"},
        {"PMT_EVENTS=", "off|python|calls|lines"},
        {"PMT_EVENTS=call", "off|python|calls|lines"},
        {"PMT_EVENTS=off|python", "off|python|calls|lines"},
        {"PMT_FOLLOW=2", "0 or 1"},
        {"PMT_FOLLOW=yes", "0 or 1"},
        {"PMT_FOLLOW=", "0 or 1"},
        {"PMT_DIR=", "a directory"},
        {"PMT_SNAPSHOT=", "peak|exit|signal"},
        {"PMT_SNAPSHOT=peak,", "peak|exit|signal"},
        {"PMT_SNAPSHOT=0%", "N%"},
        {"PMT_SNAPSHOT=101%", "N%"},
        {"PMT_SNAPSHOT=+0", "+SIZE"},
        {"PMT_SNAPSHOT=+", "+SIZE"},
        {"PMT_VERBOSE=4", "0..3"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(load(rows[i].entry), 1);
        assert_non_null(strstr(problems[0], rows[i].entry)); /* variable and value */
        assert_non_null(strstr(problems[0], rows[i].accepted));
        assert_int_equal(pmt_config.threshold, 1);
        assert_int_equal(pmt_config.log_max, 256 << 20);
        assert_int_equal(pmt_config.events, PMT_EVENTS_CALLS);
        assert_int_equal(pmt_config.follow, 1);
        assert_string_equal(pmt_config.dir, ".");
        assert_string_equal(pmt_config.snapshot, "peak,exit");
        assert_int_equal(pmt_config.verbose, 1);
    }
}

static void hostile_values_are_printed_safely(void **state)
{
    char entry[600] = "PMT_EVENTS=";
    (void)state;
    memset(entry + strlen(entry), 'x', 500);
    assert_int_equal(load(entry), 1);
    assert_true(strlen(problems[0]) < 400);
    assert_int_equal(load("PMT_EVENTS=a\nb\x1b[31m"), 1);
    assert_null(strpbrk(problems[0], "\n\x1b"));
}

static void unknown_variables_are_named(void **state)
{
    (void)state;
    assert_int_equal(load("PMT_TRESHOLD=1"), 1);
    assert_non_null(strstr(problems[0], "PMT_TRESHOLD"));
    assert_non_null(strstr(problems[0], "PMT_THRESHOLD"));
    assert_int_equal(load("PMT_=1"), 1);
    assert_int_equal(load("PMT_threshold=1"), 1);
}

static void foreign_and_internal_variables_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(load("PATH=/bin"), 0);
    assert_int_equal(load("XPMT_THRESHOLD=abc"), 0);
    assert_int_equal(load("PMT_ROOT=12"), 0);
    assert_int_equal(load("PMT_PROC_ROOT=/x"), 0);
    assert_int_equal(load("PMT_TEST_RSS=/x"), 0);
    assert_int_equal(load("PMT_TEST_anything=1"), 0);
}

static void every_bad_variable_gets_a_line(void **state)
{
    char bad[] = "PMT_THRESHOLD=x", foreign[] = "HOME=/", good[] = "PMT_EVENTS=python", flag[] = "PMT_FOLLOW=x";
    char *environment[] = {bad, foreign, good, flag, NULL};
    (void)state;
    problem_count = 0;
    pmt_config_load(environment, note_problem);
    assert_int_equal(problem_count, 2);
    assert_int_equal(pmt_config.events, PMT_EVENTS_PYTHON);
}

static void variables_are_found_by_their_whole_name(void **state)
{
    char longer[] = "PMT_DIRECTORY=a", itself[] = "PMT_DIR=b", shorter[] = "PMT_DI=c";
    char *environment[] = {longer, itself, shorter, NULL};
    (void)state;
    assert_string_equal(pmt_config_find(environment, "PMT_DIR"), "b");
    assert_null(pmt_config_find(environment, "PMT_D"));
    assert_null(pmt_config_find(NULL, "PMT_D"));
}

/* NAME=value of every row that is not at its default. */
static void what_is_in_effect_can_be_told(void **state)
{
    char events[] = "PMT_EVENTS=python", sample[] = "PMT_SAMPLE=1M", dir[] = "PMT_DIR=/a", follow[] = "PMT_FOLLOW=0",
         depth[] = "PMT_DEPTH=64", summary[] = "PMT_SUMMARY=nonsense";
    char *environment[] = {events, sample, dir, follow, depth, summary, NULL};
    char told[1000] = "", value[100];
    struct pmt_text text;
    bool is_initial;
    (void)state;
    problem_count = 0;
    pmt_config_load(environment, note_problem);
    pmt_text_init(&text, value, sizeof value);
    const char *name;
    for (size_t row = 0; (name = pmt_config_describe(row, &text, &is_initial)); row++) {
        if (!is_initial)
            snprintf(told + strlen(told), sizeof told - strlen(told), "%s=%s ", name, value);
        pmt_text_init(&text, value, sizeof value);
    }
    assert_string_equal(told, "PMT_DIR=/a PMT_EVENTS=python PMT_SAMPLE=1048576 PMT_FOLLOW=0 ");
}

static void snapshots_are_asked_for_in_words(void **state)
{
    static const struct {
        char entry[60];
        struct pmt_when when;
    } cases[] = {
        {"PMT_SNAPSHOT=peak,exit", {.has_exit = true}},
        {"PMT_SNAPSHOT=peak", {.has_exit = false}},
        {"PMT_SNAPSHOT=+256M", {.growth = 256 << 20}},
        {"PMT_SNAPSHOT=exit,+2K,+1K,+3K", {.has_exit = true, .growth = 1024}},
        {"PMT_SNAPSHOT=80%,peak", {.has_unbuilt = true}},
        {"PMT_SNAPSHOT=signal,exit", {.has_exit = true, .has_unbuilt = true}},
        {"PMT_SNAPSHOT=exi", {.has_exit = true}}, /* not accepted: the default */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static char entry[60];
        char *environment[] = {entry, NULL};
        strcpy(entry, cases[i].entry);
        problem_count = 0;
        pmt_config_load(environment, note_problem);
        struct pmt_when when = pmt_config_when();
        assert_int_equal(when.has_exit, cases[i].when.has_exit);
        assert_int_equal(when.has_unbuilt, cases[i].when.has_unbuilt);
        assert_int_equal(when.growth, cases[i].when.growth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(a_missing_environment_is_an_empty_one),
        cmocka_unit_test(good_values_are_taken),
        cmocka_unit_test(bad_values_are_named_and_leave_the_default),
        cmocka_unit_test(hostile_values_are_printed_safely),
        cmocka_unit_test(unknown_variables_are_named),
        cmocka_unit_test(foreign_and_internal_variables_are_left_alone),
        cmocka_unit_test(every_bad_variable_gets_a_line),
        cmocka_unit_test(what_is_in_effect_can_be_told),
        cmocka_unit_test(snapshots_are_asked_for_in_words),
        cmocka_unit_test(variables_are_found_by_their_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
