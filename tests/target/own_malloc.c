/* own_malloc: an executable that defines the malloc family itself, as programs linked with an allocator do. Its
 * blocks carry a header that it checks, so that a block of another allocator reaching its free() is noticed. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x6d6f776e6d6f776eu

struct header {
    uint64_t magic;
    size_t size;
};

static _Alignas(16) char heap[64 << 20];
static size_t used;

/* Called by name from everywhere, so declared here as libc declares them. */
void *malloc(size_t size);
void free(void *block);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);

void *malloc(size_t size)
{
    size_t room = sizeof(struct header) + ((size + 15) & ~(size_t)15);
    size_t at = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);
    if (size > sizeof heap || at + room > sizeof heap)
        return NULL;
    struct header *header = (struct header *)(void *)(heap + at);
    *header = (struct header){MAGIC, size};
    return header + 1;
}

static struct header *header_of(void *block)
{
    struct header *header = (struct header *)block - 1;
    if ((char *)block < heap || (char *)block >= heap + sizeof heap || header->magic != MAGIC) {
        static const char words[] = "own_malloc: a foreign block\n";
        (void)!write(2, words, sizeof words - 1);
        _exit(99);
    }
    return header;
}

void free(void *block)
{
    if (block)
        header_of(block)->magic = MAGIC; /* a bump allocator keeps everything */
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : malloc(bytes);
}

void *realloc(void *block, size_t size)
{
    void *grown = malloc(size);
    if (block && grown) {
        size_t old = header_of(block)->size;
        memcpy(grown, block, old < size ? old : size);
    }
    return grown;
}

int main(void)
{
    char *text = strdup("own malloc works");
    FILE *file = fopen("/dev/null", "w"); /* libc allocates: by our malloc */
    fprintf(file, "%s", text);
    fclose(file);
    puts(text);
    free(text);
    return 5;
}
