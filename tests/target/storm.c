/* storm.c: threads that allocate, and what they hold, counted by themselves.
 *
 *   storm storm N     8 threads, N reallocs each, of blocks that any thread may take over from any other
 *   storm levels N    4 threads go up and down together, N times; never higher than in the middle
 *   storm late        one thread alone goes up to 64 MiB and most of the way down; then another one goes up by 20 MiB
 *   storm threads N   N threads come and go, one after the other; each frees what the one before it left
 *
 * Prints "live bytes, live blocks, bytes and blocks allocated in all, highest total, growth of RSS in bytes" of its own
 * blocks, without stdio. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 512, THREADS = 8, CLIMBERS = 4, STEPS = 20000 };

struct slot {
    char *block;
    size_t size;
    pthread_mutex_t lock;
};
static struct slot slots[SLOTS];
static int64_t live_bytes, live_blocks, total_bytes, total_blocks, highest, growth; /* atomic */
static long amount;
static pthread_barrier_t barrier;

static void resize(struct slot *slot, size_t size)
{
    int64_t change = (int64_t)size - (int64_t)slot->size;
    __atomic_fetch_add(&live_blocks, !slot->block - !size, __ATOMIC_RELAXED);
    if (size) {
        slot->block = realloc(slot->block, size);
        slot->block[0] = slot->block[size - 1] = 1;
        __atomic_fetch_add(&total_bytes, (int64_t)size, __ATOMIC_RELAXED);
        __atomic_fetch_add(&total_blocks, 1, __ATOMIC_RELAXED);
    } else {
        free(slot->block);
        slot->block = NULL;
    }
    slot->size = size;
    int64_t live = __atomic_add_fetch(&live_bytes, change, __ATOMIC_RELAXED);
    int64_t before = __atomic_load_n(&highest, __ATOMIC_RELAXED);
    while (live > before &&
           !__atomic_compare_exchange_n(&highest, &before, live, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void *run_storm(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    for (long i = 0; i < amount; i++) {
        struct slot *slot = &slots[(unsigned)rand_r(&state) % SLOTS];
        int kind = rand_r(&state) % 100;
        size_t size = (size_t)rand_r(&state) % (kind < 1 ? 400000 : kind < 20 ? 5000 : 200);
        pthread_mutex_lock(&slot->lock);
        resize(slot, kind % 10 == 9 ? 0 : size + 1);
        pthread_mutex_unlock(&slot->lock);
    }
    return NULL;
}

/* Slots of the caller's own; not from malloc. */
static struct slot *make_slots(size_t count)
{
    return mmap(NULL, count * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *run_levels(void *number)
{
    size_t count = STEPS, each = (size_t)(uintptr_t)number * 16 + 40;
    struct slot *own = make_slots(count);
    for (long i = 0; i < amount; i++) {
        size_t level = (i == amount / 2 ? count : count / 2 + (size_t)i);
        pthread_barrier_wait(&barrier);
        for (size_t at = 0; at < level; at++)
            resize(&own[at], each);
        pthread_barrier_wait(&barrier);
        for (size_t at = 0; at < level; at++)
            resize(&own[at], 0);
    }
    return NULL;
}

static void *climb(void *bytes)
{
    size_t count = (size_t)(uintptr_t)bytes / 1024;
    struct slot *own = make_slots(count);
    for (size_t at = 0; at < count; at++)
        resize(&own[at], 1024);
    return own;
}

static void late(void)
{
    pthread_t thread;
    struct slot *own = climb((void *)(uintptr_t)(64 << 20));
    for (size_t at = 0; at < 50 << 10; at++)
        resize(&own[at], 0);
    pthread_create(&thread, NULL, climb, (void *)(uintptr_t)(20 << 20));
    pthread_join(thread, NULL);
}

static void *come_and_go(void *number)
{
    for (int i = 0; i < 20; i++)
        resize(&slots[i], (uintptr_t)number % 900 + 1);
    return NULL;
}

static int64_t resident(void)
{
    char text[128] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    read(file, text, sizeof text - 1);
    close(file);
    return (int64_t)atoll(strchr(text, ' ')) * 4096;
}

static void threads_come_and_go(void)
{
    for (long i = 0; i < amount; i++) {
        pthread_t thread;
        if (i == 100)
            growth = -resident();
        pthread_create(&thread, NULL, come_and_go, (void *)(uintptr_t)i);
        pthread_join(thread, NULL);
    }
    growth += resident();
}

static void run(void *(*function)(void *), int count)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, function, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void put(char *line, int64_t number)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
    *--at = 0;
    do
        *--at = (char)('0' + size % 10);
    while (size /= 10);
    if (number < 0)
        *--at = '-';
    strcat(strcat(line, at), " ");
}

int main(int argc, char **argv)
{
    char line[256] = "";
    amount = argc > 2 ? atol(argv[2]) : 0;
    for (int i = 0; i < SLOTS; i++)
        pthread_mutex_init(&slots[i].lock, NULL);
    if (argc > 1 && strcmp(argv[1], "storm") == 0)
        run(run_storm, THREADS);
    else if (argc > 1 && strcmp(argv[1], "levels") == 0)
        run(run_levels, CLIMBERS);
    else if (argc > 1 && strcmp(argv[1], "late") == 0)
        late();
    else
        threads_come_and_go();
    const int64_t told[] = {live_bytes, live_blocks, total_bytes, total_blocks, highest, growth};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        put(line, told[i]);
    line[strlen(line) - 1] = '\n';
    write(1, line, strlen(line));
    return 0;
}
