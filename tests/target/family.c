/* family: four threads use the whole allocation family, check alignment, zeroes and contents of every block, hand
 * blocks to each other, and leave some alive. Its output depends on nothing but a correct allocator. $NO_PVALLOC leaves
 * out pvalloc, which some allocators lack. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "witness.h"

enum { THREADS = 4, SLOTS = 512, STEPS = 40000 };

struct slot {
    pthread_mutex_t lock;
    unsigned char *block; /* protected by lock, as all below */
    size_t size;
    unsigned char fill;
};

static struct slot slots[SLOTS];
static int faults;

static void fault_if(int wrong)
{
    if (wrong)
        __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
}

/* The ways to get a block: each returns one of at least `size` bytes, aligned as asked. */
static void *get_block(unsigned way, size_t size)
{
    void *block = NULL;
    size_t alignment = size < 16 ? 8 : 16; /* small blocks of other allocators */
    switch (way) {
    case 0: block = malloc(size); break;
    case 1: block = calloc(size, 1); break;
    case 2: block = realloc(NULL, size); break;
    case 3: block = reallocarray(NULL, size, 1); break;
    case 4: fault_if(posix_memalign(&block, alignment = 32, size) != 0); break;
    case 5: block = aligned_alloc(alignment = 64, (size + 63) / 64 * 64); break;
    case 6: block = memalign(alignment = 128, size); break;
    case 7: block = valloc(size), alignment = 4096; break;
    case 8: block = getenv("NO_PVALLOC") ? valloc(size) : pvalloc(size), alignment = 4096; break;
    case 9: block = strdup("a block that the C library allocates, long enough for most sizes of this program"); break;
    default: break;
    }
    fault_if(!block || (uintptr_t)block % alignment != 0);
    for (size_t at = 0; way == 1 && block && at < size; at++)
        fault_if(((unsigned char *)block)[at] != 0);
    return block;
}

static void check_contents(const struct slot *slot, size_t size)
{
    for (size_t at = 0; at < size; at += 7)
        fault_if(slot->block[at] != slot->fill);
}

static void change_slot(struct slot *slot, unsigned *seed)
{
    unsigned choice = (unsigned)rand_r(seed) % 16, way = (unsigned)rand_r(seed) % 10;
    size_t size = 1 + (unsigned)rand_r(seed) % (choice == 0 ? 300000 : 600);
    if (way == 9 && size > 80)
        way = 0;
    if (slot->block)
        check_contents(slot, slot->size);
    if (slot->block && choice < 8) {
        size_t kept = size < slot->size ? size : slot->size;
        slot->block = choice & 1 ? realloc(slot->block, size) : reallocarray(slot->block, size, 1);
        check_contents(slot, kept);
    } else {
        free(slot->block);
        slot->block = get_block(way, size);
    }
    fault_if(malloc_usable_size(slot->block) < size);
    slot->size = size;
    slot->fill = (unsigned char)rand_r(seed);
    memset(slot->block, slot->fill, size);
}

static void *work(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    for (int i = 0; i < STEPS; i++) {
        struct slot *slot = &slots[(unsigned)rand_r(&seed) % SLOTS];
        pthread_mutex_lock(&slot->lock);
        change_slot(slot, &seed);
        pthread_mutex_unlock(&slot->lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int held = 0;
    for (int i = 0; i < SLOTS; i++)
        pthread_mutex_init(&slots[i].lock, NULL);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].block)
            check_contents(&slots[i], slots[i].size);
        if (i % 2)
            free(slots[i].block);
        else
            held += slots[i].block != NULL;
    }
    printf("faults %d, holds %d blocks\n", faults, held);
    witness("end");
    return faults != 0;
}
