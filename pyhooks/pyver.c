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

/* The frame's code object, a new reference. */
static PyObject *frame_code(PyFrameObject *frame)
{
    if (py.PyFrame_GetCode)
        return (PyObject *)py.PyFrame_GetCode(frame);
    PyObject *code = ((struct old_frame *)(void *)frame)->code;
    py.Py_IncRef(code);
    return code;
}

static PyInterpreterState *first_interpreter; /* the one that is logged */
static uint64_t last_thread_id;               /* 3.9+: threads up to this one have been looked at */

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
    first_interpreter = pmt_pyver_interpreter();
    last_thread_id = py.PyThreadState_GetID ? py.PyThreadState_GetID(current) : 0;
}

/* Where a frame keeps its code object and its place in it. Up to 3.10 in the PyFrameObject itself, the place a number
 * of bytes (3.10: of two-byte units); from 3.11 on in the _PyInterpreterFrame that it points to, the place a pointer
 * into the code. (Include/frameobject.h, Include/cpython/frameobject.h, Include/internal/pycore_frame.h) */
static const struct layout {
    int first, last; /* minor versions */
    int inner;       /* offset of the pointer to the _PyInterpreterFrame, 0: none */
    int code, place;
} layouts[] = {
    {6, 6, 0, 32, 120}, {7, 9, 0, 32, 104}, {10, 10, 0, 32, 96}, {11, 11, 24, 32, 56}, {12, 13, 24, 0, 56},
};

static const struct layout *layout; /* NULL: this version's is not known, or did not hold */
static int64_t first_instruction;   /* from 3.11 on: offset of the instructions in a code object */

static inline void *read_pointer(const void *object, int offset)
{
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

/* The frame's code object, borrowed, and its place in it, for pmt_pyver_line(). */
PyObject *pmt_pyver_place(PyFrameObject *frame, int64_t *position)
{
    if (PMT_UNLIKELY(!layout)) {
        PyObject *code = frame_code(frame);
        *position = py.PyFrame_GetLineNumber(frame);
        py.Py_DecRef(code); /* the frame holds it */
        return code;
    }
    if (layout->inner) {
        const char *inner = read_pointer(frame, layout->inner);
        *position = (int64_t)(uintptr_t)read_pointer(inner, layout->place);
        return read_pointer(inner, layout->code);
    }
    int place;
    memcpy(&place, (const char *)frame + layout->place, sizeof place);
    *position = place;
    return read_pointer(frame, layout->code);
}

/* On 3.11 the profile function tells a CALL at the first RESUME, a frame evaluator is called before the instructions
 * that precede it: their line is its line. (co_firsttraceable is before co_extra and the instructions: cpython/code.h)
 */
static int skip_start(const void *code, int offset)
{
    int resume;
    if (version_minor != 11)
        return offset;
    memcpy(&resume, (const char *)code + first_instruction - 16, sizeof resume);
    return offset < 2 * resume ? 2 * resume : offset;
}

/* Offset in bytes into the code's instructions of what pmt_pyver_place() gave. */
static int offset_of(const void *code, int64_t position)
{
    if (layout->inner)
        return skip_start(code, (int)(position - (int64_t)(uintptr_t)code - first_instruction));
    return (int)(version_minor == 10 && position > 0 ? position * 2 : position);
}

/* Line of a place, 0 if it has none. */
int pmt_pyver_line(const void *code, int64_t position)
{
    int line = layout ? py.PyCode_Addr2Line((PyCodeObject *)(uintptr_t)code, offset_of(code, position)) : (int)position;
    return line > 0 ? line : 0;
}

/* Checks the layout on a frame that runs: its code and its place must be what Python itself says. */
void pmt_pyver_check_layout(PyFrameObject *frame)
{
    PyObject *place = py.PyObject_GetAttrString((PyObject *)frame, "f_lasti");
    PyObject *code = frame_code(frame);
    int64_t offset = place ? py.PyLong_AsLong(place) : -1, position;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (version_minor >= layouts[i].first && version_minor <= layouts[i].last)
            layout = &layouts[i];
    bool holds = layout && place && (!layout->inner || read_pointer(frame, layout->inner));
    if (holds && pmt_pyver_place(frame, &position) == code) {
        first_instruction = layout->inner ? position - (int64_t)(uintptr_t)code - offset : 0;
        holds = first_instruction >= 0 && first_instruction < 1024 && offset_of(code, position) == offset;
    } else
        holds = false;
    if (!holds)
        layout = NULL;
    py.Py_DecRef(code);
    if (place)
        py.Py_DecRef(place);
    else
        py.PyErr_Clear();
}

/* Offsets in a frame as pmt_pyver_inner_frame() gives it; false: they are not known. */
bool pmt_pyver_frame_layout(int *code, int *place)
{
    if (!layout)
        return false;
    *code = layout->code;
    *place = layout->place;
    return true;
}

/* The frame that the interpreter works with: from 3.11 on not the object, which is made only when asked for. */
const char *pmt_pyver_inner_frame(PyFrameObject *frame)
{
    return layout && layout->inner ? read_pointer(frame, layout->inner) : (const char *)frame;
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
        py.PyErr_Clear(); /* of an audit hook (3.8) that refuses it */
        py.PyThreadState_Swap(current);
    }
}

static void profile_numbered(PyThreadState *current, Py_tracefunc function)
{
    uint64_t newest = last_thread_id;
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(first_interpreter);
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

/* Sets the profile function of the threads made since the last call. CPython makes a thread's state in the thread that
 * starts it, under the GIL, before pthread_create: so it has its profile function before its first frame. */
void pmt_pyver_profile_new_threads(PyThreadState *current, Py_tracefunc function)
{
    PyObject *type, *value, *traceback;
    if (pmt_pyver_interpreter() !=
        first_interpreter) /* numbers of threads, and the log's GIL, are an interpreter's own */
        return;
    py.PyErr_Fetch(&type, &value, &traceback);
    if (py.PyThreadState_GetID)
        profile_numbered(current, function);
    else
        profile_untouched(current, function);
    py.PyErr_Clear(); /* of an audit hook that refuses it */
    py.PyErr_Restore(type, value, traceback);
}
