/* say.c: lines go to the stderr of the start and nowhere else, and raise no signal. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr, pipe_ends[2];

/* stderr becomes a pipe that this test reads. */
static int redirect(void **state)
{
    (void)state;
    saved_stderr = dup(2);
    if (pipe2(pipe_ends, O_NONBLOCK) != 0 || dup2(pipe_ends[1], 2) != 2)
        return -1;
    pmt_config.verbose = PMT_VERBOSE_PROBLEMS;
    pmt_say_start();
    return 0;
}

static int restore(void **state)
{
    (void)state;
    dup2(saved_stderr, 2);
    close(saved_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

static const char *heard(void)
{
    static char text[4096];
    ssize_t size = read(pipe_ends[0], text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void a_line_has_its_mark_and_end(void **state)
{
    (void)state;
    errno = 77;
    pmt_say(PMT_VERBOSE_PROBLEMS, "cannot write %s: %d", "x.log", 5);
    assert_int_equal(errno, 77);
    assert_string_equal(heard(), "pmt: cannot write x.log: 5\n");
    assert_false(pmt_say_is_terminal());
}

static void what_was_not_asked_for_is_not_said(void **state)
{
    (void)state;
    pmt_say(PMT_VERBOSE_DECISIONS, "details");
    pmt_config.verbose = PMT_VERBOSE_SILENT;
    pmt_say(PMT_VERBOSE_PROBLEMS, "problem");
    assert_string_equal(heard(), "");
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    char word[3000];
    (void)state;
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    pmt_say(PMT_VERBOSE_PROBLEMS, "%s", word);
    const char *text = heard();
    assert_true(strlen(text) > 1000 && strlen(text) < sizeof word);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_replaced_stderr_is_left_alone(void **state)
{
    int other[2];
    (void)state;
    assert_int_equal(pipe2(other, O_NONBLOCK), 0);
    dup2(other[1], 2);
    pmt_say(PMT_VERBOSE_PROBLEMS, "not for you");
    char byte;
    assert_int_equal(read(other[0], &byte, 1), -1);
    assert_string_equal(heard(), "");
    close(other[0]);
    close(other[1]);
}

static int signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void a_closed_pipe_raises_no_signal(void **state)
{
    sigset_t before, after;
    (void)state;
    signals = 0;
    signal(SIGPIPE, count_signal);
    close(pipe_ends[0]);
    sigprocmask(SIG_SETMASK, NULL, &before);
    pmt_say(PMT_VERBOSE_PROBLEMS, "nobody listens");
    sigprocmask(SIG_SETMASK, NULL, &after);
    signal(SIGPIPE, SIG_DFL);
    pipe_ends[0] = dup(0);
    assert_int_equal(signals, 0);
    for (int i = 1; i < 32; i++)
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_its_mark_and_end, redirect, restore),
        cmocka_unit_test_setup_teardown(what_was_not_asked_for_is_not_said, redirect, restore),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_ends, redirect, restore),
        cmocka_unit_test_setup_teardown(a_replaced_stderr_is_left_alone, redirect, restore),
        cmocka_unit_test_setup_teardown(a_closed_pipe_raises_no_signal, redirect, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
