/* pystate.c: thread and interpreter states of CPython 3.6 to 3.11, as far as evalframe.c looks into them. Beside
 * pyver.c the only file that knows version numbers.
 *
 * Offsets are those of the headers (Include/pystate.h, Include/cpython/pystate.h, Include/internal/pycore_interp.h) on
 * x86-64. pmt_pystate_holds() checks them on the running interpreter before anything depends on them. */
#include "pystate.h"

#include "poison.h"

static const struct layout {
    int first, last; /* minor versions */
    enum pmt_frame_kind kind;
    int evaluator;             /* in PyInterpreterState; -1: it is looked for */
    int limit;                 /* of recursion, in PyInterpreterState; -1: it is a variable of its own */
    int lenient, lenient_size; /* while not 0 the limit may be passed: overflowed and recursion_critical; headroom */
    int tracing;
    int cframe, use_tracing; /* the latter in what the former points to, or (-1) in PyThreadState */
    int profiler, tracer;    /* c_profilefunc, c_tracefunc */
} layouts[] = {
    {6, 6, PMT_FRAME_OLD, 112, -1, 36, 2, 40, -1, 44, 48, 56},
    {7, 7, PMT_FRAME_OLD, 464, -1, 36, 2, 44, -1, 48, 56, 64},
    {8, 8, PMT_FRAME_OLD, 568, -1, 36, 2, 44, -1, 48, 56, 64},
    {9, 9, PMT_FRAME_MIDDLE, -1, 64, 36, 2, 44, -1, 48, 56, 64},
    {10, 10, PMT_FRAME_MIDDLE, -1, 64, 36, 4, 44, 48, 0, 56, 64},
    {11, 11, PMT_FRAME_NEW, -1, 96, 40, 4, 44, 56, 0, 64, 72},
};
#define OWN_LIMIT 36 /* 3.11: recursion_limit of the thread, from which recursion_remaining counts down */

static const struct layout *layout;
struct pmt_pystate pmt_pystate;

/* Where the interpreter keeps its evaluator, from 3.9 on: where one turns up that is set as Python provides for. */
static void **look_for_evaluator(PyInterpreterState *interpreter)
{
    void **words = (void **)(void *)interpreter, **found = NULL;
    if (!py._PyInterpreterState_GetEvalFrameFunc || !py._PyInterpreterState_SetEvalFrameFunc)
        return NULL;
    void *before = py._PyInterpreterState_GetEvalFrameFunc(interpreter), *mark = &pmt_pystate;
    py._PyInterpreterState_SetEvalFrameFunc(interpreter, mark);
    for (size_t i = 0; i < 512 && !found; i++) /* a PyInterpreterState has 5,600 bytes and more */
        if (words[i] == mark)
            found = &words[i];
    py._PyInterpreterState_SetEvalFrameFunc(interpreter, before);
    return found;
}

/* 3.11.0 to 3.11.3 do not always ask for the evaluator. */
static bool asks_always(void)
{
    const char *version = pmt_python_version();
    bool is_early = strncmp(version, "3.11.", 5) == 0 && version[5] <= '3' && (version[6] < '0' || version[6] > '9');
    return !is_early || pmt_getitem_keep_general(pmt_attach_object());
}

/* False: not on this CPython. */
bool pmt_pystate_find(PyInterpreterState *interpreter, enum pmt_frame_kind *kind)
{
    int minor = pmt_pyver_minor(pmt_python_version());
    layout = NULL;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (minor >= layouts[i].first && minor <= layouts[i].last)
            layout = &layouts[i];
    if (!layout || !py._PyEval_EvalFrameDefault || !asks_always())
        return false;
    char *bytes = (char *)interpreter;
    *kind = layout->kind;
    pmt_pystate.tracing = layout->tracing;
    pmt_pystate.recursion_limit =
        layout->limit < 0 ? py._Py_CheckRecursionLimit : (const int *)(void *)(bytes + layout->limit);
    if (layout->evaluator < 0)
        pmt_pystate.evaluator = look_for_evaluator(interpreter);
    else {
        pmt_pystate.evaluator = (void **)(void *)(bytes + layout->evaluator);
        if (*pmt_pystate.evaluator != py._PyEval_EvalFrameDefault)
            return false;
    }
    return pmt_pystate.evaluator && pmt_pystate.recursion_limit;
}

/* The thread's profile function, whoever has set it. */
Py_tracefunc pmt_pystate_profiler(PyThreadState *thread)
{
    return (Py_tracefunc)pmt_pystate_pointer(thread, layout->profiler);
}

/* The program may have a function there already (sitecustomize): pyver.c has found out where, before it could. */
static bool profiler_holds(PyThreadState *thread)
{
    return (char *)pmt_pyver_slot(thread, PMT_SLOT_PROFILE) == (char *)thread + layout->profiler;
}

static bool depth_holds(const PyThreadState *thread)
{
    int depth = pmt_pystate_int(thread, PMT_THREAD_DEPTH), limit = py.Py_GetRecursionLimit();
    bool is_down = layout->kind == PMT_FRAME_NEW;
    return depth > 0 && depth < limit && *pmt_pystate.recursion_limit == limit &&
           (!is_down || pmt_pystate_int(thread, OWN_LIMIT) == limit);
}

static bool code_holds(const char *inner)
{
    PyObject *code = pmt_pystate_pointer(inner, PMT_FRAME_CODE);
    if (layout->kind != PMT_FRAME_NEW)
        return true;
    PyObject *flags = py.PyObject_GetAttrString(code, "co_flags");
    bool holds =
        flags && py.PyLong_AsLong(flags) == pmt_pystate_int(code, PMT_CODE_FLAGS) && inner[PMT_FRAME_OWNER] == 0;
    if (flags)
        py.Py_DecRef(flags);
    else
        py.PyErr_Clear();
    return holds;
}

/* Whether the caller's thread state, and its frame, are laid out as the tables say. Called by a profile function, so
 * that `tracing` is known to be 1, in an ordinary frame. */
bool pmt_pystate_holds(PyThreadState *thread, PyFrameObject *frame)
{
    int code;
    return pmt_pyver_frame_layout(&code, &pmt_pystate.place) && code == PMT_FRAME_CODE &&
           code_holds(pmt_pyver_inner_frame(frame)) && pmt_pystate_int(thread, layout->tracing) == 1 &&
           depth_holds(thread) && profiler_holds(thread);
}

/* Whether Python will refuse to enter another frame (RecursionError), as its _Py_CheckRecursiveCall() decides. */
bool pmt_pystate_is_too_deep(PyThreadState *thread)
{
    int depth = pmt_pystate_int(thread, PMT_THREAD_DEPTH);
    for (int i = 0; i < layout->lenient_size; i++)
        if (((const char *)thread)[layout->lenient + i])
            return false;
    if (layout->kind != PMT_FRAME_NEW)
        return depth >= *pmt_pystate.recursion_limit;
    return depth <= 0 && pmt_pystate_int(thread, OWN_LIMIT) - depth + 1 >= *pmt_pystate.recursion_limit;
}

/* Sets a thread's profile function, without an object, as PyEval_SetProfile does, but without its audit event. The one
 * that is set until now has no object either. The caller holds the GIL. */
void pmt_pystate_set_profiler(PyThreadState *thread, Py_tracefunc function)
{
    char *bytes = (char *)thread;
    char *flag =
        (layout->cframe < 0 ? bytes : (char *)pmt_pystate_pointer(thread, layout->cframe)) + layout->use_tracing;
    memcpy(bytes + layout->profiler, &function, sizeof function);
    int is_used = (function || pmt_pystate_pointer(thread, layout->tracer)) && !pmt_pystate_is_tracing(thread);
    if (layout->kind == PMT_FRAME_NEW)
        *flag = (char)(is_used ? 255 : 0);
    else
        memcpy(flag, &is_used, sizeof is_used);
}
