/* site_code.c against a model: code objects that come, go and come back at the same address, by the million, and while
 * other threads look theirs up. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "site.h"

#define BASE ((uintptr_t)0x7f0000000000)
#define FUNCTIONS 1000u

static const void *code_at(size_t number)
{
    return (const void *)(BASE + number * 16);
}

/* All functions that are named in these tests exist. */
static int enter_functions(void **state)
{
    (void)state;
    uint32_t name = pmt_site_string("f", 1);
    for (uint32_t i = 0; i < FUNCTIONS; i++)
        if (pmt_site_function(name, name, (int32_t)i) != i)
            return -1;
    return 0;
}

static void check_unknown(const void *code)
{
    assert_int_equal(pmt_site_code_function(code), PMT_NO_FUNCTION);
}

static void a_code_object_is_known_while_it_lives(void **state)
{
    (void)state;
    check_unknown(code_at(1));
    check_unknown(NULL);
    pmt_site_code_forget(code_at(1));
    assert_true(pmt_site_code_enter(code_at(1), 0));
    assert_true(pmt_site_code_enter(code_at(2), 7));
    assert_int_equal(pmt_site_code_function(code_at(1)), 0);
    assert_int_equal(pmt_site_code_function(code_at(2)), 7);
    check_unknown(NULL);
    assert_true(pmt_site_code_enter(code_at(2), 8)); /* it was forgotten by nobody, but is another one now */
    assert_int_equal(pmt_site_code_function(code_at(2)), 8);
    pmt_site_code_forget(code_at(1));
    check_unknown(code_at(1));
    assert_int_equal(pmt_site_code_function(code_at(2)), 8);
    pmt_site_code_forget(code_at(2));
    check_unknown(code_at(2));
    assert_true(pmt_site_is_valid());
}

static void what_cannot_be_a_code_object_is_not_entered(void **state)
{
    (void)state;
    assert_false(pmt_site_code_enter(NULL, 1));
    assert_false(pmt_site_code_enter((const void *)(BASE + 4), 1));
    assert_false(pmt_site_code_enter((const void *)((uintptr_t)1 << 47), 1));
    assert_false(pmt_site_code_enter(code_at(1), PMT_NO_FUNCTION));
    assert_true(pmt_site_code_enter((const void *)(((uintptr_t)1 << 47) - 16), 999));
    assert_int_equal(pmt_site_code_function((const void *)(((uintptr_t)1 << 47) - 16)), 999);
    pmt_site_code_forget((const void *)(((uintptr_t)1 << 47) - 16));
    assert_true(pmt_lock_take(&pmt_site_lock));
    assert_false(pmt_site_code_enter(code_at(1), 1));
    check_unknown(code_at(1));
    pmt_lock_drop(&pmt_site_lock);
    assert_true(pmt_site_is_valid());
}

/* Pages of this process's address space, and those in memory. */
static void read_pages(long *mapped, long *resident)
{
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", mapped, resident), 2);
    fclose(file);
}

enum { ADDRESSES = 6000 };
static uint32_t model[ADDRESSES]; /* function + 1, 0: not entered */

static void check_model(void)
{
    for (size_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(pmt_site_code_function(code_at(i)), model[i] ? model[i] - 1 : PMT_NO_FUNCTION);
    assert_true(pmt_site_is_valid());
}

static void a_million_that_come_and_go_need_no_memory(void **state)
{
    uint64_t seed = 4711;
    long mapped[2], resident[2];
    (void)state;
    for (int round = 0; round < 2000000; round++) {
        uint64_t random = next_random(&seed);
        size_t at = random % ADDRESSES;
        if (model[at] || (random >> 32) % 3 == 0) {
            pmt_site_code_forget(code_at(at));
            model[at] = 0;
        } else {
            model[at] = 1 + (uint32_t)(random >> 40) % FUNCTIONS;
            assert_true(pmt_site_code_enter(code_at(at), model[at] - 1));
        }
        if (round == 100000)
            read_pages(&mapped[0], &resident[0]);
        if (round % 200000 == 0)
            check_model();
    }
    check_model();
    read_pages(&mapped[1], &resident[1]);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    assert_true(mapped[1] - mapped[0] <= 64);
    assert_true(resident[1] - resident[0] <= 64);
#endif
    for (size_t i = 0; i < ADDRESSES; i++)
        pmt_site_code_forget(code_at(i));
    memset(model, 0, sizeof model);
    check_model();
}

/* Addresses that are never used again, the oldest going as a new one comes: as lambdas in a loop. */
static void addresses_need_not_repeat(void **state)
{
    enum { AT_ONCE = 100, ALL = 1000000 };
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        assert_true(pmt_site_code_enter(code_at(i * 13), (uint32_t)(i % FUNCTIONS)));
        if (i >= AT_ONCE)
            pmt_site_code_forget(code_at((i - AT_ONCE) * 13));
        assert_int_equal(pmt_site_code_function(code_at((i - i % AT_ONCE % 50) * 13)),
                         (i - i % AT_ONCE % 50) % FUNCTIONS);
    }
    assert_true(pmt_site_is_valid());
    for (size_t i = ALL - AT_ONCE; i < ALL; i++)
        pmt_site_code_forget(code_at(i * 13));
    assert_true(pmt_site_is_valid());
}

/* Each thread's own code objects are found by it at any time, however often all are moved for others. */
static void *come_and_go(void *argument)
{
    enum { OWN = 700 };
    uintptr_t self = (uintptr_t)argument;
    size_t first = 100000 * (self + 1);
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < OWN; i++) {
            assert_true(pmt_site_code_enter(code_at(first + i * round), (i + round) % FUNCTIONS));
            for (uint32_t j = i & ~7u; j <= i; j++)
                assert_int_equal(pmt_site_code_function(code_at(first + j * round)),
                                 ((round ? j : i) + round) % FUNCTIONS);
        }
        for (uint32_t i = 0; i < OWN; i++)
            pmt_site_code_forget(code_at(first + i * round));
        check_unknown(code_at(first + round));
    }
    return NULL;
}

static void threads_find_their_own(void **state)
{
    pthread_t threads[4];
    (void)state;
    for (uintptr_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)i), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(pmt_site_is_valid());
}

static void as_many_as_a_million_live_at_once(void **state)
{
    enum { MAX = 1 << 20 };
    (void)state;
    for (size_t i = 0; i < MAX; i++)
        assert_true(pmt_site_code_enter(code_at(i), (uint32_t)(i % FUNCTIONS)));
    assert_false(pmt_site_code_enter(code_at(MAX), 1));
    assert_true(pmt_site_code_enter(code_at(5), 6));
    check_unknown(code_at(MAX));
    assert_int_equal(pmt_site_code_function(code_at(5)), 6);
    pmt_site_code_forget(code_at(5));
    assert_true(pmt_site_code_enter(code_at(MAX), 1));
    assert_true(pmt_site_is_valid());
    for (size_t i = 0; i <= MAX; i++)
        pmt_site_code_forget(code_at(i));
    check_unknown(code_at(77));
    assert_true(pmt_site_is_valid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_object_is_known_while_it_lives),
        cmocka_unit_test(what_cannot_be_a_code_object_is_not_entered),
        cmocka_unit_test(a_million_that_come_and_go_need_no_memory),
        cmocka_unit_test(addresses_need_not_repeat),
        cmocka_unit_test(threads_find_their_own),
        cmocka_unit_test(as_many_as_a_million_live_at_once),
    };
    return cmocka_run_group_tests(tests, enter_functions, NULL);
}
