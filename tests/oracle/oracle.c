/* oracle.c: an independent count of what the malloc family holds, to judge libpmt.so by. As plain as can be: one lock,
 * one hash table of live blocks with their malloc_usable_size (with ORACLE_REQUESTED set: the size that was asked for),
 * nothing per thread.
 *
 *   program -> libpmt.so -> liboracle.so -> libc      or the other way round: both see every call
 *
 * At exit it writes "BYTES BLOCKS" to the file named by ORACLE_OUT. Blocks from before the next allocator was known
 * come from a small pool, and are not counted: no other library sees them either. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 1 << 22, POOL = 1 << 16 };

struct entry {
    uintptr_t block; /* 0: free */
    size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *table; /* protected by lock, as the two below */
static size_t live_bytes, live_blocks;

static _Alignas(64) char pool[POOL];
static size_t pool_used;

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    size_t (*malloc_usable_size)(void *);
} next;

/* ---- the table: linear probing, and deletion that moves later entries up, so that there are no tombstones ---- */

static size_t slot_of(uintptr_t block)
{
    return (size_t)((block >> 4) * 0x9e3779b97f4a7c15u >> 42) & (SLOTS - 1);
}

static void insert_locked(uintptr_t block, size_t size)
{
    size_t at = slot_of(block);
    while (table[at].block && table[at].block != block)
        at = (at + 1) & (SLOTS - 1);
    table[at] = (struct entry){block, size};
}

static struct entry *find_locked(uintptr_t block)
{
    for (size_t at = slot_of(block); table[at].block; at = (at + 1) & (SLOTS - 1))
        if (table[at].block == block)
            return &table[at];
    return NULL;
}

static void delete_locked(struct entry *entry)
{
    size_t hole = (size_t)(entry - table);
    for (size_t at = (hole + 1) & (SLOTS - 1); table[at].block; at = (at + 1) & (SLOTS - 1)) {
        size_t distance_home = (at - slot_of(table[at].block)) & (SLOTS - 1);
        if (distance_home >= ((at - hole) & (SLOTS - 1))) {
            table[hole] = table[at];
            hole = at;
        }
    }
    table[hole].block = 0;
}

/* ---- keeping count ---- */

static int keeps_requested(void)
{
    static int answer; /* 0 not asked yet, 1 no, 2 yes; environ is there before anybody allocates */
    if (!answer && environ)
        answer = getenv("ORACLE_REQUESTED") ? 2 : 1;
    return answer == 2;
}

static void *note_alloc(void *block, size_t requested)
{
    if (!block)
        return NULL;
    int error = errno;
    size_t size = keeps_requested() ? requested : next.malloc_usable_size(block);
    pthread_mutex_lock(&lock);
    if (!table)
        table = mmap(NULL, SLOTS * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
    insert_locked((uintptr_t)block, size);
    live_bytes += size;
    live_blocks++;
    pthread_mutex_unlock(&lock);
    errno = error;
    return block;
}

/* Forgets a block that is about to be freed; returns its size, or SIZE_MAX if it was not known. */
static size_t note_free(void *block)
{
    size_t size = SIZE_MAX;
    pthread_mutex_lock(&lock);
    struct entry *entry = table && block ? find_locked((uintptr_t)block) : NULL;
    if (entry) {
        size = entry->size;
        live_bytes -= size;
        live_blocks--;
        delete_locked(entry);
    }
    pthread_mutex_unlock(&lock);
    return size;
}

static void lock_table(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_table(void)
{
    pthread_mutex_unlock(&lock);
}

/* A child must not inherit the lock taken by a thread that it has not. */
static void watch_forks(void)
{
    pthread_atfork(lock_table, unlock_table, unlock_table);
}

/* After every destructor: an on_exit handler from before the program's own. */
static void write_totals(int status, void *unused)
{
    (void)status;
    (void)unused;
    const char *path = getenv("ORACLE_OUT");
    char line[64];
    pthread_mutex_lock(&lock);
    int length = snprintf(line, sizeof line, "%zu %zu\n", live_bytes, live_blocks);
    pthread_mutex_unlock(&lock);
    FILE *out = path ? fopen(path, "w") : NULL; /* after the totals were read: it allocates */
    if (out) {
        fwrite(line, 1, (size_t)length, out);
        fclose(out);
    }
}

__attribute__((constructor)) static void start(void)
{
    watch_forks();
    on_exit(write_totals, NULL);
}

/* ---- the family ---- */

static void *pool_alloc(size_t alignment, size_t size)
{
    size_t at = (pool_used + alignment - 1) & ~(alignment - 1);
    if (at + size > POOL)
        return NULL;
    pool_used = at + size;
    return pool + at;
}

static int is_pool(const void *block)
{
    return (uintptr_t)block - (uintptr_t)pool < POOL;
}

static void look_up(void *pointer, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &symbol, sizeof symbol);
}

/* True once the next allocator is known; false only for calls that dlsym makes itself. */
static int is_ready(void)
{
    static int state; /* 0 unknown, 1 being looked up, 2 known; first called before threads exist */
    if (state == 0) {
        state = 1;
        look_up(&next.malloc, "malloc");
        look_up(&next.free, "free");
        look_up(&next.calloc, "calloc");
        look_up(&next.realloc, "realloc");
        look_up(&next.posix_memalign, "posix_memalign");
        look_up(&next.aligned_alloc, "aligned_alloc");
        look_up(&next.memalign, "memalign");
        look_up(&next.valloc, "valloc");
        look_up(&next.pvalloc, "pvalloc");
        look_up(&next.malloc_usable_size, "malloc_usable_size");
        state = 2;
    }
    return state == 2;
}

void *malloc(size_t size)
{
    return is_ready() ? note_alloc(next.malloc(size), size) : pool_alloc(16, size);
}

void *calloc(size_t count, size_t size)
{
    return is_ready() ? note_alloc(next.calloc(count, size), count * size) : pool_alloc(16, count * size);
}

void free(void *block)
{
    if (is_pool(block) || !is_ready())
        return;
    note_free(block);
    next.free(block);
}

/* The free is noted before the call, or another thread could get the address first; undone if the call fails. */
static void *note_realloc(void *old, size_t old_size, void *grown, size_t size, int is_freeing)
{
    if (grown)
        return note_alloc(grown, size);
    if (old_size != SIZE_MAX && !is_freeing)
        note_alloc(old, old_size);
    return NULL;
}

static void *move_from_pool(const void *block, size_t size)
{
    void *moved = malloc(size);
    size_t room = (size_t)(pool + POOL - (const char *)block);
    return moved ? memcpy(moved, block, size < room ? size : room) : NULL;
}

void *realloc(void *block, size_t size)
{
    if (!is_ready())
        return pool_alloc(16, size);
    if (block && is_pool(block))
        return move_from_pool(block, size);
    size_t old_size = note_free(block);
    return note_realloc(block, old_size, next.realloc(block, size), size, size == 0);
}

void *reallocarray(void *block, size_t count, size_t size)
{
    if (!is_ready())
        return pool_alloc(16, count * size);
    if (block && is_pool(block))
        return move_from_pool(block, count * size);
    size_t bytes; /* by realloc: libc's reallocarray calls the foremost one, and the block would be noted twice */
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_ready())
        return ENOMEM;
    int error = next.posix_memalign(result, alignment, size);
    if (error == 0)
        note_alloc(*result, size);
    return error;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return is_ready() ? note_alloc(next.aligned_alloc(alignment, size), size) : pool_alloc(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    return is_ready() ? note_alloc(next.memalign(alignment, size), size) : pool_alloc(alignment, size);
}

void *valloc(size_t size)
{
    return is_ready() ? note_alloc(next.valloc(size), size) : pool_alloc(4096, size);
}

void *pvalloc(size_t size)
{
    return is_ready() ? note_alloc(next.pvalloc(size), size) : pool_alloc(4096, size);
}

size_t malloc_usable_size(void *block)
{
    return !block || is_pool(block) || !is_ready() ? 0 : next.malloc_usable_size(block);
}
