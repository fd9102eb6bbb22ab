/* cstack.c: where the C stack of the calling thread lies.
 *
 * The initial stack grows until its limit (getrlimit); libc would find it by reading /proc/self/maps through stdio,
 * which allocates. Of other threads libc knows where it put them. A stack that a program switches to itself
 * (makecontext) is unknown to both. */
#define _GNU_SOURCE
#include "core.h"

#include <pthread.h>

#include "sys.h"

#include "poison.h"

#define LARGEST ((size_t)1 << 30) /* of an initial stack without limit: other things lie below it */

extern void *__libc_stack_end; /* of the loader: where the stack stood when the program started */

static bool find_initial(struct pmt_cstack *stack)
{
    struct rlimit limit;
    if (pmt_sys_getrlimit(RLIMIT_STACK, &limit) < 0)
        return false;
    size_t size = limit.rlim_cur < LARGEST ? limit.rlim_cur : LARGEST;
    stack->high = (uintptr_t)__libc_stack_end;
    stack->low = stack->high > size ? stack->high - size : 0;
    return true;
}

static bool find_of_thread(struct pmt_cstack *stack)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return false;
    bool is_known = pthread_attr_getstack(&attributes, &low, &size) == 0;
    pthread_attr_destroy(&attributes);
    stack->low = (uintptr_t)low;
    stack->high = (uintptr_t)low + size;
    return is_known;
}

/* False: the caller's stack is none of the program's or libc's, or memory is short. `here` lies in it. */
bool pmt_cstack_find(uintptr_t here, struct pmt_cstack *stack)
{
    int error = errno;
    bool is_initial =
        pmt_thread_id() == pmt_sys_getpid() && find_initial(stack) && here - stack->low < stack->high - stack->low;
    bool is_found = is_initial || (find_of_thread(stack) && here - stack->low < stack->high - stack->low);
    errno = error;
    return is_found;
}
