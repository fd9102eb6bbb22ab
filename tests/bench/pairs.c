/* The hot pair: malloc and free of 64 bytes, in a loop. Prints the nanoseconds of one pair. Argument: pairs, in
 * millions. Ten live blocks make the allocator's bins look like a program's. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    long pairs = (argc > 1 ? atol(argv[1]) : 10) * 1000000;
    void *live[10];
    for (int i = 0; i < 10; i++)
        live[i] = malloc(64);
    double start = cpu_seconds();
    for (long i = 0; i < pairs; i++)
        free(malloc(64));
    double end = cpu_seconds();
    for (int i = 0; i < 10; i++)
        free(live[i]);
    printf("%.3f\n", (end - start) * 1e9 / (double)pairs);
    return 0;
}
