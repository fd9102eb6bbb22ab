/* empty_profile.c: the floor of --events calls: a profile function that does nothing. Load with ctypes.PyDLL, under any
 * CPython, and call install(); it is for the calling thread. */

/* As in Include/pystate.h; an own declaration, since one library is to serve every version. */
typedef int (*Py_tracefunc)(void *, void *, int, void *);
void PyEval_SetProfile(Py_tracefunc function, void *object);
int install(void);

static int do_nothing(void *object, void *frame, int what, void *argument)
{
    (void)object;
    (void)frame;
    (void)what;
    (void)argument;
    return 0;
}

int install(void)
{
    PyEval_SetProfile(do_nothing, 0);
    return 0;
}
