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

static int version_minor, version_micro;

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

static int leading_number(const char *text)
{
    int number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    return number;
}

/* Minor number of "3.X.Y ...", -1 if the version is none that pmt can attach to. */
int pmt_pyver_minor(const char *version)
{
    if (strncmp(version, "3.", 2) != 0)
        return -1;
    int minor = leading_number(version + 2);
    return minor < 6 ? -1 : minor;
}

static int micro_of(const char *version)
{
    const char *dot = strchr(version + 2, '.');
    return dot ? leading_number(dot + 1) : 0;
}

void pmt_pyver_start(int minor, PyThreadState *current)
{
    version_minor = minor;
    version_micro = micro_of(py.Py_GetVersion());
    first_interpreter = pmt_pyver_interpreter();
    last_thread_id = py.PyThreadState_GetID ? py.PyThreadState_GetID(current) : 0;
}

/* Where a frame keeps its code object and its place in it. Up to 3.10 in the PyFrameObject itself, the place a number
 * of bytes (3.10: of two-byte units); from 3.11 on in the _PyInterpreterFrame that it points to, the place a pointer
 * into the code; from 3.14 on the runtime tells where in that. (Include/frameobject.h, Include/cpython/frameobject.h,
 * Include/internal/pycore_frame.h) */
static struct layout {
    int first, last; /* minor versions */
    int inner;       /* offset of the pointer to the _PyInterpreterFrame, 0: none */
    int code, place; /* -1: the runtime tells */
} layouts[] = {
    {6, 6, 0, 32, 120},   {7, 9, 0, 32, 104},  {10, 10, 0, 32, 96},
    {11, 11, 24, 32, 56}, {12, 13, 24, 0, 56}, {14, 99, 24, -1, -1},
};

static const struct layout *layout; /* NULL: this version's is not known, or did not hold */
static int64_t first_instruction;   /* from 3.11 on: offset of the instructions in a code object */
#define FIRST_INSTRUCTION_MAX 1024

static inline void *read_pointer(const void *object, int offset)
{
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

/* From 3.14 on the reference may be a tagged one (pycore_stackref.h). */
static inline PyObject *read_code(const void *object, int offset)
{
    return (PyObject *)((uintptr_t)read_pointer(object, offset) & ~(uintptr_t)7);
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
        return read_code(inner, layout->code);
    }
    int place;
    memcpy(&place, (const char *)frame + layout->place, sizeof place);
    *position = place;
    return read_pointer(frame, layout->code);
}

/* Offset in bytes into the code's instructions of what pmt_pyver_place() gave. */
static int offset_of(const void *code, int64_t position)
{
    if (layout->inner)
        return (int)(position - (int64_t)(uintptr_t)code - first_instruction);
    return (int)(version_minor == 10 && position > 0 ? position * 2 : position);
}

/* Events of monitoring that a C extension tells of may have anything in place of a code object. */
bool pmt_pyver_is_code(const void *place)
{
    return Py_TYPE((const PyObject *)place) == py.PyCode_Type;
}

/* Line of a place, 0 if it has none. */
int pmt_pyver_line(const void *code, int64_t position)
{
    int line = (int)position;
    if (!pmt_pyver_is_code(code))
        return 0;
    if (position > 0 && position & PMT_POSITION_OFFSET)
        line = py.PyCode_Addr2Line((PyCodeObject *)(uintptr_t)code, (int)(position & ~PMT_POSITION_OFFSET));
    else if (layout && (position < 0 || !(position & PMT_POSITION_LINE)))
        line = py.PyCode_Addr2Line((PyCodeObject *)(uintptr_t)code, offset_of(code, position));
    return line > 0 ? line : 0;
}

/* _Py_DebugOffsets, at the start of _PyRuntime: after a cookie, numbers of 8 bytes. Those about _PyInterpreterFrame
 * follow each other everywhere, but begin elsewhere in each version: so they are those that hold for the frame. */
static void ask_runtime(struct layout *told, const char *inner, const PyObject *code, int64_t offset)
{
    enum { SIZE, PREVIOUS, EXECUTABLE, INSTR_PTR, WORDS = 200 };
    const uint64_t *words = (const void *)py._PyRuntime;
    if (!words || memcmp(words, "xdebugpy", 8) != 0)
        return;
    for (const uint64_t *at = words + 1; at < words + WORDS && told->code < 0; at++) {
        uint64_t end = at[SIZE] - sizeof(void *);
        if (at[SIZE] < 64 || at[SIZE] > 512 || at[EXECUTABLE] > end || at[INSTR_PTR] > end ||
            (at[EXECUTABLE] | at[INSTR_PTR]) % 8)
            continue;
        int64_t instruction = (int64_t)(uintptr_t)read_pointer(inner, (int)at[INSTR_PTR]);
        int64_t first = instruction - (int64_t)(uintptr_t)code - offset;
        if (first > 0 && first < FIRST_INSTRUCTION_MAX && read_code(inner, (int)at[EXECUTABLE]) == code) {
            told->place = (int)at[INSTR_PTR];
            told->code = (int)at[EXECUTABLE];
        }
    }
}

/* The layout of this version, NULL: none is known. */
static const struct layout *find_layout(PyFrameObject *frame, const PyObject *code, int64_t offset)
{
    for (struct layout *at = layouts; at < layouts + sizeof layouts / sizeof *layouts; at++) {
        if (version_minor < at->first || version_minor > at->last)
            continue;
        const char *inner = at->inner ? read_pointer(frame, at->inner) : NULL;
        if (inner && at->code < 0)
            ask_runtime(at, inner, code, offset);
        return at->code < 0 || (at->inner && !inner) ? NULL : at;
    }
    return NULL;
}

/* Checks the layout on a frame that runs: its code and its place must be what Python itself says. */
void pmt_pyver_check_layout(PyFrameObject *frame)
{
    PyObject *place = py.PyObject_GetAttrString((PyObject *)frame, "f_lasti");
    PyObject *code = frame_code(frame);
    int64_t offset = place ? py.PyLong_AsLong(place) : -1, position;
    layout = place ? find_layout(frame, code, offset) : NULL;
    bool holds = layout != NULL;
    if (holds && pmt_pyver_place(frame, &position) == code) {
        first_instruction = layout->inner ? position - (int64_t)(uintptr_t)code - offset : 0;
        holds =
            first_instruction >= 0 && first_instruction < FIRST_INSTRUCTION_MAX && offset_of(code, position) == offset;
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

bool pmt_pyver_has_monitoring(void)
{
    return version_minor >= 12;
}

/* Whether the call of a method object around a C function counts as a call of that function. */
bool pmt_pyver_tells_c_methods(void)
{
    return version_minor > 12 || version_micro >= 5;
}

/* Whether a function that is traced by opcodes (f_trace_opcodes) is so no longer when a second tool joins the first. */
bool pmt_pyver_loses_opcodes(void)
{
    return version_minor >= 13;
}

/* Whether the caller, who holds a GIL, runs in the interpreter that is logged. */
bool pmt_pyver_is_in_first_interpreter(void)
{
    return pmt_pyver_interpreter() == first_interpreter;
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
    if (!pmt_pyver_is_in_first_interpreter()) /* numbers of threads, and the log's GIL, are an interpreter's own */
        return;
    py.PyErr_Fetch(&type, &value, &traceback);
    if (py.PyThreadState_GetID)
        profile_numbered(current, function);
    else
        profile_untouched(current, function);
    py.PyErr_Clear(); /* of an audit hook that refuses it */
    py.PyErr_Restore(type, value, traceback);
}
