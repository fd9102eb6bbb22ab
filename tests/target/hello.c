/* hello: the smallest target: says hello, says whether it runs with another user's rights, exits with 7. */
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
