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

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

#define HOOK(name, type, parameters) type(*pmt_next_##name) parameters;
#define NOTICE(name) void *pmt_next_##name;
#include "hook.def"
#undef HOOK
#undef NOTICE

char pmt_pool[PMT_POOL_SIZE] __attribute__((aligned(64)));
bool pmt_is_glibc_heap;
bool pmt_is_exact;

static size_t pool_used;                    /* atomic */
static int resolve_state;                   /* 0 not yet, 1 under way, 2 done. Atomic. */
static char *volatile relocated = pmt_pool; /* NULL until this library is relocated */

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

/* Whether requested sizes are kept (shadow.h): by PMT_SITES, and only where blocks are aligned to 16 bytes. Asked for
 * at the very first allocation, long before the options are read. */
static bool wants_exact(void)
{
    const char *sites = environ ? pmt_config_find(environ, "PMT_SITES") : NULL;
    const char *enable = environ ? pmt_config_find(environ, "PMT_ENABLE") : NULL;
    return (!sites || (strcmp(sites, "off") != 0 && strcmp(sites, "sample") != 0)) &&
           (!enable || strcmp(enable, "0") != 0);
}

/* Finds out, once, whose heap it is. */
static void find_out_heap(void)
{
    Dl_info heap, libc;
    void *version = dlsym(RTLD_NEXT, "gnu_get_libc_version");
    pmt_is_glibc_heap = version && dladdr(version, &libc) && dladdr((void *)pmt_next_malloc, &heap) &&
                        dladdr((void *)pmt_next_free, &heap) && heap.dli_fbase == libc.dli_fbase && has_glibc_headers();
    pmt_is_exact = pmt_is_glibc_heap && wants_exact();
}

/* True: every next function that exists is known. False: not now; use the pool. */
PMT_SLOW bool pmt_real_resolve(void)
{
    int not_yet = 0;
    if (__atomic_load_n(&resolve_state, __ATOMIC_ACQUIRE) == 2)
        return true;
    if (!relocated)
        return false;
    if (!__atomic_compare_exchange_n(&resolve_state, &not_yet, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return not_yet == 2;
    bool is_missing = false;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *table[i].next = dlsym(RTLD_NEXT, table[i].name);
        is_missing |= *table[i].next == NULL;
    }
    if (is_missing)
        dlerror(); /* the host must not find our failed look-ups in its own dlerror() */
    find_out_heap();
    __atomic_store_n(&resolve_state, 2, __ATOMIC_RELEASE);
    return true;
}

/* Whether another object's malloc stands before ours, so that native blocks pass us by; its path ("": the executable).
 * dlsym(RTLD_DEFAULT) would not do: in an executable at a fixed address it gives the executable's jump to our malloc.
 */
bool pmt_real_is_bypassed(struct pmt_elf *first)
{
    uintptr_t ours = (uintptr_t)pmt_pool;
    return pmt_elf_find("malloc", first) && (ours < first->low || ours >= first->high);
}
