/* hook.c and real.c: the interposed functions as plain functions, over the allocator of libc or of a sanitizer. What is
 * counted is malloc_usable_size, and everything comes to nothing in the end. */
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "real.h"

/* The functions under test, as the link of libpmt.so would name them. */
#define HOOK(name, type, parameters) type pmt_##name parameters;
#define NOTICE(name)
#include "hook.def"
#undef HOOK
#undef NOTICE

/* Requests that cannot be met are answered by NULL, as by libc, not by the end of the test. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static int64_t bytes, blocks;

static void check_total(int64_t want_bytes, int64_t want_blocks)
{
    pmt_count_total(&bytes, &blocks);
    assert_int_equal(bytes, want_bytes);
    assert_int_equal(blocks, want_blocks);
}

static int resolve(void **state)
{
    (void)state;
    pmt_real_start();
    pmt_count_start();
    return pmt_real_resolve() ? 0 : -1;
}

/* ---- every way to a block */

static void *by_malloc(size_t size)
{
    return pmt_malloc(size);
}

static void *by_calloc(size_t size)
{
    return pmt_calloc(1, size);
}

static void *by_realloc(size_t size)
{
    return pmt_realloc(NULL, size);
}

static void *by_growth(size_t size)
{
    return pmt_realloc(pmt_malloc(1), size);
}

static void *by_reallocarray(size_t size)
{
    return pmt_reallocarray(pmt_malloc(size * 2), size, 1);
}

static void *by_posix_memalign(size_t size)
{
    void *block = NULL;
    assert_int_equal(pmt_posix_memalign(&block, 64, size), 0);
    return block;
}

static void *by_aligned_alloc(size_t size)
{
    return pmt_aligned_alloc(64, (size + 63) / 64 * 64);
}

static void *by_memalign(size_t size)
{
    return pmt_memalign(64, size);
}

static void *by_valloc(size_t size)
{
    return pmt_valloc(size);
}

static void *by_pvalloc(size_t size)
{
    return pmt_pvalloc(size);
}

static const struct {
    void *(*allocate)(size_t size);
    size_t alignment;
} ways[] = {{by_malloc, 16},       {by_calloc, 16},         {by_realloc, 16},       {by_growth, 16},
            {by_reallocarray, 16}, {by_posix_memalign, 64}, {by_aligned_alloc, 64}, {by_memalign, 64},
            {by_valloc, 4096},     {by_pvalloc, 4096}};

static void every_way_counts_the_usable_size(void **state)
{
    static const size_t sizes[] = {1, 24, 25, 64, 1000, 5000, 200000, 50000000};
    (void)state;
    for (size_t w = 0; w < COUNT_OF(ways); w++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            char *block = ways[w].allocate(sizes[s]);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % ways[w].alignment, 0);
            assert_true(pmt_malloc_usable_size(block) >= sizes[s]);
            check_total((int64_t)malloc_usable_size(block), 1);
            memset(block, 1, sizes[s]);
            pmt_free(block);
            check_total(0, 0);
        }
}

static void resizing_counts_one_block(void **state)
{
    static const size_t sizes[] = {10, 1000, 100, 1000000, 3000000, 20};
    char *block = NULL;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        block = pmt_realloc(block, sizes[i]);
        if (i > 0)
            assert_string_equal(block, "kept");
        strcpy(block, "kept");
        check_total((int64_t)malloc_usable_size(block), 1);
    }
    pmt_free(block);
    check_total(0, 0);
}

static void sized_frees_count(void **state)
{
    (void)state;
    pmt_free_sized(pmt_malloc(100), 100);
    pmt_free_aligned_sized(pmt_aligned_alloc(64, 128), 64, 128);
    pmt_free_sized(NULL, 0);
    check_total(0, 0);
}

static void failures_change_nothing(void **state)
{
    volatile size_t too_large = PTRDIFF_MAX, half = SIZE_MAX / 2 + 2;
    void *block = pmt_malloc(100), *untouched = block;
    int64_t size = (int64_t)malloc_usable_size(block);
    (void)state;
    errno = 0;
    assert_null(pmt_malloc(too_large));
    assert_int_equal(errno, ENOMEM);
    assert_null(pmt_calloc(half, 2));
    assert_null(pmt_realloc(block, too_large));
    assert_null(pmt_reallocarray(block, half, 2));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(pmt_posix_memalign(&untouched, 3, 100), EINVAL);
    assert_ptr_equal(untouched, block);
    check_total(size, 1);
    pmt_free(block);
    check_total(0, 0);
}

static void nothing_is_freed_without_a_trace(void **state)
{
    (void)state;
    errno = 77;
    pmt_free(NULL);
    pmt_free(pmt_malloc(0));
    check_total(0, 0);
    assert_null(pmt_realloc(pmt_malloc(100), 0));
    check_total(0, 0);
    assert_int_equal(pmt_malloc_usable_size(NULL), 0);
    assert_int_equal(errno, 77);
}

/* ---- the pool of the calls that come before the next functions are known */

static void pool_blocks_are_aligned_zeroed_and_apart(void **state)
{
    char *before = NULL;
    (void)state;
    for (size_t alignment = 1; alignment <= 1024; alignment *= 2) {
        char *block = pmt_pool_take(100, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (alignment < 16 ? 16 : alignment), 0);
        assert_true(block >= pmt_pool && block + 100 <= pmt_pool + PMT_POOL_SIZE);
        assert_true(!before || block >= before + 100);
        for (int i = 0; i < 100; i++)
            assert_int_equal(block[i], 0);
        memset(block, 0xff, 100);
        assert_int_equal(pmt_pool_size(block), 100);
        before = block;
    }
}

static void pool_blocks_can_be_freed_and_resized(void **state)
{
    char *block = pmt_pool_take(8, 16);
    (void)state;
    strcpy(block, "pooled");
    assert_int_equal(pmt_malloc_usable_size(block), 8);
    char *moved = pmt_realloc(block, 1000);
    assert_string_equal(moved, "pooled");
    check_total((int64_t)malloc_usable_size(moved), 1);
    pmt_free(moved);
    pmt_free(block);
    pmt_free_sized(block, 8);
    check_total(0, 0);
}

static void a_used_up_pool_says_so(void **state)
{
    size_t taken = 0;
    (void)state;
    assert_null(pmt_pool_take(PMT_POOL_SIZE + 1, 16));
    assert_null(pmt_pool_take(16, 2 * PMT_POOL_SIZE));
    assert_null(pmt_pool_take(SIZE_MAX, 16));
    while (pmt_pool_take(1000, 16))
        taken += 1000;
    assert_in_range(taken, 30000, PMT_POOL_SIZE);
    assert_null(pmt_pool_take(1000, 16));
}

/* ---- mappings */

static void check_mapped(int64_t want_bytes, int64_t want_regions)
{
    int64_t regions;
    pmt_maps_total(&bytes, &regions);
    assert_int_equal(bytes, want_bytes);
    assert_int_equal(regions, want_regions);
}

static void mappings_are_counted(void **state)
{
    const size_t size = 16 * 4096;
    (void)state;
    char *map = pmt_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    check_mapped(size, 1);
    map[0] = 'x';
    map = pmt_mremap(map, size, 4 * size, MREMAP_MAYMOVE);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(map[0], 'x');
    check_mapped(4 * size, 1);
    assert_int_equal(pmt_munmap(map + size, size), 0);
    check_mapped(3 * size, 2);
    errno = 0;
    assert_int_equal(pmt_munmap(map + 1, size), -1);
    assert_int_equal(errno, EINVAL);
    check_mapped(3 * size, 2);
    assert_ptr_equal(pmt_mremap(map, size, 2 * size, 0), map); /* into the hole */
    check_mapped(4 * size, 1);
    assert_int_equal(pmt_munmap(map, 4 * size), 0);
    check_mapped(0, 0);
    assert_ptr_equal(pmt_mmap64(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
    check_mapped(0, 0);
}

static void a_moved_break_is_counted(void **state)
{
    (void)state;
    char *before = pmt_sbrk(8192);
    assert_ptr_not_equal(before, (void *)-1);
    assert_int_equal(pmt_maps_break(), 8192);
    assert_int_equal(pmt_brk(before + 4096), 0);
    assert_int_equal(pmt_maps_break(), 4096);
    assert_ptr_not_equal(pmt_sbrk(-4096), (void *)-1);
    assert_int_equal(pmt_maps_break(), 0);
}

/* ---- threads: blocks made by one and freed by another */

#define SLOTS 64

static void *slots[SLOTS]; /* atomic exchange */

static void *churn(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    for (int i = 0; i < 20000; i++) {
        uint64_t random = next_random(&seed);
        void *block = random & 1 ? ways[(random >> 8) % COUNT_OF(ways)].allocate(1 + (random >> 16) % 500) : NULL;
        pmt_free(__atomic_exchange_n(&slots[(random >> 32) % SLOTS], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void threads_free_each_others_blocks(void **state)
{
    pthread_t threads[4];
    int64_t size = 0, count = 0;
    (void)state;
    for (uintptr_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SLOTS; i++) {
        size += slots[i] ? (int64_t)malloc_usable_size(slots[i]) : 0;
        count += slots[i] != NULL;
    }
    check_total(size, count);
    for (size_t i = 0; i < SLOTS; i++)
        pmt_free(slots[i]);
    check_total(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_counts_the_usable_size),
        cmocka_unit_test(resizing_counts_one_block),
        cmocka_unit_test(sized_frees_count),
        cmocka_unit_test(failures_change_nothing),
        cmocka_unit_test(nothing_is_freed_without_a_trace),
        cmocka_unit_test(pool_blocks_are_aligned_zeroed_and_apart),
        cmocka_unit_test(pool_blocks_can_be_freed_and_resized),
        cmocka_unit_test(a_used_up_pool_says_so),
        cmocka_unit_test(mappings_are_counted),
        cmocka_unit_test(a_moved_break_is_counted),
        cmocka_unit_test(threads_free_each_others_blocks),
    };
    return cmocka_run_group_tests(tests, resolve, NULL);
}
