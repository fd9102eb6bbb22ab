/* dlopens LIBRARY SECONDS: three threads load, call and unload LIBRARY while three others allocate. A thread that
 * makes no progress is a deadlock, which the caller sees as a hang. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "witness.h"

static atomic_bool stop;
static const char *library;

static int count_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)info, (void)size;
    free(malloc(64)); /* within the loader's lock */
    ++*(int *)data;
    return 0;
}

static void *load(void *result)
{
    *(int *)result = 1;
    while (!stop) {
        int objects = 0;
        void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
        void *symbol = handle ? dlsym(handle, "plugin_sum") : NULL;
        int (*sum)(int, int);
        memcpy(&sum, &symbol, sizeof sum);
        dl_iterate_phdr(count_object, &objects);
        if (!symbol || sum(2, 3) != 5 || objects < 3 || dlsym(handle, "no_such_name")) {
            *(int *)result = 0;
            return NULL;
        }
        dlclose(handle);
    }
    return NULL;
}

static void *allocate(void *result)
{
    unsigned seed = 1;
    void *blocks[64] = {0};
    while (!stop) {
        void **slot = &blocks[rand_r(&seed) % 64];
        free(*slot);
        *slot = malloc((unsigned)rand_r(&seed) % 100000);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    *(int *)result = 1;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[6];
    int good[6] = {0}, sum = 0;
    if (argc < 3)
        return 2;
    library = argv[1];
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, i < 3 ? load : allocate, &good[i]);
    nanosleep(&(struct timespec){atoi(argv[2]), 0}, NULL);
    stop = true;
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        sum += good[i];
    }
    printf("%d of 6 threads did well\n", sum);
    witness("end");
    return sum == 6 ? 0 : 1;
}
