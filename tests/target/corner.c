/* corner [none]: corner cases of the whole allocation family, one line each with result and errno, which must be the C
 * library's own; with `none` it runs none, to compare what is live at the end. All it gets, it frees. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>

#include "witness.h"

/* The sizes are wrong on purpose, and hidden from the compiler, which would warn or fold. */
static volatile size_t zero = 0, half = (size_t)PTRDIFF_MAX + 1, huge = PTRDIFF_MAX, all = SIZE_MAX, page = 4096;
static int anything; /* what a pointer that must stay untouched points to */

/* Prints one result, without its address, frees it, and clears errno for the next. */
static void show(const char *call, void *block)
{
    int error = errno;
    printf("%-42s %s errno %d\n", call, block ? "block" : "NULL", error);
    free(block);
    errno = 0;
}

#define SHOW(call) show(#call, call)

/* Out of the compiler's sight, which would take the block for freed; these calls fail and leave it alone. */
static void *(*volatile try_realloc)(void *, size_t) = realloc;
static void *(*volatile try_reallocarray)(void *, size_t, size_t) = reallocarray;

static void show_simple(void)
{
    SHOW(malloc(zero));
    SHOW(malloc(half));
    SHOW(malloc(huge));
    SHOW(malloc(all));
    SHOW(calloc(zero, 8));
    SHOW(calloc(8, zero));
    SHOW(calloc(half, 4));
    SHOW(calloc(all, all));
    SHOW(calloc(1, half));
    SHOW(valloc(zero));
    SHOW(valloc(all));
    if (!getenv("NO_PVALLOC")) { /* some allocators lack it */
        SHOW(pvalloc(zero));
        SHOW(pvalloc(1));
        SHOW(pvalloc(all));
    }
    free(NULL);
    printf("malloc_usable_size(NULL) %zu\n", malloc_usable_size(NULL));
}

static void show_realloc(void)
{
    void *kept;
    SHOW(realloc(NULL, 10));
    SHOW(realloc(NULL, zero));
    SHOW(realloc(NULL, half));
    for (int i = 0; i < 50; i++)
        show("realloc(malloc(1 MiB), 0)", realloc(malloc(1 << 20), zero));
    kept = malloc(10);
    show("realloc(kept, half)", try_realloc(kept, half)); /* these fail: kept stays */
    show("realloc(kept, all)", try_realloc(kept, all));
    show("reallocarray(kept, half, 4)", try_reallocarray(kept, half, 4));
    show("reallocarray(kept, all, all)", try_reallocarray(kept, all, all));
    SHOW(reallocarray(kept, 3, 1000));
    SHOW(reallocarray(NULL, 10, 10));
    SHOW(reallocarray(NULL, zero, 10));
    show("reallocarray(malloc(10), 0, 10)", reallocarray(malloc(10), zero, 10));
    kept = calloc(1, 100);
    kept = realloc(kept, 1 << 20); /* grows into a mapping, shrinks back */
    kept = realloc(kept, 50);
    printf("contents after realloc %d\n", ((char *)kept)[49]);
    free(kept);
}

static void show_aligned(void)
{
    static const size_t alignments[] = {0, 1, 3, 4, 8, 12, 16, 24, 64, 4096, 1 << 20, (size_t)1 << 62, SIZE_MAX};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        void *block = &anything;
        char call[80];
        int result = posix_memalign(&block, alignments[i], 100);
        snprintf(call, sizeof call, "posix_memalign(%zu) = %d", alignments[i], result);
        show(call, result == 0 ? block : NULL);
        snprintf(call, sizeof call, "memalign(%zu)", alignments[i]);
        show(call, memalign(alignments[i], 100));
        snprintf(call, sizeof call, "aligned_alloc(%zu)", alignments[i]);
        show(call, aligned_alloc(alignments[i], 100));
    }
    SHOW(memalign(64, half));
    SHOW(memalign(64, all));
    SHOW(aligned_alloc(64, zero));
    SHOW(aligned_alloc(64, all));
    void *untouched = &anything;
    int result = posix_memalign(&untouched, 64, all);
    printf("posix_memalign too large %d, pointer %s, errno %d\n", result,
           untouched == &anything ? "untouched" : "changed", errno);
    errno = 0;
    result = posix_memalign(&untouched, 64, zero);
    show("posix_memalign(64, 0)", result == 0 ? untouched : NULL);
}

/* As show(), for calls whose result is a mapping or a break. */
static void show_map(const char *call, void *result)
{
    printf("%-42s %s errno %d\n", call, result == MAP_FAILED ? "failed" : "well", errno);
    errno = 0;
}

static void show_maps(void)
{
    enum { FLAGS = MAP_PRIVATE | MAP_ANONYMOUS, ACCESS = PROT_READ | PROT_WRITE };
    show_map("mmap of 0 bytes", mmap(NULL, zero, ACCESS, FLAGS, -1, 0));
    show_map("mmap of all memory", mmap(NULL, huge, ACCESS, FLAGS, -1, 0));
    show_map("mmap of a bad descriptor", mmap(NULL, page, ACCESS, MAP_PRIVATE, 999, 0));
    show_map("mmap64 of a bad offset", mmap64(NULL, page, ACCESS, MAP_PRIVATE, 0, 5));
    char *map = mmap(NULL, 8 * page, ACCESS, FLAGS, -1, 0);
    printf("munmap unaligned %d errno %d\n", munmap(map + 1, page), errno);
    printf("munmap of 0 bytes %d errno %d\n", munmap(map, zero), errno);
    printf("munmap of nothing %d\n", munmap(NULL, page));
    errno = 0;
    show_map("mremap of nothing", mremap((void *)0x10000, page, 2 * page, MREMAP_MAYMOVE));
    show_map("mremap unaligned", mremap(map + 1, page, 2 * page, MREMAP_MAYMOVE));
    show_map("mremap to 0 bytes", mremap(map, page, zero, MREMAP_MAYMOVE));
    show_map("mremap smaller", mremap(map, 8 * page, 6 * page, 0));
    printf("munmap in the middle %d\n", munmap(map + 2 * page, page));
    printf("munmap twice %d\n", munmap(map + 2 * page, page));
    printf("munmap over the hole %d\n", munmap(map, 8 * page));
    show_map("mmap at a bad fixed place", mmap((void *)1, page, ACCESS, FLAGS | MAP_FIXED, -1, 0));
    show_map("sbrk(PTRDIFF_MAX)", sbrk((intptr_t)huge));
    show_map("sbrk(0)", sbrk(0));
    char *old = sbrk(8192);
    show_map("sbrk(8192)", old);
    printf("sbrk(-8192) %d\n", (char *)sbrk(-8192) == old + 8192);
    printf("brk(same) %d, errno %d\n", brk(sbrk(0)), errno);
    printf("brk(1) %d, errno %d\n", brk((void *)1), errno);
    errno = 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 1024);
    free(malloc(1)); /* an allocator's first call may leave anything in errno */
    errno = 0;
    if (argc < 2 || strcmp(argv[1], "none") != 0) {
        show_simple();
        show_realloc();
        show_aligned();
        show_maps();
    } else {
        puts("none");
    }
    witness("end");
    return 0;
}
