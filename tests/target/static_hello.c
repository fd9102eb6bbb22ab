/* static_hello: hello.c, linked without a loader: no library can be preloaded into it. */
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "witness.h"

int main(void)
{
    witness("hello");
    printf("hello, secure %lu\n", getauxval(AT_SECURE));
    return 7;
}
