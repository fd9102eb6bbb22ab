/* contexts: many coroutines (makecontext) on stacks of 16 KB take and give back memory by turns, each also what another
 * took; stacks come and go. All is given back at the end. */
#include <pthread.h>
#include <ucontext.h>

#include "witness.h"

enum { COROUTINES = 40, GENERATIONS = 20, TURNS = 50, STACK = 16384 };

struct coroutine {
    ucontext_t context;
    char *stack;
    unsigned seed;
    int is_over;
};

static __thread struct coroutine coroutines[COROUTINES];
static __thread ucontext_t scheduler;
static __thread void *blocks[COROUTINES];

static void give_way(struct coroutine *self)
{
    swapcontext(&self->context, &scheduler);
}

static void work(int number)
{
    struct coroutine *self = &coroutines[number];
    for (int turn = 0; turn < TURNS; turn++) {
        int other = (int)((unsigned)rand_r(&self->seed) % COROUTINES);
        size_t size = (unsigned)rand_r(&self->seed) % 20 == 0 ? 200000 : (unsigned)rand_r(&self->seed) % 2000;
        free(blocks[number]);
        blocks[number] = malloc(size);
        give_way(self);
        blocks[other] = realloc(blocks[other], size / 2 + 1);
        give_way(self);
        void *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        give_way(self);
        munmap(pages, 8192);
    }
    self->is_over = 1;
    give_way(self);
}

static void begin(int number, unsigned seed)
{
    struct coroutine *fresh = &coroutines[number];
    fresh->stack =
        number % 2 ? malloc(STACK) : mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fresh->seed = seed;
    fresh->is_over = 0;
    getcontext(&fresh->context);
    fresh->context.uc_stack.ss_sp = fresh->stack;
    fresh->context.uc_stack.ss_size = STACK;
    makecontext(&fresh->context, (void (*)(void))work, 1, number);
}

static void end(int number)
{
    if (number % 2)
        free(coroutines[number].stack);
    else
        munmap(coroutines[number].stack, STACK);
}

static void *run_generations(void *argument)
{
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        for (int i = 0; i < COROUTINES; i++)
            begin(i, generation * 1000 + (unsigned)i);
        for (int running = COROUTINES; running > 0;) {
            running = 0;
            for (int i = 0; i < COROUTINES; i++)
                if (!coroutines[i].is_over) {
                    swapcontext(&scheduler, &coroutines[i].context);
                    running++;
                }
        }
        for (int i = 0; i < COROUTINES; i++)
            end(i);
    }
    for (int i = 0; i < COROUTINES; i++)
        free(blocks[i]);
    return argument;
}

int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, run_generations, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    puts("all gave way");
    witness("end");
    return 0;
}
