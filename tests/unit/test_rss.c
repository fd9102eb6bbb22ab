/* rss.c: what the kernel says, a fake /proc, and readings replayed from a file. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[] = "/tmp/pmt-unit-rss-XXXXXX";

static const char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_root(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) && mkdir(in_root("self"), 0700) == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
    static const char *const files[] = {"self/statm", "self/status", "replay"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        unlink(in_root(files[i]));
    return rmdir(in_root("self")) || rmdir(root);
}

/* System calls, past a sanitizer that would account for the pages too. The kernel may add a few pages of its own. */
static void pages_that_come_and_go_are_seen(void **state)
{
    size_t size = 64 << 20;
    (void)state;
    pmt_rss_start(NULL, NULL);
    int64_t before = pmt_rss_now(true);
    long block = syscall(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    assert_true(block > 0);
    int64_t with = pmt_rss_now(true), peak = pmt_rss_peak();
    syscall(SYS_munmap, block, size);
    int64_t after = pmt_rss_now(true);
    assert_true(before > 0 && before % pmt_page_size == 0);
    assert_in_range(with - before, size, size + (2 << 20));
    assert_in_range(peak, with, with + (16 << 20));
    assert_in_range(with - after, size - (2 << 20), size + (2 << 20));
    pmt_rss_forget();
}

static void another_proc_is_read_if_asked(void **state)
{
    (void)state;
    write_file("self/statm", "1000 25 7 1 0 3 0\n");
    write_file("self/status", "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  123 kB\nVmRSS:\t 100 kB\n");
    pmt_rss_start(root, NULL);
    assert_int_equal(pmt_rss_now(true), 25 * pmt_page_size);
    assert_int_equal(pmt_rss_peak(), 123 * 1024);
    write_file("self/statm", "1000 26 7 1 0 3 0\n"); /* the same file: seen through the kept descriptor */
    assert_int_equal(pmt_rss_now(true), 26 * pmt_page_size);
    pmt_rss_forget();
}

static void a_missing_proc_is_an_error(void **state)
{
    (void)state;
    unlink(in_root("self/statm"));
    unlink(in_root("self/status"));
    pmt_rss_start(root, NULL);
    assert_int_equal(pmt_rss_now(true), -ENOENT);
    assert_int_equal(pmt_rss_peak(), -ENOENT);
    write_file("self/status", "Name:\tx\n");
    assert_int_equal(pmt_rss_peak(), -ENOENT);
    write_file("self/statm", "");
    assert_int_equal(pmt_rss_now(true), -EIO);
    pmt_rss_forget();
}

static void a_descriptor_closed_by_the_program_is_opened_again(void **state)
{
    (void)state;
    write_file("self/statm", "1000 25 7 1 0 3 0\n");
    pmt_rss_start(root, NULL);
    assert_int_equal(pmt_rss_now(true), 25 * pmt_page_size);
    for (int fd = 3; fd < 8192; fd++)
        close(fd);
    assert_int_equal(pmt_rss_now(true), 25 * pmt_page_size);
    pmt_rss_forget();
}

/* Last, since a replay stays for the life of the process. */
static void readings_are_replayed_and_the_last_repeats(void **state)
{
    static const int64_t expected[] = {8192, 4096, 1099511627776, 12288, 12288, 12288};
    (void)state;
    write_file("replay", "8192\n4096\n1099511627776\n12288\n");
    pmt_rss_start(NULL, in_root("replay"));
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(pmt_rss_now(true), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_come_and_go_are_seen),
        cmocka_unit_test(another_proc_is_read_if_asked),
        cmocka_unit_test(a_missing_proc_is_an_error),
        cmocka_unit_test(a_descriptor_closed_by_the_program_is_opened_again),
        cmocka_unit_test(readings_are_replayed_and_the_last_repeats),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
