/* jumps once|storm hold|release: a signal handler jumps out of calls of the allocator, which lib_bump allows: once, in
 * the middle of a reallocarray; or every 200 us, out of large blocks and mappings, while another thread makes such
 * blocks too. With `hold`, blocks are alive at exit: their number and bytes are printed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include "witness.h"

enum { JUMPS = 3000, KEPT = 100, SIZE = 200000 };

static sigjmp_buf back;
static volatile int jumps, is_over;

static void jump(int number)
{
    jumps = jumps + 1;
    siglongjmp(back, number);
}

static void call_handler(void)
{
    raise(SIGALRM);
}

static void jump_once(void)
{
    void (**call)(void) = dlsym(RTLD_DEFAULT, "bump_call");
    static void *block;
    if (!call)
        return;
    block = malloc(10);
    *call = call_handler;
    if (sigsetjmp(back, 1) == 0)
        block = reallocarray(block, 10, 10);
    *call = NULL;
    free(block);
}

static void *allocate(void *argument)
{
    while (!is_over) {
        free(malloc(SIZE));
        free(malloc(SIZE + 1));
    }
    return argument;
}

static void jump_often(void)
{
    struct itimerval every = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    pthread_t other;
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    pthread_create(&other, NULL, allocate, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    sigsetjmp(back, 1); /* with the signal blocked: the first jump is after this */
    pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
    while (jumps < JUMPS) {
        free(malloc(SIZE));
        free(realloc(malloc(SIZE), SIZE + 10));
        if (jumps % 8 == 0)
            munmap(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
    }
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    setitimer(ITIMER_REAL, &never, NULL);
    is_over = 1;
    pthread_join(other, NULL);
}

int main(int argc, char **argv)
{
    static void *kept[KEPT];
    if (argc < 3)
        return 2;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = jump}, NULL);
    if (strcmp(argv[1], "once") == 0)
        jump_once();
    else
        jump_often();
    for (int i = 0; i < KEPT; i++)
        kept[i] = malloc(i % 2 ? 100 : SIZE);
    for (int i = 0; i < KEPT && strcmp(argv[2], "hold") != 0; i++) {
        free(kept[i]);
        kept[i] = NULL;
    }
    int count = 0;
    for (int i = 0; i < KEPT; i++)
        count += kept[i] != NULL;
    printf("%d jumps or more, holds %d blocks, %d bytes\n", jumps < JUMPS ? jumps : JUMPS, count,
           count / 2 * (100 + SIZE));
    witness("end");
    return 0;
}
