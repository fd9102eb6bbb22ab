/* pystate.h: what evalframe.c looks at for every frame, in the states and frames of CPython 3.6 to 3.11; see pystate.c.
 * Frames are PyFrameObjects up to 3.10, _PyInterpreterFrames on 3.11; the frame's code is at the same place in both. */
#ifndef PMT_PYSTATE_H
#define PMT_PYSTATE_H

#include "pyhooks.h"

#include <string.h>

#pragma GCC visibility push(hidden)

/* Offsets in bytes. */
enum {
    PMT_FRAME_CODE = 32,
    PMT_THREAD_DEPTH = 32, /* int recursion_depth; 3.11: recursion_remaining */
    PMT_CODE_FLAGS = 48,   /* 3.11: int co_flags */
    PMT_FRAME_OWNER = 69,  /* 3.11: char owner, 0: the thread */
};

struct pmt_pystate {
    void **evaluator;           /* where the interpreter keeps it; 3.11: NULL there is Python's own */
    const int *recursion_limit; /* the interpreter's */
    int tracing;                /* offset of the number that is above 0 while a profile or trace function runs */
    int place;                  /* offset of the instruction in a frame: an int; 3.11: a pointer */
};
extern struct pmt_pystate pmt_pystate;

enum pmt_frame_kind { PMT_FRAME_OLD, PMT_FRAME_MIDDLE, PMT_FRAME_NEW }; /* 3.6-3.8, 3.9-3.10, 3.11 */

bool pmt_pystate_find(PyInterpreterState *interpreter, enum pmt_frame_kind *kind);
bool pmt_pystate_holds(PyThreadState *thread, PyFrameObject *frame);
bool pmt_pystate_is_too_deep(PyThreadState *thread);
Py_tracefunc pmt_pystate_profiler(PyThreadState *thread);
void pmt_pystate_set_profiler(PyThreadState *thread, Py_tracefunc function);

PMT_HOT int pmt_pystate_int(const void *object, int offset)
{
    int value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

PMT_HOT void *pmt_pystate_pointer(const void *object, int offset)
{
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

/* Whether the limit of recursion may be reached with the next frame; pmt_pystate_is_too_deep() knows better. */
PMT_HOT bool pmt_pystate_is_deep(enum pmt_frame_kind kind, const PyThreadState *thread)
{
    int depth = pmt_pystate_int(thread, PMT_THREAD_DEPTH);
    return kind == PMT_FRAME_NEW ? depth <= 0 : depth >= *pmt_pystate.recursion_limit;
}

PMT_HOT bool pmt_pystate_is_tracing(const PyThreadState *thread)
{
    return pmt_pystate_int(thread, pmt_pystate.tracing) != 0;
}

/* Whether the frame only makes a generator or coroutine. Up to 3.10 there is none for that, and profile functions are
 * not told of it. */
PMT_HOT bool pmt_pystate_makes_generator(enum pmt_frame_kind kind, const char *frame)
{
    if (kind != PMT_FRAME_NEW)
        return false;
    int flags = pmt_pystate_int(pmt_pystate_pointer(frame, PMT_FRAME_CODE), PMT_CODE_FLAGS);
    return flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR) && frame[PMT_FRAME_OWNER] == 0;
}

/* As pmt_pyver_place() gives it. */
PMT_HOT int64_t pmt_pystate_place(enum pmt_frame_kind kind, const char *frame)
{
    if (kind == PMT_FRAME_NEW)
        return (int64_t)(uintptr_t)pmt_pystate_pointer(frame, pmt_pystate.place);
    return pmt_pystate_int(frame, pmt_pystate.place);
}

#pragma GCC visibility pop

#endif
