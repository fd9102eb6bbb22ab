/* maps.c against a model with one flag a page, and from several threads at once. */
#include "unit.h"

#include <pthread.h>
#include <string.h>

#define PAGE ((size_t)4096)
#define BASE ((uintptr_t)0x100000000)
#define PAGES 512

static void check_total(int64_t bytes, int64_t regions)
{
    int64_t got_bytes = -1, got_regions = -1;
    pmt_maps_total(&got_bytes, &got_regions);
    assert_int_equal(got_bytes, bytes);
    assert_int_equal(got_regions, regions);
}

static void mapping_and_unmapping_come_to_nothing(void **state)
{
    (void)state;
    check_total(0, 0);
    pmt_maps_add(BASE, 3 * PAGE);
    check_total(3 * PAGE, 1);
    assert_int_equal(pmt_maps_remove(BASE, 3 * PAGE), 3 * PAGE);
    check_total(0, 0);
}

static void sizes_are_rounded_to_pages(void **state)
{
    (void)state;
    pmt_maps_add(BASE, 1);
    check_total(PAGE, 1);
    pmt_maps_add(BASE, 0);
    check_total(PAGE, 1);
    assert_int_equal(pmt_maps_remove(BASE, 0), 0);
    assert_int_equal(pmt_maps_remove(BASE, 1), PAGE);
    check_total(0, 0);
}

static void overlaps_count_once_and_neighbours_merge(void **state)
{
    (void)state;
    pmt_maps_add(BASE, 4 * PAGE);
    pmt_maps_add(BASE + 2 * PAGE, 4 * PAGE);
    check_total(6 * PAGE, 1);
    pmt_maps_add(BASE + 6 * PAGE, PAGE);
    check_total(7 * PAGE, 1);
    pmt_maps_add(BASE + 9 * PAGE, PAGE);
    check_total(8 * PAGE, 2);
    pmt_maps_add(BASE, 10 * PAGE);
    check_total(10 * PAGE, 1);
    assert_int_equal(pmt_maps_remove(BASE, 10 * PAGE), 10 * PAGE);
    check_total(0, 0);
}

static void a_hole_splits_a_region(void **state)
{
    (void)state;
    pmt_maps_add(BASE, 10 * PAGE);
    assert_int_equal(pmt_maps_remove(BASE + 4 * PAGE, 2 * PAGE), 2 * PAGE);
    check_total(8 * PAGE, 2);
    assert_int_equal(pmt_maps_remove(BASE + 4 * PAGE, 2 * PAGE), 0);
    assert_int_equal(pmt_maps_remove(BASE - 100 * PAGE, 200 * PAGE), 8 * PAGE);
    check_total(0, 0);
}

static void a_range_past_the_end_of_memory_is_no_range(void **state)
{
    (void)state;
    assert_int_equal(pmt_maps_remove(UINTPTR_MAX - PAGE + 1, 2 * PAGE), 0);
    assert_int_equal(pmt_maps_remove(BASE, SIZE_MAX), 0);
    check_total(0, 0);
}

static bool model[PAGES];

/* Pages [first, last) become `value`; returns how many changed. */
static size_t model_set(size_t first, size_t last, bool value)
{
    size_t changed = 0;
    for (size_t i = first; i < last; i++) {
        changed += model[i] != value;
        model[i] = value;
    }
    return changed;
}

static void model_total(int64_t *bytes, int64_t *regions)
{
    *bytes = *regions = 0;
    for (size_t i = 0; i < PAGES; i++)
        if (model[i]) {
            *bytes += PAGE;
            *regions += i == 0 || !model[i - 1];
        }
}

static void random_changes_are_those_of_the_model(void **state)
{
    uint64_t seed = 12345;
    (void)state;
    for (int round = 0; round < 40000; round++) {
        uint64_t random = next_random(&seed);
        size_t first = random % PAGES, last = first + 1 + (random >> 16) % (random >> 32 & 1 ? 4 : 64);
        int64_t bytes, regions;
        last = last < PAGES ? last : PAGES;
        if (random >> 33 & 1) {
            model_set(first, last, true);
            pmt_maps_add(BASE + first * PAGE, (last - first) * PAGE);
        } else {
            size_t removed = model_set(first, last, false);
            assert_int_equal(pmt_maps_remove(BASE + first * PAGE, (last - first) * PAGE), removed * PAGE);
        }
        model_total(&bytes, &regions);
        check_total(bytes, regions);
    }
    pmt_maps_remove(BASE, PAGES * PAGE);
    check_total(0, 0);
}

static void thousands_of_regions_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5000; i++)
        pmt_maps_add(BASE + 2 * i * PAGE, PAGE);
    check_total(5000 * PAGE, 5000);
    assert_int_equal(pmt_maps_remove(BASE, 10000 * PAGE), 5000 * PAGE);
    check_total(0, 0);
}

static void *add_and_remove(void *argument)
{
    uintptr_t base = BASE + (uintptr_t)argument * PAGES * PAGE;
    for (int round = 0; round < 300; round++) {
        for (size_t i = 0; i < 20; i++)
            pmt_maps_add(base + 3 * i * PAGE, 2 * PAGE);
        size_t removed = pmt_maps_remove(base, 59 * PAGE);
        pmt_maps_moved_break((int64_t)removed);
        pmt_maps_moved_break(-40 * (int64_t)PAGE);
    }
    pmt_maps_add(base, PAGE);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    pthread_t threads[4];
    (void)state;
    for (uintptr_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, (void *)i), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    check_total(COUNT_OF(threads) * PAGE, COUNT_OF(threads));
    assert_int_equal(pmt_maps_break(), 0);
    pmt_maps_remove(BASE, COUNT_OF(threads) * PAGES * PAGE);
    check_total(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping_and_unmapping_come_to_nothing),
        cmocka_unit_test(sizes_are_rounded_to_pages),
        cmocka_unit_test(overlaps_count_once_and_neighbours_merge),
        cmocka_unit_test(a_hole_splits_a_region),
        cmocka_unit_test(a_range_past_the_end_of_memory_is_no_range),
        cmocka_unit_test(random_changes_are_those_of_the_model),
        cmocka_unit_test(thousands_of_regions_fit),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
