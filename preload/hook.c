/* hook.c: the interposed allocation family. The fast path of every function is: next function known? call it, count it.
 *
 *    pmt_malloc -> pmt_next_malloc -> count(+usable size, +1)
 *    pmt_free   -> count(-usable size, -1) -> pmt_next_free        before the call: afterwards the block is another's
 *
 * The link gives pmt_malloc the name malloc (CMakeLists.txt), so that the same object can be unit-tested.
 * A block's size is what the allocator rounds it to, so that both sides of a block's life see the same number. */
#define _GNU_SOURCE
#include "core.h"
#include "real.h"

#include <string.h>
#include <unistd.h>

#include "sys.h"

#define NEXT(name) (PMT_LIKELY(pmt_next_##name != NULL) || (pmt_real_resolve() && pmt_next_##name != NULL))

static inline bool is_pooled(const void *block)
{
    return PMT_UNLIKELY((uintptr_t)block - (uintptr_t)pmt_pool < PMT_POOL_SIZE);
}

static inline int64_t block_size(void *block)
{
    return (int64_t)(PMT_LIKELY(pmt_is_glibc_heap) ? pmt_glibc_size(block) : pmt_next_malloc_usable_size(block));
}

static inline void *count_new(void *block)
{
    if (PMT_LIKELY(block != NULL))
        pmt_count(block_size(block), 1);
    return block;
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
    return count_new(pmt_next_malloc(size));
}

PMT_EXPORT void pmt_free(void *block);
PMT_EXPORT void pmt_free(void *block)
{
    if (!block || is_pooled(block) || !NEXT(free))
        return;
    pmt_count(-block_size(block), -1);
    pmt_next_free(block);
}

PMT_EXPORT void *pmt_calloc(size_t count, size_t size);
PMT_EXPORT void *pmt_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!NEXT(calloc))
        return out_of_pool(__builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes, 16);
    return count_new(pmt_next_calloc(count, size));
}

/* A block of the pool moves to the heap when it is resized. */
static PMT_SLOW void *move_out_of_pool(void *block, size_t size)
{
    size_t old_size = pmt_pool_size(block);
    void *fresh = pmt_malloc(size);
    if (fresh)
        memcpy(fresh, block, size < old_size ? size : old_size);
    return fresh;
}

/* The old block's bytes leave before the call, since another thread may get its address at once; they come back if it
 * was not touched. NULL for a size of 0 means that it was freed. */
static inline void *count_resized(int64_t old_size, void *fresh, bool is_freed)
{
    if (PMT_LIKELY(fresh != NULL))
        pmt_count(block_size(fresh), 1);
    else if (!is_freed)
        pmt_count(old_size, 1);
    return fresh;
}

PMT_EXPORT void *pmt_realloc(void *block, size_t size);
PMT_EXPORT void *pmt_realloc(void *block, size_t size)
{
    if (!block && NEXT(realloc))
        return count_new(pmt_next_realloc(block, size));
    if (is_pooled(block) || !NEXT(realloc))
        return block ? move_out_of_pool(block, size) : out_of_pool(size, 16);
    int64_t old_size = block_size(block);
    pmt_count(-old_size, -1);
    return count_resized(old_size, pmt_next_realloc(block, size), size == 0);
}

PMT_EXPORT void *pmt_reallocarray(void *block, size_t count, size_t size);
PMT_EXPORT void *pmt_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return pmt_realloc(block, bytes);
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
        count_new(*block);
    return error;
}

PMT_EXPORT void *pmt_aligned_alloc(size_t alignment, size_t size);
PMT_EXPORT void *pmt_aligned_alloc(size_t alignment, size_t size)
{
    return NEXT(aligned_alloc) ? count_new(pmt_next_aligned_alloc(alignment, size)) : out_of_pool(size, alignment);
}

PMT_EXPORT void *pmt_memalign(size_t alignment, size_t size);
PMT_EXPORT void *pmt_memalign(size_t alignment, size_t size)
{
    return NEXT(memalign) ? count_new(pmt_next_memalign(alignment, size)) : out_of_pool(size, alignment);
}

PMT_EXPORT void *pmt_valloc(size_t size);
PMT_EXPORT void *pmt_valloc(size_t size)
{
    return NEXT(valloc) ? count_new(pmt_next_valloc(size)) : out_of_pool(size, 4096);
}

PMT_EXPORT void *pmt_pvalloc(size_t size);
PMT_EXPORT void *pmt_pvalloc(size_t size)
{
    return NEXT(pvalloc) ? count_new(pmt_next_pvalloc(size)) : out_of_pool(size, 4096);
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
        pmt_count(-block_size(block), -1);
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
        pmt_count(-block_size(block), -1);
    pmt_next_free_aligned_sized(block, alignment, size);
}

/* ---- mappings */

static PMT_SLOW void *map_directly(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    long at = pmt_sys(SYS_mmap, (long)address, (long)size, protection, flags, fd, offset);
    if (at > -4096 && at < 0) {
        errno = (int)-at;
        return MAP_FAILED;
    }
    return (void *)at;
}

PMT_EXPORT void *pmt_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
PMT_EXPORT void *pmt_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!NEXT(mmap))
        return map_directly(address, size, protection, flags, fd, offset);
    void *start = pmt_next_mmap(address, size, protection, flags, fd, offset);
    if (start != MAP_FAILED)
        pmt_maps_add((uintptr_t)start, size);
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
    if (!NEXT(munmap)) {
        errno = EINVAL;
        return -1;
    }
    bool is_aligned = ((uintptr_t)start & ((uintptr_t)pmt_page_size - 1)) == 0;
    size_t removed = is_aligned ? pmt_maps_remove((uintptr_t)start, size) : 0;
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
    bool is_moved = old_size > 0 && !(flags & MREMAP_DONTUNMAP);
    size_t removed = is_moved ? pmt_maps_remove((uintptr_t)old, old_size) : 0;
    void *fresh = pmt_next_mremap(old, old_size, size, flags, address);
    if (fresh != MAP_FAILED)
        pmt_maps_add((uintptr_t)fresh, size);
    else if (removed > 0)
        pmt_maps_add((uintptr_t)old, old_size);
    return fresh;
}

PMT_EXPORT void *pmt_sbrk(intptr_t change);
PMT_EXPORT void *pmt_sbrk(intptr_t change)
{
    if (!NEXT(sbrk)) {
        errno = ENOMEM;
        return (void *)-1;
    }
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
    const char *before = pmt_next_sbrk(0);
    int result = pmt_next_brk(end);
    if (result == 0)
        pmt_maps_moved_break((const char *)end - before);
    return result;
}
