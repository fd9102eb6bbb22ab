/* hook.c: the interposed allocation family. The fast path of every function is: next function known? call it, count it.
 *
 *    pmt_malloc -> pmt_next_malloc -> count(+size, +1)
 *    pmt_free   -> count(-size, -1) -> pmt_next_free        before the call: afterwards the block is another's
 *
 * The link gives pmt_malloc the name malloc (CMakeLists.txt), so that the same object can be unit-tested.
 * A block's size is the one requested, kept beside the heap (shadow.h); with --sites off or sample, which keep no table
 * of blocks, it is the one the allocator rounds it to. What CPython's allocators take (pmt_inside) is theirs
 * (domains.c). */
#define _GNU_SOURCE
#include "account.h"
#include "core.h"
#include "real.h"

#include <unistd.h>

#include "sys.h"

#define NEXT(name) (PMT_LIKELY(pmt_next_##name != NULL) || (pmt_real_resolve() && pmt_next_##name != NULL))

static inline bool is_pooled(const void *block)
{
    return PMT_UNLIKELY((uintptr_t)block - (uintptr_t)pmt_pool < PMT_POOL_SIZE);
}

static inline int64_t usable_size(void *block)
{
    return (int64_t)(pmt_heap == PMT_HEAP_GLIBC ? pmt_glibc_size(block) : pmt_next_malloc_usable_size(block));
}

/* Large blocks come and go with mappings of their own. With the table of blocks, large.c tells the gate. */
static inline int64_t touch_if_large(int64_t size)
{
    if (PMT_UNLIKELY(size >= PMT_GATE_LARGE))
        pmt_gate_touch();
    return size;
}

/* A block that the table does not hold, or without a table: by the size it was rounded to. */
static void count_rounded(void *block, enum pmt_flow flow, int sign)
{
    int64_t size = touch_if_large(usable_size(block));
    pmt_count(PMT_OWNER_NATIVE, flow, sign * size, sign);
}

static PMT_SLOW void count_unaligned(void *block, enum pmt_flow flow, int sign)
{
    if (!pmt_inside)
        count_rounded(block, flow, sign);
}

PMT_HOT void *count_new(void *block, size_t size, bool is_fresh)
{
    if (PMT_UNLIKELY(!block))
        return block;
    if (pmt_heap != PMT_HEAP_EXACT)
        count_rounded(block, PMT_ALLOCATED, 1);
    else if (PMT_UNLIKELY(!pmt_shadow_is_aligned(block)))
        count_unaligned(block, PMT_ALLOCATED, 1);
    else if (!pmt_inside)
        pmt_account_new(block, size, PMT_OWNER_NATIVE, pmt_python_here(), is_fresh);
    return block;
}

/* Counts off a block that is about to be freed or resized. */
PMT_HOT struct pmt_block count_gone(void *block, bool is_freed)
{
    struct pmt_block gone = {0, 0, false};
    if (pmt_heap != PMT_HEAP_EXACT)
        count_rounded(block, PMT_FREED, 1);
    else if (PMT_UNLIKELY(!pmt_shadow_is_aligned(block)))
        count_unaligned(block, PMT_FREED, 1);
    else if (!pmt_inside)
        gone = pmt_account_gone(block, PMT_GIL_ASK, is_freed);
    return gone;
}

/* Takes count_gone() back. */
static PMT_SLOW void count_back(void *block, const struct pmt_block *gone)
{
    if (pmt_heap != PMT_HEAP_EXACT)
        count_rounded(block, PMT_FREED, -1);
    else if (!pmt_shadow_is_aligned(block))
        count_unaligned(block, PMT_FREED, -1);
    else
        pmt_account_back(block, gone, pmt_python_has_gil());
}

static void *out_of_pool(size_t size, size_t alignment)
{
    void *block = pmt_pool_take(size, alignment);
    if (!block)
        errno = ENOMEM;
    return block;
}

PMT_EXPORT void *pmt_malloc(size_t size);
PMT_EXPORT void *pmt_malloc(size_t size)
{
    if (!NEXT(malloc))
        return out_of_pool(size, 16);
    return count_new(pmt_next_malloc(size), size, true);
}

PMT_EXPORT void pmt_free(void *block);
PMT_EXPORT void pmt_free(void *block)
{
    if (!block || is_pooled(block) || !NEXT(free))
        return;
    count_gone(block, true);
    pmt_next_free(block);
}

PMT_EXPORT void *pmt_calloc(size_t count, size_t size);
PMT_EXPORT void *pmt_calloc(size_t count, size_t size)
{
    size_t bytes;
    bool is_too_large = __builtin_mul_overflow(count, size, &bytes);
    if (!NEXT(calloc))
        return out_of_pool(is_too_large ? SIZE_MAX : bytes, 16);
    return count_new(pmt_next_calloc(count, size), bytes, true);
}

/* A block of the pool moves to the heap when it is resized. */
static PMT_SLOW void *move_out_of_pool(void *block, size_t size)
{
    size_t old_size = pmt_pool_size(block);
    void *fresh = pmt_malloc(size), *to = fresh;
    size_t left = size < old_size ? size : old_size;
    if (fresh) /* not memcpy: its address may not be known yet either */
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(block), "+c"(left)::"memory");
    return fresh;
}

/* The old block leaves before the call, since another thread may get its address at once; it comes back if it was not
 * touched. NULL for a size of 0 means that it was freed. */
PMT_EXPORT void *pmt_realloc(void *block, size_t size);
PMT_EXPORT void *pmt_realloc(void *block, size_t size)
{
    if (!block && NEXT(realloc) && !pmt_inside)
        return count_new(pmt_next_realloc(block, size), size, true);
    if (is_pooled(block) || !NEXT(realloc))
        return block ? move_out_of_pool(block, size) : out_of_pool(size, 16);
    if (pmt_inside)
        return pmt_next_realloc(block, size);
    struct pmt_block gone = count_gone(block, size == 0);
    void *fresh = pmt_next_realloc(block, size);
    if (PMT_UNLIKELY(!fresh && size > 0))
        count_back(block, &gone);
    return count_new(fresh, size, false);
}

/* libc's own calls the foremost realloc; another allocator's may not. So it counts here, once, unless another malloc
 * stands before ours: then the block is not one of ours. */
PMT_EXPORT void *pmt_reallocarray(void *block, size_t count, size_t size);
PMT_EXPORT void *pmt_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    struct pmt_block gone = {0, 0, false};
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (is_pooled(block) || !NEXT(reallocarray))
        return pmt_realloc(block, bytes);
    if (pmt_is_behind || pmt_inside)
        return pmt_next_reallocarray(block, count, size);
    if (block)
        gone = count_gone(block, false);
    pmt_inside = 1;
    void *fresh = pmt_next_reallocarray(block, count, size);
    pmt_inside = 0;
    if (PMT_UNLIKELY(!fresh && bytes > 0))
        count_back(block, &gone);
    return count_new(fresh, bytes, !block);
}

PMT_EXPORT int pmt_posix_memalign(void **block, size_t alignment, size_t size);
PMT_EXPORT int pmt_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (!NEXT(posix_memalign)) {
        *block = pmt_pool_take(size, alignment);
        return *block ? 0 : ENOMEM;
    }
    int error = pmt_next_posix_memalign(block, alignment, size);
    if (error == 0)
        count_new(*block, size, true);
    return error;
}

PMT_EXPORT void *pmt_aligned_alloc(size_t alignment, size_t size);
PMT_EXPORT void *pmt_aligned_alloc(size_t alignment, size_t size)
{
    return NEXT(aligned_alloc) ? count_new(pmt_next_aligned_alloc(alignment, size), size, true)
                               : out_of_pool(size, alignment);
}

PMT_EXPORT void *pmt_memalign(size_t alignment, size_t size);
PMT_EXPORT void *pmt_memalign(size_t alignment, size_t size)
{
    return NEXT(memalign) ? count_new(pmt_next_memalign(alignment, size), size, true) : out_of_pool(size, alignment);
}

PMT_EXPORT void *pmt_valloc(size_t size);
PMT_EXPORT void *pmt_valloc(size_t size)
{
    return NEXT(valloc) ? count_new(pmt_next_valloc(size), size, true) : out_of_pool(size, 4096);
}

PMT_EXPORT void *pmt_pvalloc(size_t size);
PMT_EXPORT void *pmt_pvalloc(size_t size)
{
    return NEXT(pvalloc) ? count_new(pmt_next_pvalloc(size), size, true) : out_of_pool(size, 4096);
}

PMT_EXPORT size_t pmt_malloc_usable_size(void *block);
PMT_EXPORT size_t pmt_malloc_usable_size(void *block)
{
    if (block && is_pooled(block))
        return pmt_pool_size(block);
    return NEXT(malloc_usable_size) ? pmt_next_malloc_usable_size(block) : 0;
}

/* C23. An allocator that does not have them takes free(). */
PMT_EXPORT void pmt_free_sized(void *block, size_t size);
PMT_EXPORT void pmt_free_sized(void *block, size_t size)
{
    if (!NEXT(free_sized) || is_pooled(block)) {
        pmt_free(block);
        return;
    }
    if (block)
        count_gone(block, true);
    pmt_next_free_sized(block, size);
}

PMT_EXPORT void pmt_free_aligned_sized(void *block, size_t alignment, size_t size);
PMT_EXPORT void pmt_free_aligned_sized(void *block, size_t alignment, size_t size)
{
    if (!NEXT(free_aligned_sized) || is_pooled(block)) {
        pmt_free(block);
        return;
    }
    if (block)
        count_gone(block, true);
    pmt_next_free_aligned_sized(block, alignment, size);
}

/* ---- mappings */

/* What libc makes of the result of a system call, for calls before its functions are known: an allocator that is being
 * initialised maps and unmaps. */
static PMT_SLOW void *map_result(long result)
{
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return MAP_FAILED;
    }
    return (void *)result;
}

PMT_EXPORT void *pmt_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
PMT_EXPORT void *pmt_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!NEXT(mmap))
        return map_result(pmt_sys(SYS_mmap, (long)address, (long)size, protection, flags, fd, offset));
    void *start = pmt_next_mmap(address, size, protection, flags, fd, offset);
    pmt_gate_touch();
    if (start != MAP_FAILED && !pmt_inside)
        pmt_maps_add((uintptr_t)start, size);
    if (PMT_UNLIKELY(pmt_python_is_starting))
        pmt_python_memory_mapped();
    return start;
}

PMT_EXPORT void *pmt_mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset);
PMT_EXPORT void *pmt_mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return pmt_mmap(address, size, protection, flags, fd, offset);
}

PMT_EXPORT int pmt_munmap(void *start, size_t size);
PMT_EXPORT int pmt_munmap(void *start, size_t size)
{
    if (!NEXT(munmap))
        return (int)(intptr_t)map_result(pmt_sys(SYS_munmap, (long)start, (long)size, 0, 0, 0, 0));
    bool is_aligned = ((uintptr_t)start & ((uintptr_t)pmt_page_size - 1)) == 0 && pmt_maps_is_range(start, size);
    size_t removed = is_aligned ? pmt_maps_remove((uintptr_t)start, size) : 0;
    if (is_aligned)
        pmt_shadow_release((uintptr_t)start, size);
    pmt_gate_touch();
    int result = pmt_next_munmap(start, size);
    if (result != 0 && removed > 0)
        pmt_maps_add((uintptr_t)start, size);
    return result;
}

/* Variadic for its callers: without MREMAP_FIXED the fifth argument is whatever the register held, and goes unused. */
PMT_EXPORT void *pmt_mremap(void *old, size_t old_size, size_t size, int flags, void *address);
PMT_EXPORT void *pmt_mremap(void *old, size_t old_size, size_t size, int flags, void *address)
{
    if (!NEXT(mremap)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    bool is_moved = old_size > 0 && !(flags & MREMAP_DONTUNMAP) && pmt_maps_is_range(old, old_size);
    size_t removed = is_moved ? pmt_maps_remove((uintptr_t)old, old_size) : 0;
    pmt_gate_touch();
    void *fresh = pmt_next_mremap(old, old_size, size, flags, address);
    if (fresh != MAP_FAILED && !pmt_inside)
        pmt_maps_add((uintptr_t)fresh, size);
    else if (removed > 0)
        pmt_maps_add((uintptr_t)old, old_size);
    return fresh;
}

PMT_EXPORT int pmt_madvise(void *start, size_t size, int advice);
PMT_EXPORT int pmt_madvise(void *start, size_t size, int advice)
{
    pmt_gate_touch();
    if (NEXT(madvise))
        return pmt_next_madvise(start, size, advice);
    errno = ENOMEM;
    return -1;
}

PMT_EXPORT void *pmt_sbrk(intptr_t change);
PMT_EXPORT void *pmt_sbrk(intptr_t change)
{
    if (!NEXT(sbrk)) {
        errno = ENOMEM;
        return (void *)-1;
    }
    pmt_gate_touch();
    void *before = pmt_next_sbrk(change);
    if (before != (void *)-1)
        pmt_maps_moved_break(change);
    return before;
}

PMT_EXPORT int pmt_brk(void *end);
PMT_EXPORT int pmt_brk(void *end)
{
    if (!NEXT(brk) || !NEXT(sbrk)) {
        errno = ENOMEM;
        return -1;
    }
    pmt_gate_touch();
    const char *before = pmt_next_sbrk(0);
    int result = pmt_next_brk(end);
    if (result == 0) /* which it is, with nothing moved, below the start of the heap */
        pmt_maps_moved_break((const char *)pmt_next_sbrk(0) - before);
    return result;
}
