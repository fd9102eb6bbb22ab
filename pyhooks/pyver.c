/* pyver.c: the only file that knows what differs between versions of CPython.
 *
 * Layouts, from the headers of the versions named (Include/frameobject.h, Include/pystate.h,
 * Include/cpython/pystate.h): PyFrameObject 3.6-3.8: f_back and f_code follow PyObject_VAR_HEAD PyThreadState 3.6-3.8:
 * prev, next, interp, frame; c_profilefunc at 48 (3.6), 56 (3.7, 3.8) */
#include "pyhooks.h"

#include <string.h>

#include "poison.h"

struct old_frame { /* 3.6-3.8 */
    PyVarObject head;
    PyFrameObject *back;
    PyObject *code;
};

struct old_thread { /* 3.6-3.8 */
    PyThreadState *previous, *next;
    PyInterpreterState *interpreter;
    PyFrameObject *frame;
};

static int version_minor;
static uint64_t last_thread_id; /* 3.9+: threads up to this one have been looked at */

/* Minor number of "3.X.Y ...", -1 if the version is none that pmt can attach to. */
int pmt_pyver_minor(const char *version)
{
    int minor = 0;
    if (strncmp(version, "3.", 2) != 0)
        return -1;
    for (version += 2; *version >= '0' && *version <= '9'; version++)
        minor = minor * 10 + (*version - '0');
    return minor < 6 ? -1 : minor;
}

void pmt_pyver_start(int minor, PyThreadState *current)
{
    version_minor = minor;
    last_thread_id = py.PyThreadState_GetID ? py.PyThreadState_GetID(current) : 0;
}

/* The frame's code object, a new reference. */
PyObject *pmt_pyver_frame_code(PyFrameObject *frame)
{
    if (py.PyFrame_GetCode)
        return (PyObject *)py.PyFrame_GetCode(frame);
    PyObject *code = ((struct old_frame *)(void *)frame)->code;
    py.Py_IncRef(code);
    return code;
}

/* Whether no Python frame called this one. */
bool pmt_pyver_is_outermost(PyFrameObject *frame)
{
    if (!py.PyFrame_GetBack)
        return ((struct old_frame *)(void *)frame)->back == NULL;
    PyFrameObject *back = py.PyFrame_GetBack(frame);
    if (back)
        py.Py_DecRef((PyObject *)back);
    return back == NULL;
}

/* The caller's thread state if the caller holds the GIL, else NULL. Needs no GIL. */
PyThreadState *pmt_pyver_current_thread(void)
{
    PyThreadState *running = NULL, *mine = py.PyGILState_GetThisThreadState();
    if (py.PyThreadState_GetUnchecked)
        running = py.PyThreadState_GetUnchecked();
    else if (py._PyThreadState_UncheckedGet)
        running = py._PyThreadState_UncheckedGet();
    return mine && mine == running ? mine : NULL;
}

/* The interpreter of the caller, who holds its GIL. */
PyInterpreterState *pmt_pyver_interpreter(void)
{
    PyThreadState *current = py.PyThreadState_Get();
    if (py.PyThreadState_GetInterpreter)
        return py.PyThreadState_GetInterpreter(current);
    return ((struct old_thread *)(void *)current)->interpreter;
}

/* Whether atexit's handlers belong to the interpreter, whatever becomes of the module object. */
bool pmt_pyver_has_atexit_of_interpreter(void)
{
    return version_minor >= 10;
}

/* Whether interpreters may have a GIL each (PEP 684). */
bool pmt_pyver_has_own_gils(void)
{
    return version_minor >= 12;
}

/* Up to 3.8 thread states have no number: a new one has no frame and no profile function. */
static bool is_untouched(const PyThreadState *thread)
{
    const char *bytes = (const char *)thread;
    Py_tracefunc function;
    memcpy(&function, bytes + (version_minor == 6 ? 48 : 56), sizeof function);
    return ((const struct old_thread *)(const void *)thread)->frame == NULL && function == NULL;
}

static void profile_untouched(PyThreadState *current, Py_tracefunc function)
{
    PyInterpreterState *interpreter = ((struct old_thread *)(void *)current)->interpreter;
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(interpreter);
    for (; thread; thread = py.PyThreadState_Next(thread)) {
        if (thread == current || !is_untouched(thread))
            continue;
        py.PyThreadState_Swap(thread);
        py.PyEval_SetProfile(function, NULL);
        py.PyThreadState_Swap(current);
    }
}

/* Sets the profile function of the threads made since the last call. CPython makes a thread's state in the thread that
 * starts it, under the GIL, before pthread_create: so it has its profile function before its first frame. */
void pmt_pyver_profile_new_threads(PyThreadState *current, Py_tracefunc function)
{
    if (!py.PyThreadState_GetID) {
        profile_untouched(current, function);
        return;
    }
    uint64_t newest = last_thread_id;
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(py.PyThreadState_GetInterpreter(current));
    for (; thread; thread = py.PyThreadState_Next(thread)) { /* newest first */
        uint64_t id = py.PyThreadState_GetID(thread);
        if (id <= last_thread_id)
            break;
        newest = id > newest ? id : newest;
        if (thread != current && py._PyEval_SetProfile)
            py._PyEval_SetProfile(thread, function, NULL);
    }
    last_thread_id = newest;
}
