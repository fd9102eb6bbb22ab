/* keep.c: descriptors out of the application's way, and noticed when the application closed or replaced them. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char path[] = "/tmp/pmt-unit-keep-XXXXXX";

static int write_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "0123456789", 10) != 10)
        return -1;
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int lowest_free(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static void kept_files_are_high_and_close_on_exec(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    int before = lowest_free();
    (void)state;
    assert_int_equal(pmt_keep_open(&kept, path, O_RDONLY), 0);
    assert_true(kept.fd >= 100);
    assert_true(fcntl(kept.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(lowest_free(), before);
    assert_true(pmt_keep_is_ours(&kept));
    pmt_keep_close(&kept);
    assert_int_equal(kept.fd, -1);
    assert_false(pmt_keep_is_ours(&kept));
}

static void a_closed_one_is_noticed(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    (void)state;
    assert_int_equal(pmt_keep_open(&kept, path, O_RDONLY), 0);
    close(kept.fd);
    assert_false(pmt_keep_is_ours(&kept));
    pmt_keep_close(&kept);
}

static void one_replaced_by_the_application_stays_the_applications(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    (void)state;
    assert_int_equal(pmt_keep_open(&kept, path, O_RDONLY), 0);
    char other[] = "/tmp/pmt-unit-keep-XXXXXX"; /* on the same device */
    int fd = mkstemp(other), number = kept.fd;
    unlink(other);
    assert_int_equal(dup2(fd, number), number);
    close(fd);
    assert_false(pmt_keep_is_ours(&kept));
    pmt_keep_close(&kept);
    assert_int_not_equal(fcntl(number, F_GETFD), -1); /* still open: it is not ours to close */
    close(number);
}

static void errors_are_returned(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    (void)state;
    errno = 77;
    assert_int_equal(pmt_keep_open(&kept, "/nowhere/at/all", O_RDONLY), -ENOENT);
    assert_int_equal(kept.fd, -1);
    assert_int_equal(pmt_keep_open(&kept, path, O_WRONLY | O_CREAT | O_EXCL), -EEXIST);
    assert_int_equal(errno, 77);
}

static void without_a_free_descriptor_it_is_an_error(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    struct rlimit before, none;
    int lowest = lowest_free();
    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)lowest, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    int error = pmt_keep_open(&kept, path, O_RDONLY);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(error, -EMFILE);
    assert_int_equal(kept.fd, -1);
    assert_int_equal(lowest_free(), lowest);
}

/* There is one to open it with, and none to move it to, unless the limit may be raised. */
static void a_file_that_cannot_be_kept_is_not_made(void **state)
{
    struct pmt_kept kept = PMT_KEPT_NONE;
    struct rlimit before, one;
    char fresh[sizeof path + 4];
    (void)state;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    getrlimit(RLIMIT_NOFILE, &before);
    one = (struct rlimit){(rlim_t)lowest_free() + 1, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &one);
    int error = pmt_keep_open(&kept, fresh, O_WRONLY | O_CREAT | O_EXCL);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(error == 0 || error == -EMFILE);
    assert_int_equal(access(fresh, F_OK), error == 0 ? 0 : -1);
    pmt_keep_close(&kept);
    unlink(fresh);
}

/* Where descriptors are few, one that is modest does not stay. */
static void a_modest_one_stays_only_out_of_reach(void **state)
{
    struct pmt_kept kept = {.fd = -1, .is_modest = true};
    struct rlimit before, few;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){500, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(pmt_keep_open(&kept, path, O_RDONLY), 0);
        bool is_within_reach = kept.fd < 500;
        pmt_keep_done(&kept);
        assert_int_equal(kept.fd < 0, is_within_reach);
        pmt_keep_close(&kept);
    }
    assert_int_equal(pmt_keep_open(&kept, path, O_RDONLY), 0);
    pmt_keep_pin(&kept);
    pmt_keep_done(&kept);
    assert_true(kept.fd >= 0);
    pmt_keep_close(&kept);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void files_are_read_to_the_buffers_end(void **state)
{
    char buffer[11], small[5];
    (void)state;
    assert_int_equal(pmt_read_file(path, buffer, sizeof buffer), 10);
    assert_string_equal(buffer, "0123456789");
    assert_int_equal(pmt_read_file(path, small, sizeof small), 4);
    assert_string_equal(small, "0123");
    assert_int_equal(pmt_read_file("/nowhere/at/all", buffer, sizeof buffer), -ENOENT);
    assert_true(pmt_read_file("/", buffer, sizeof buffer) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_files_are_high_and_close_on_exec),
        cmocka_unit_test(a_closed_one_is_noticed),
        cmocka_unit_test(one_replaced_by_the_application_stays_the_applications),
        cmocka_unit_test(errors_are_returned),
        cmocka_unit_test(without_a_free_descriptor_it_is_an_error),
        cmocka_unit_test(a_file_that_cannot_be_kept_is_not_made),
        cmocka_unit_test(a_modest_one_stays_only_out_of_reach),
        cmocka_unit_test(files_are_read_to_the_buffers_end),
    };
    return cmocka_run_group_tests(tests, write_file, remove_file);
}
