/* lib_ifunc: its IFUNC resolver runs while the loader relocates, before any constructor, and calls malloc. Says so at
 * load, to tell that it happened. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char *early;

static int seven(void)
{
    return 7;
}

__attribute__((used)) static int (*resolve(void))(void)
{
    early = calloc(10, 10);
    void *other = malloc(50);
    free(other);
    early = realloc(early, 1000);
    return seven;
}

static int number(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void start(void)
{
    const char *words = number() == 7 && early && early[99] == 0 ? "lib_ifunc: well\n" : "lib_ifunc: wrong\n";
    free(early);
    (void)!write(1, words, strlen(words));
}
