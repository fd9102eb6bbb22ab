/* hook.c, real.c, shadow.c and large.c: the interposed functions as plain functions, over the allocator of libc or of a
 * sanitizer, counted by the requested size (EXACT) and by malloc_usable_size (OTHER). Everything comes to nothing in
 * the end. */
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "real.h"
#include "shadow.h"

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

static void check_total(int64_t want_bytes, int64_t want_blocks)
{
    struct pmt_net total = pmt_count_total(PMT_OWNER_NATIVE);
    assert_int_equal(total.bytes, want_bytes);
    assert_int_equal(total.blocks, want_blocks);
}

static int resolve(void **state)
{
    (void)state;
    pmt_count_start();
    if (!pmt_real_resolve())
        return -1;
    pmt_is_behind = false; /* libc's malloc stands before ours here; under a preload, what it makes would pass us by */
    return 0;
}

/* In a test program our functions are not before libc's, so whose heap it is cannot be found out, but said. */
static int count_exactly(void **state)
{
    (void)state;
    pmt_heap = PMT_HEAP_EXACT;
    return 0;
}

static int count_usable(void **state)
{
    (void)state;
    pmt_heap = PMT_HEAP_OTHER;
    return 0;
}

static int64_t counted_size(void *block, size_t requested)
{
    return (int64_t)(pmt_heap == PMT_HEAP_EXACT ? requested : malloc_usable_size(block));
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
    return pmt_aligned_alloc(64, size);
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

static void every_way_counts_its_size(void **state)
{
    static const size_t sizes[] = {64, 128, 1024, 65536, 131072, 192000, 50000000};
    (void)state;
    for (size_t w = 0; w < COUNT_OF(ways); w++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            char *block = ways[w].allocate(sizes[s]);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % ways[w].alignment, 0);
            assert_true(pmt_malloc_usable_size(block) >= sizes[s]);
            check_total(counted_size(block, sizes[s]), 1);
            memset(block, 1, sizes[s]);
            pmt_free(block);
            check_total(0, 0);
        }
}

/* From 17 bytes on a block's size is kept in another place than below, from 128 KiB on in another table. */
static void sizes_at_the_borders_are_kept(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 24, 25, 31, 32, 33, 131071, 131072, 131073};
    (void)state;
    for (size_t from = 0; from < COUNT_OF(sizes); from++)
        for (size_t to = 1; to < COUNT_OF(sizes); to++) {
            void *block = pmt_malloc(sizes[from]);
            check_total(counted_size(block, sizes[from]), 1);
            block = pmt_realloc(block, sizes[to]);
            check_total(counted_size(block, sizes[to]), 1);
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
        check_total(counted_size(block, sizes[i]), 1);
    }
    pmt_free(block);
    check_total(0, 0);
}

static void thousands_of_large_blocks_are_kept(void **state)
{
    enum { MANY = 2000 };
    static void *many[MANY];
    size_t sum = 0;
    uint64_t seed = 5;
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        many[i] = pmt_malloc(PMT_SHADOW_LARGE + i);
        sum += PMT_SHADOW_LARGE + i;
    }
    check_total((int64_t)sum, MANY);
    for (size_t left = MANY, i = next_random(&seed) % MANY; left > 0; i = (i + 7) % MANY) { /* 7 is prime to MANY */
        pmt_free(many[i]);
        sum -= PMT_SHADOW_LARGE + i;
        check_total((int64_t)sum, (int64_t)--left);
    }
}

/* A block that was freed past us leaves its mark, until its address is used again. */
static void a_stale_mark_is_counted_off(void **state)
{
    static char heap[64] __attribute__((aligned(64)));
    static const size_t sizes[] = {10, 100, PMT_SHADOW_LARGE, PMT_SHADOW_LARGE + 5};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t again = i < 2 ? 20 : PMT_SHADOW_LARGE;
        pmt_count(PMT_OWNER_NATIVE, PMT_ALLOCATED, (int64_t)sizes[i], 1);
        assert_true(pmt_shadow_set(heap, sizes[i], 0));
        assert_true(pmt_shadow_set(heap, again, 0));
        check_total(0, 0);
        struct pmt_block block = pmt_shadow_take(heap);
        assert_true(block.is_known);
        assert_int_equal(block.size, again);
        assert_false(pmt_shadow_take(heap).is_known);
    }
    assert_true(pmt_shadow_is_aligned(heap));
    assert_false(pmt_shadow_is_aligned(heap + 8)); /* two could start in one granule */
    assert_false(pmt_shadow_take((void *)UINTPTR_MAX).is_known);
}

static void a_layer_further_out_owns_what_is_inside(void **state)
{
    (void)state;
    pmt_inside = 1;
    char *block = pmt_realloc(pmt_malloc(100), 200);
    check_total(0, 0);
    pmt_free(block);
    pmt_inside = 0;
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
    int64_t size = counted_size(block, 100);
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
    check_total(counted_size(moved, 1000), 1);
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
    int64_t bytes, regions;
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

struct held {
    size_t size;
    char rest[];
};
static struct held *slots[SLOTS]; /* atomic exchange */

static void *churn(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    for (int i = 0; i < 20000; i++) {
        uint64_t random = next_random(&seed);
        size_t size = (random >> 16) % 8 ? 64 * (1 + (random >> 20) % 8) : 192 << 10;
        struct held *held = random & 1 ? ways[(random >> 8) % COUNT_OF(ways)].allocate(size) : NULL;
        if (held)
            held->size = size;
        pmt_free(__atomic_exchange_n(&slots[(random >> 32) % SLOTS], held, __ATOMIC_ACQ_REL));
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
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i]) {
            size += counted_size(slots[i], slots[i]->size);
            count++;
        }
    check_total(size, count);
    for (size_t i = 0; i < SLOTS; i++) {
        pmt_free(slots[i]);
        slots[i] = NULL;
    }
    check_total(0, 0);
}

#define IN_BOTH(test) cmocka_unit_test_setup(test, count_exactly), cmocka_unit_test_setup(test, count_usable)
#define EXACT(test) cmocka_unit_test_setup(test, count_exactly)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(every_way_counts_its_size),
        IN_BOTH(resizing_counts_one_block),
        IN_BOTH(sized_frees_count),
        IN_BOTH(failures_change_nothing),
        IN_BOTH(nothing_is_freed_without_a_trace),
        IN_BOTH(threads_free_each_others_blocks),
        EXACT(sizes_at_the_borders_are_kept),
        EXACT(thousands_of_large_blocks_are_kept),
        EXACT(a_stale_mark_is_counted_off),
        EXACT(a_layer_further_out_owns_what_is_inside),
        EXACT(mappings_are_counted),
        EXACT(a_moved_break_is_counted),
        EXACT(pool_blocks_are_aligned_zeroed_and_apart),
        EXACT(pool_blocks_can_be_freed_and_resized),
        EXACT(a_used_up_pool_says_so),
    };
    return cmocka_run_group_tests(tests, resolve, NULL);
}
