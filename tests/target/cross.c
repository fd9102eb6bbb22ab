/* cross hold|release: threads allocate, other threads free; threads end with blocks alive. With `hold`, prints the
 * blocks and the bytes (malloc_usable_size) it holds at exit, else it frees them: nothing else differs. */
#include <malloc.h>
#include <pthread.h>

#include "witness.h"

enum { THREADS = 8, BLOCKS = 5000 };

static void *blocks[THREADS][BLOCKS];

/* Gives every block of its own row; of the row of the thread before it, frees every other one. */
static void *allocate(void *argument)
{
    size_t row = (size_t)argument;
    unsigned seed = (unsigned)row;
    for (int i = 0; i < BLOCKS; i++)
        blocks[row][i] = malloc((unsigned)rand_r(&seed) % 2000);
    return NULL;
}

static void *release(void *argument)
{
    size_t row = ((size_t)argument + 1) % THREADS;
    for (int i = 0; i < BLOCKS; i += 2) {
        free(blocks[row][i]);
        blocks[row][i] = NULL;
    }
    for (int i = 1; i < BLOCKS; i += 4)
        blocks[row][i] = realloc(blocks[row][i], 3000); /* by a thread that did not allocate it */
    return NULL;
}

static void run_all(void *(*function)(void *))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, function, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    size_t count = 0, bytes = 0;
    int hold = argc > 1 && strcmp(argv[1], "hold") == 0;
    for (int i = 0; i < 3; i++) {
        run_all(allocate);
        run_all(release);
        for (int row = 0; row < THREADS; row++)
            for (int k = 0; k < BLOCKS; k++) {
                int is_held = hold && i == 2;
                count += is_held && blocks[row][k];
                bytes += is_held && blocks[row][k] ? malloc_usable_size(blocks[row][k]) : 0;
                if (!is_held)
                    free(blocks[row][k]);
            }
    }
    printf("holds %zu blocks, %zu bytes\n", count, bytes);
    witness("end");
    return 0;
}
