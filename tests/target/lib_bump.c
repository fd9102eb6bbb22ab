/* lib_bump: an allocator that a signal handler may call, and jump out of, at any moment, which libc's is not: small
 * blocks are cut off a region and never reused, blocks of 128 KiB and more have slots with a flag each. A program may
 * have a function of its own called in the middle of reallocarray: bump_call. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEAD = 16, SLOTS = 4096 };
#define REGION ((size_t)16 << 30)
#define LARGE ((size_t)128 << 10)
#define SLOT ((size_t)512 << 10)

extern void (*bump_call)(void);
void (*bump_call)(void);

static char *region; /* atomic, as the three below */
static size_t region_used;
static char *slots;
static char slot_is_used[SLOTS];

static char *reserve(char **start, size_t size)
{
    char *old = __atomic_load_n(start, __ATOMIC_ACQUIRE);
    if (old)
        return old;
    char *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        abort();
    if (__atomic_compare_exchange_n(start, &old, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    munmap(fresh, size);
    return old;
}

static char *take_slot(void)
{
    char *start = reserve(&slots, SLOTS * SLOT);
    for (int i = 0; i < SLOTS; i++)
        if (!__atomic_exchange_n(&slot_is_used[i], 1, __ATOMIC_ACQ_REL))
            return start + (size_t)i * SLOT;
    return NULL;
}

static char *cut_off(size_t size, size_t alignment)
{
    char *start = reserve(&region, REGION);
    size_t need = ((size + 15) & ~(size_t)15) + HEAD + alignment;
    size_t at = __atomic_fetch_add(&region_used, need, __ATOMIC_RELAXED);
    if (need < size || at > REGION - need)
        return NULL;
    char *block = start + at + HEAD;
    return block + (-(uintptr_t)block & (alignment - 1));
}

/* A power of two up to a page. */
void *memalign(size_t alignment, size_t size)
{
    char *block;
    if (size >= LARGE && size <= SLOT - 4096)
        block = (block = take_slot()) ? block + 4096 : NULL;
    else
        block = cut_off(size, alignment < 16 ? 16 : alignment);
    if (block)
        memcpy(block - sizeof size, &size, sizeof size);
    else
        errno = ENOMEM;
    return block;
}

size_t malloc_usable_size(void *block)
{
    size_t size = 0;
    if (block)
        memcpy(&size, (char *)block - sizeof size, sizeof size);
    return size;
}

void *malloc(size_t size)
{
    return memalign(16, size);
}

void free(void *block)
{
    char *start = __atomic_load_n(&slots, __ATOMIC_ACQUIRE);
    if (start && (char *)block >= start && (char *)block < start + SLOTS * SLOT)
        __atomic_store_n(&slot_is_used[(size_t)((char *)block - start) / SLOT], 0, __ATOMIC_RELEASE);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *realloc(void *block, size_t size)
{
    size_t old_size = malloc_usable_size(block);
    void *fresh = malloc(size);
    if (fresh && block) {
        memcpy(fresh, block, old_size < size ? old_size : size);
        free(block);
    }
    return fresh;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    if (bump_call)
        bump_call();
    return realloc(block, count * size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *fresh = memalign(alignment, size);
    if (!fresh)
        return ENOMEM;
    *block = fresh;
    return 0;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}
