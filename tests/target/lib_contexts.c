/* lib_contexts: Python functions as coroutines on stacks of their own, in one thread: what greenlet does, with a thread
 * state of CPython for each. For ctypes.PyDLL; CPython's functions are found in the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <ucontext.h>

enum { MAX = 16, STACK = 1 << 20 };

static struct {
    ucontext_t context;
    char *stack;
    void *thread_state, *function;
    int is_over;
} coroutines[MAX];
static ucontext_t scheduler;
static void *scheduler_state;
static int current;

int contexts_run(void *function, int count);
void contexts_switch(void);

static void *(*swap_state)(void *), *(*new_state)(void *), *(*first_interpreter)(void);
static void *(*call)(void *, ...);
static void (*clear_state)(void *), (*delete_state)(void *), (*release)(void *);

static int find_functions(void)
{
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"PyThreadState_Swap", &swap_state},
        {"PyThreadState_New", &new_state},
        {"PyInterpreterState_Head", &first_interpreter},
        {"PyObject_CallFunctionObjArgs", &call},
        {"PyThreadState_Clear", &clear_state},
        {"PyThreadState_Delete", &delete_state},
        {"Py_DecRef", &release},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!(*(void **)functions[i].function = dlsym(RTLD_DEFAULT, functions[i].name)))
            return -1;
    return 0;
}

/* Back to the scheduler, which goes on with the next one. */
void contexts_switch(void)
{
    int self = current;
    swap_state(scheduler_state);
    swapcontext(&coroutines[self].context, &scheduler);
    swap_state(coroutines[self].thread_state);
}

static void enter(int number)
{
    swap_state(coroutines[number].thread_state);
    void *result = call(coroutines[number].function, NULL);
    if (result)
        release(result);
    clear_state(coroutines[number].thread_state);
    coroutines[number].is_over = result ? 1 : -1;
    swap_state(scheduler_state);
    setcontext(&scheduler);
}

static void begin(int number, void *function)
{
    ucontext_t *context = &coroutines[number].context;
    coroutines[number].stack = malloc(STACK);
    coroutines[number].thread_state = new_state(first_interpreter());
    coroutines[number].function = function;
    getcontext(context);
    context->uc_stack.ss_sp = coroutines[number].stack;
    context->uc_stack.ss_size = STACK;
    makecontext(context, (void (*)(void))enter, 1, number);
}

/* Calls `function` on `count` stacks, by turns, until all have returned. How many returned well; -1: no CPython. */
int contexts_run(void *function, int count)
{
    int good = 0;
    if (count > MAX || find_functions() != 0)
        return -1;
    scheduler_state = swap_state(NULL);
    swap_state(scheduler_state);
    for (int i = 0; i < count; i++)
        begin(i, function);
    for (int left = count; left > 0;) {
        left = 0;
        for (current = 0; current < count; current++)
            if (!coroutines[current].is_over) {
                swapcontext(&scheduler, &coroutines[current].context);
                left++;
            }
    }
    for (int i = 0; i < count; i++) {
        good += coroutines[i].is_over == 1;
        coroutines[i].is_over = 0;
        delete_state(coroutines[i].thread_state);
        free(coroutines[i].stack);
    }
    return good;
}
