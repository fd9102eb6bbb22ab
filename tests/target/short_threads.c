/* short_threads COUNT: that many threads, twenty at once, each allocates, maps, and ends. The growth of RSS and of the
 * number of mappings from the first tenth on goes to the file "growth". */
#include <pthread.h>

#include "witness.h"

enum { AT_ONCE = 20 };

static void *live(void *unused)
{
    char *block = calloc(1, 100);
    block = realloc(block, 5000);
    free(malloc(200000));
    munmap(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
    free(block);
    return unused;
}

static void measure(long *pages, long *mappings)
{
    char line[4096];
    FILE *statm = fopen("/proc/self/statm", "r"), *maps = fopen("/proc/self/maps", "r");
    *mappings = 0;
    if (fscanf(statm, "%*d %ld", pages) != 1)
        abort();
    while (fgets(line, sizeof line, maps))
        ++*mappings;
    fclose(statm);
    fclose(maps);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 100, pages = 0, mappings = 0, first_pages = 0, first_mappings = 0;
    pthread_t threads[AT_ONCE];
    for (long i = 0; i < count; i += AT_ONCE) {
        if (i == count / 10)
            measure(&first_pages, &first_mappings);
        for (int k = 0; k < AT_ONCE; k++)
            if (pthread_create(&threads[k], NULL, live, NULL) != 0)
                return 2;
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
    measure(&pages, &mappings);
    char path[4096];
    snprintf(path, sizeof path, "%s/growth", getenv("WITNESS_DIR"));
    FILE *out = fopen(path, "w");
    fprintf(out, "%ld %ld\n", (pages - first_pages) * 4096, mappings - first_mappings);
    fclose(out);
    printf("%ld threads\n", count);
    witness("end");
    return 0;
}
