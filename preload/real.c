/* real.c: the next definition of every interposed function, found with RTLD_NEXT, so that allocators and tools
 * preloaded after us keep working; and a pool for the calls that come before those are known:
 *
 *    a constructor or IFUNC resolver of another library ---> pmt_malloc --- next unknown ---> resolve, or pool
 *    dlsym itself, while it looks up the next malloc   ---> pmt_calloc --- resolving    ---> pool
 *
 * An IFUNC resolver may run before this library is relocated; then even our own pointers cannot be followed. The pool
 * code therefore touches nothing but data of this file. Pool blocks are never given back. */
#include "core.h"
#include "real.h"

#include <string.h>
#include <unistd.h>

#include "sys.h"

#define HOOK(name, type, parameters) type(*pmt_next_##name) parameters;
#define NOTICE(name) void *pmt_next_##name;
#include "hook.def"
#undef HOOK
#undef NOTICE

char pmt_pool[PMT_POOL_SIZE] __attribute__((aligned(64)));
enum pmt_heap pmt_heap;
bool pmt_is_behind;

static size_t pool_used;                    /* atomic */
static int resolve_state;                   /* 0 not yet, 1 under way, 2 done. Atomic. */
static char *volatile relocated = pmt_pool; /* another value until this library is relocated */

static const struct {
    const char *name;
    void **next;
} table[] = {
#define HOOK(name, type, parameters) {#name, (void **)(void *)&pmt_next_##name},
#define NOTICE(name) {#name, &pmt_next_##name},
#include "hook.def"
#undef HOOK
#undef NOTICE
};

/* A zeroed block; `alignment` is a power of two. NULL when the pool is used up. The 16 bytes before it hold its size.
 */
void *pmt_pool_take(size_t size, size_t alignment)
{
    if (alignment < 16)
        alignment = 16;
    if (size > PMT_POOL_SIZE || alignment > PMT_POOL_SIZE)
        return NULL;
    size_t need = size + alignment + 31;
    size_t start = __atomic_fetch_add(&pool_used, need & ~(size_t)15, __ATOMIC_RELAXED);
    if (start > PMT_POOL_SIZE || need > PMT_POOL_SIZE - start)
        return NULL;
    char *block = pmt_pool + start + 16;
    block += -(uintptr_t)block & (alignment - 1);
    __builtin_memcpy(block - sizeof size, &size, sizeof size);
    return block;
}

size_t pmt_pool_size(const void *block)
{
    size_t size;
    __builtin_memcpy(&size, (const char *)block - sizeof size, sizeof size);
    return size;
}

/* Whether the sizes in the chunk headers are those of malloc_usable_size: false under valgrind and checking mallocs. */
static bool has_glibc_headers(void)
{
    static const size_t sizes[] = {1, 24, 25, 100, 1000, 5000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = pmt_next_malloc(sizes[i]);
        bool is_same = block && pmt_glibc_size(block) == pmt_next_malloc_usable_size(block);
        if (block)
            pmt_next_free(block);
        if (!is_same)
            return false;
    }
    return true;
}

/* Whether requested sizes are kept, by PMT_SITES. Asked for at the very first allocation, before the options are read.
 */
static bool wants_exact(void)
{
    const char *sites = environ ? pmt_config_find(environ, "PMT_SITES") : NULL;
    const char *enable = environ ? pmt_config_find(environ, "PMT_ENABLE") : NULL;
    return (!sites || (strcmp(sites, "off") != 0 && strcmp(sites, "sample") != 0)) &&
           (!enable || strcmp(enable, "0") != 0);
}

/* Whose heap it is, and so how it is counted. */
static enum pmt_heap find_out_heap(void)
{
    struct pmt_elf first, next;
    pmt_is_behind =
        pmt_elf_find("malloc", &first) && ((uintptr_t)pmt_pool < first.low || (uintptr_t)pmt_pool >= first.high);
    if (wants_exact())
        return PMT_HEAP_EXACT;
    bool is_libc = pmt_elf_find_next("malloc", &next) && pmt_elf_symbol(&next, "gnu_get_libc_version");
    return is_libc && has_glibc_headers() ? PMT_HEAP_GLIBC : PMT_HEAP_OTHER;
}

/* True: every next function that exists is known. False: not now; use the pool. */
PMT_SLOW bool pmt_real_resolve(void)
{
    int not_yet = 0;
    struct pmt_elf object;
    if (__atomic_load_n(&resolve_state, __ATOMIC_ACQUIRE) == 2)
        return true;
    if (relocated != pmt_pool)
        return false;
    if (!__atomic_compare_exchange_n(&resolve_state, &not_yet, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return not_yet == 2;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        *table[i].next = pmt_elf_find_next(table[i].name, &object) ? pmt_elf_symbol(&object, table[i].name) : NULL;
    pmt_heap = find_out_heap();
    __atomic_store_n(&resolve_state, 2, __ATOMIC_RELEASE);
    return true;
}

/* Whether blocks pass us by, because the malloc that stands before ours does not come to us; `first` is whose it is,
 * path "" for the executable. One that forwards is no matter. */
bool pmt_real_is_bypassed(struct pmt_elf *first)
{
    if (!pmt_is_behind || !pmt_elf_find("malloc", first))
        return false;
    void *(*front_malloc)(size_t) = (void *(*)(size_t))pmt_elf_symbol(first, "malloc");
    void (*front_free)(void *) = (void (*)(void *))pmt_elf_symbol(first, "free");
    if (!front_malloc || !front_free)
        return false;
    int64_t before = pmt_count_total(PMT_OWNER_NATIVE).blocks;
    void *block = front_malloc(1);
    bool is_bypassed = pmt_count_total(PMT_OWNER_NATIVE).blocks == before;
    front_free(block);
    return is_bypassed;
}
