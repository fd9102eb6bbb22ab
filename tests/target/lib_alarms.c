/* lib_alarms: a signal handler that takes and gives back memory of all kinds, every 200 us, on a signal stack. Only for
 * an allocator that a handler may call: lib_bump. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

int alarms_start(void);
long alarms_stop(void);

extern volatile long alarms_count;
volatile long alarms_count;
static volatile long refused;
static struct sigaction before;

static void allocate(int number)
{
    (void)number;
    char *small = malloc(100), *large = malloc(200000);
    small = realloc(small, 3000);
    void *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (small && large && pages != MAP_FAILED)
        small[0] = large[0] = *(char *)pages = 1;
    else
        refused = refused + 1;
    munmap(pages, 8192);
    free(large);
    free(small);
    alarms_count = alarms_count + 1;
}

int alarms_start(void)
{
    static char *stack;
    size_t size = 8192 + (size_t)sysconf(_SC_MINSIGSTKSZ);
    stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = size}, NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = allocate, .sa_flags = SA_ONSTACK | SA_RESTART}, &before);
    return setitimer(ITIMER_REAL, &(struct itimerval){{0, 200}, {0, 200}}, NULL);
}

/* How many there were; -1 if memory was refused. */
long alarms_stop(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    sigaction(SIGALRM, &before, NULL);
    return refused ? -1 : alarms_count;
}
