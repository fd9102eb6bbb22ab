/* big CALL keep|free: gets 50 MB by one call, touches it, and keeps it to the end or gives it back. Prints what the
 * block is worth: malloc_usable_size, or the length of the mapping. `big none free` gets nothing, for comparison. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>

#include "witness.h"

enum { SIZE = 50000000, PAGE = 4096, MAPPED = (SIZE + PAGE - 1) / PAGE * PAGE };

static void *by_none(void)
{
    return NULL;
}
static void *by_malloc(void)
{
    return malloc(SIZE);
}
static void *by_calloc(void)
{
    return calloc(SIZE / 100, 100);
}
static void *by_realloc(void)
{
    return realloc(malloc(100), SIZE);
}
static void *by_reallocarray(void)
{
    return reallocarray(malloc(100), SIZE / 100, 100);
}
static void *by_aligned_alloc(void)
{
    return aligned_alloc(64, SIZE);
}
static void *by_memalign(void)
{
    return memalign(64, SIZE);
}
static void *by_valloc(void)
{
    return valloc(SIZE);
}
static void *by_pvalloc(void)
{
    return pvalloc(SIZE);
}

static void *by_posix_memalign(void)
{
    void *block = NULL;
    return posix_memalign(&block, 64, SIZE) == 0 ? block : NULL;
}

static void *by_mmap(void)
{
    return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *by_mmap64(void)
{
    return mmap64(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *by_mremap(void)
{
    void *small = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mremap(small, PAGE, SIZE, MREMAP_MAYMOVE);
}

static void *by_sbrk(void)
{
    return sbrk(SIZE);
}

static void *by_brk(void)
{
    char *start = sbrk(0);
    return brk(start + SIZE) == 0 ? start : NULL;
}

/* C++ without a C++ compiler: operator new(size_t) and operator delete(void *) by their names in libstdc++. */
static void *cxx(const char *name)
{
    void *library = dlopen("libstdc++.so.6", RTLD_NOW);
    return library ? dlsym(library, name) : NULL;
}

static void *by_new(void)
{
    void *symbol = cxx("_Znwm");
    void *(*operator_new)(size_t);
    memcpy(&operator_new, &symbol, sizeof symbol);
    return symbol ? operator_new(SIZE) : NULL;
}

static void end_new(void *block)
{
    void *symbol = cxx("_ZdlPv");
    void (*operator_delete)(void *);
    memcpy(&operator_delete, &symbol, sizeof symbol);
    operator_delete(block);
}

static void end_map(void *block)
{
    munmap(block, SIZE);
}
static void end_sbrk(void *block)
{
    (void)block, (void)!sbrk(-SIZE);
}
static void end_brk(void *block)
{
    (void)!brk(block);
}

static const struct way {
    const char *name;
    void *(*get)(void);
    void (*end)(void *);
    size_t worth; /* 0: malloc_usable_size */
} ways[] = {
    {"none", by_none, free, 0},
    {"malloc", by_malloc, free, 0},
    {"calloc", by_calloc, free, 0},
    {"realloc", by_realloc, free, 0},
    {"reallocarray", by_reallocarray, free, 0},
    {"posix_memalign", by_posix_memalign, free, 0},
    {"aligned_alloc", by_aligned_alloc, free, 0},
    {"memalign", by_memalign, free, 0},
    {"valloc", by_valloc, free, 0},
    {"pvalloc", by_pvalloc, free, 0},
    {"new", by_new, end_new, 0},
    {"mmap", by_mmap, end_map, MAPPED},
    {"mmap64", by_mmap64, end_map, MAPPED},
    {"mremap", by_mremap, end_map, MAPPED},
    {"sbrk", by_sbrk, end_sbrk, SIZE},
    {"brk", by_brk, end_brk, SIZE},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; argc == 3 && i < sizeof ways / sizeof *ways; i++) {
        const struct way *way = &ways[i];
        if (strcmp(argv[1], way->name) != 0)
            continue;
        char *block = way->get();
        if (!block && way->get != by_none)
            return 3;
        for (size_t at = 0; block && at < SIZE; at += PAGE)
            block[at] = 1;
        printf("%zu\n", way->worth ? way->worth : malloc_usable_size(block));
        if (strcmp(argv[2], "free") == 0)
            way->end(block);
        witness("end");
        return 0;
    }
    fprintf(stderr, "usage: big CALL keep|free\n");
    return 2;
}
