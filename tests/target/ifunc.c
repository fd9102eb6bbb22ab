/* ifunc: an executable whose IFUNC resolver calls malloc while the loader relocates it. */
#include "witness.h"

static unsigned char *early;

static int seven(void)
{
    return 7;
}

__attribute__((used)) static int (*resolve(void))(void)
{
    early = calloc(10, 10);
    free(malloc(50));
    early = realloc(early, 1000);
    return seven;
}

static int number(void) __attribute__((ifunc("resolve")));

int main(void)
{
    printf("number %d, block %d\n", number(), early && early[99] == 0);
    free(early);
    witness("end");
    return 0;
}
