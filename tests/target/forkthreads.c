/* forkthreads [FORKS]: forks while four threads are inside malloc and mmap; every child starts a thread that allocates,
 * and has three seconds. Says how many children ended well. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "witness.h"

static atomic_bool stop;

static void *allocate(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    void *blocks[64] = {0};
    for (unsigned long i = 0; argument ? !stop : i < 20000; i++) {
        void **slot = &blocks[rand_r(&seed) % 64];
        *slot = realloc(*slot, 16 + (unsigned)rand_r(&seed) % 5000);
        if (i % 128 == 0)
            munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

static void be_child(void)
{
    pthread_t thread;
    alarm(3);
    if (pthread_create(&thread, NULL, allocate, NULL) != 0)
        _exit(1);
    pthread_join(thread, NULL);
    _exit(0);
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    int forks = argc > 1 ? atoi(argv[1]) : 30, good = 0;
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, allocate, (void *)(i + 1));
    for (int i = 0; i < forks; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0)
            be_child();
        waitpid(child, &status, 0);
        good += status == 0;
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%d of %d children ended well\n", good, forks);
    witness("end");
    return good == forks ? 0 : 1;
}
