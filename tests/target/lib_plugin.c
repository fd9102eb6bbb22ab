/* lib_plugin: a library to be loaded and unloaded: allocates in its constructor, in a thread-local, and when called. */
#include <stdlib.h>
#include <string.h>

int plugin_sum(int a, int b);

static char *state;
static __thread char scratch[4096]; /* dynamic TLS: the loader allocates it at first use */

__attribute__((constructor)) static void open_plugin(void)
{
    state = calloc(1, 1000);
}

__attribute__((destructor)) static void close_plugin(void)
{
    free(state);
}

int plugin_sum(int a, int b)
{
    memset(scratch, a, sizeof scratch);
    free(__atomic_exchange_n(&state, realloc(malloc(10), 1000 + (size_t)(a & 255)),
                             __ATOMIC_ACQ_REL)); /* others call too */
    return a + b;
}
