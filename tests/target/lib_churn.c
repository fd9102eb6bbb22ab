/* lib_churn: memory of all sizes comes and goes for some milliseconds, without Python: ctypes.CDLL gives up the GIL. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

long churn(int milliseconds);

static long milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How many blocks there were; -1 if one had lost its contents. */
long churn(int milliseconds)
{
    enum { KEPT = 64 };
    unsigned char *kept[KEPT] = {NULL};
    size_t sizes[KEPT] = {0};
    unsigned seed = (unsigned)milliseconds;
    long end = milliseconds_now() + milliseconds, count = 0;
    int is_good = 1;
    while (milliseconds_now() < end)
        for (int i = 0; i < KEPT; i++, count++) {
            size_t size = (unsigned)rand_r(&seed) % (i % 16 ? 3000 : 300000) + 1;
            is_good &= !kept[i] || (kept[i][0] == i && kept[i][sizes[i] - 1] == i);
            if (size % 4 == 0) {
                free(kept[i]);
                kept[i] = NULL;
            }
            kept[i] = realloc(kept[i], size);
            sizes[i] = size;
            memset(kept[i], i, size);
        }
    for (int i = 0; i < KEPT; i++)
        free(kept[i]);
    return is_good ? count : -1;
}
