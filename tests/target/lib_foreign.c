/* lib_foreign.c: threads that C makes and that run Python: through a function of ctypes, or by PyGILState_Ensure.
 * Loaded with ctypes.CDLL under any CPython. */
#include <pthread.h>

#define THREADS_MAX 100

/* As in Include/pystate.h and Include/pythonrun.h. */
int PyGILState_Ensure(void);
void PyGILState_Release(int state);
int PyRun_SimpleStringFlags(const char *code, void *flags);

static struct work {
    void (*callback)(int); /* or */
    const char *code;
    int rounds, index;
} works[THREADS_MAX];

static void *run(void *argument)
{
    const struct work *work = argument;
    for (int i = 0; i < work->rounds; i++) {
        if (work->callback) {
            work->callback(work->index);
            continue;
        }
        int state = PyGILState_Ensure();
        int inner = PyGILState_Ensure();
        PyRun_SimpleStringFlags(work->code, 0);
        PyGILState_Release(inner);
        PyGILState_Release(state);
    }
    return 0;
}

static int run_all(struct work work, int count)
{
    pthread_t threads[THREADS_MAX];
    int started = 0;
    for (int i = 0; i < count && i < THREADS_MAX; i++) {
        works[i] = work;
        works[i].index = i;
        started += pthread_create(&threads[started], 0, run, &works[i]) == 0;
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], 0);
    return started;
}

/* In each of `count` threads, `rounds` times: callback(number of the thread). */
int foreign_call(void (*callback)(int), int count, int rounds);
int foreign_call(void (*callback)(int), int count, int rounds)
{
    return run_all((struct work){callback, 0, rounds, 0}, count);
}

/* In each of `count` threads, `rounds` times: the code, as in __main__. */
int foreign_code(const char *code, int count, int rounds);
int foreign_code(const char *code, int count, int rounds)
{
    return run_all((struct work){0, code, rounds, 0}, count);
}
