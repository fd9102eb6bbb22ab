/* lib_early: a second preload that allocates before and after libpmt.so is initialised: its constructor callocs 64
 * blocks and frees 32, its destructor checks and frees the rest and allocates once more. Silent if all is well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 64, SIZE = 100 };

static unsigned char *blocks[BLOCKS];

static void complain(const char *words)
{
    (void)!write(2, words, strlen(words));
}

__attribute__((constructor)) static void start(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = calloc(SIZE, (size_t)(i + 1));
        for (int at = 0; at < SIZE * (i + 1); at++)
            if (blocks[i][at] != 0)
                complain("early: calloc gave a block that is not zero\n");
        memset(blocks[i], i, SIZE * (size_t)(i + 1));
    }
    for (int i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    if (dlsym(RTLD_NEXT, "no_such_name_at_all")) /* its error message is allocated */
        complain("early: dlsym found what does not exist\n");
}

__attribute__((destructor)) static void end(void)
{
    for (int i = 1; i < BLOCKS; i += 2) {
        for (int at = 0; at < SIZE * (i + 1); at++)
            if (blocks[i][at] != i)
                complain("early: a block lost its contents\n");
        blocks[i] = realloc(blocks[i], 10000);
        free(blocks[i]);
    }
    free(malloc(5000));
}
