/* late: allocates when libraries are being left: in destructors of thread-specific data, in __cxa_thread_atexit, in
 * atexit handlers, in the executable's own destructor; and starts 500 threads that do so. */
#include <pthread.h>

#include "witness.h"

extern int __cxa_thread_atexit_impl(void (*function)(void *), void *argument, void *library);
extern void *__dso_handle;

enum { THREADS = 500, AT_ONCE = 50 };

static pthread_key_t key;
static int rounds;

static void *work(void)
{
    char *block = realloc(malloc(500), 50000);
    memset(block, 1, 50000);
    free(block);
    return calloc(3, 30);
}

/* Asks to be called again, so that it runs in every round that the C library makes. */
static void leave_key(void *block)
{
    free(block);
    if (__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED) < 2 * THREADS)
        pthread_setspecific(key, work());
    else
        free(work());
}

static void leave_thread(void *block)
{
    free(block);
    free(work());
}

static void leave_program(void)
{
    free(work());
    printf("atexit handler ran\n");
}

__attribute__((destructor)) static void leave_executable(void)
{
    free(work());
    static const char words[] = "destructor ran\n";
    (void)!write(1, words, sizeof words - 1);
}

static void *live(void *unused)
{
    __cxa_thread_atexit_impl(leave_thread, work(), &__dso_handle);
    pthread_setspecific(key, work());
    free(work());
    return unused;
}

int main(void)
{
    pthread_t threads[AT_ONCE];
    setvbuf(stdout, NULL, _IONBF, 0);
    atexit(leave_program);
    pthread_key_create(&key, leave_key);
    __cxa_thread_atexit_impl(leave_thread, work(), &__dso_handle);
    for (int i = 0; i < THREADS; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            if (pthread_create(&threads[k], NULL, live, NULL) != 0)
                return 2;
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
    pthread_setspecific(key, work());
    printf("%d threads done\n", THREADS);
    witness("end");
    return 3;
}
