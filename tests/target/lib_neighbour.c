/* lib_neighbour.c: a profiler and a tracer written in C, as third parties write them: they call PyEval_SetProfile and
 * PyEval_SetTrace themselves. Loaded with ctypes.PyDLL under any CPython. What is told to them is kept as text, a
 * letter an event. */
#include <string.h>

/* As in Include/pystate.h; an own declaration, since one library is to serve every version. */
typedef int (*Py_tracefunc)(void *, void *, int, void *);
void PyEval_SetProfile(Py_tracefunc function, void *object);
void PyEval_SetTrace(Py_tracefunc function, void *object);

static char seen[100000];
static size_t count;

static void keep(const char *letters, int what)
{
    if (count < sizeof seen - 1)
        seen[count++] = letters[what & 7];
}

static int profile(void *object, void *frame, int what, void *argument)
{
    (void)object;
    (void)frame;
    (void)argument;
    keep("celrCXRo", what);
    return 0;
}

/* Another one, so that there are two different functions for the same slot. */
static int profile_again(void *object, void *frame, int what, void *argument)
{
    (void)object;
    (void)frame;
    (void)argument;
    keep("CELR+-*O", what);
    return 0;
}

static int trace(void *object, void *frame, int what, void *argument)
{
    (void)object;
    (void)frame;
    (void)argument;
    keep("([|])]]o", what);
    return 0;
}

/* Sets a function of that kind, called with the Python object; a capital letter: ends it. */
int neighbour_set(int kind, void *object);
int neighbour_set(int kind, void *object)
{
    switch (kind) {
    case 'p': PyEval_SetProfile(profile, object); break;
    case 'q': PyEval_SetProfile(profile_again, object); break;
    case 't': PyEval_SetTrace(trace, object); break;
    case 'P': PyEval_SetProfile(NULL, NULL); break;
    case 'T': PyEval_SetTrace(NULL, NULL); break;
    default: break;
    }
    return 0;
}

int neighbour_nothing(int kind, void *object);
int neighbour_nothing(int kind, void *object)
{
    (void)kind;
    (void)object;
    return 0;
}

/* What has been told since the last call. */
const char *neighbour_seen(void);
const char *neighbour_seen(void)
{
    static char result[sizeof seen];
    memcpy(result, seen, count);
    result[count] = '\0';
    count = 0;
    return result;
}
