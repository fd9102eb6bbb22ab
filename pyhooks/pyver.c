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

/* The same, to be read without a call. False: not known. */
bool pmt_pyver_frame_offsets(struct pmt_frame_offsets *offsets)
{
    if (layout)
        *offsets = (struct pmt_frame_offsets){layout->inner, layout->code, layout->place};
    return layout != NULL;
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

/* The same, of a frame that a trace function of ours has followed from its beginning. Up to 3.9 such a frame is on the
 * line that was last told, where it may run through code of another one, as at the end of a generator's loop. */
PyObject *pmt_pyver_traced_place(PyFrameObject *frame, int64_t *position)
{
    PyObject *code = pmt_pyver_place(frame, position);
    int line;
    if (layout && version_minor <= 9) {
        memcpy(&line, (const char *)frame + layout->place + sizeof line, sizeof line); /* f_lineno follows f_lasti */
        *position = PMT_POSITION_LINE | line;
    }
    return code;
}

/* Events of monitoring that a C extension tells of may have anything in place of a code object. */
bool pmt_pyver_is_code(const void *place)
{
    return Py_TYPE((PyObject *)(uintptr_t)place) == py.PyCode_Type;
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

static const struct pmt_pyver_stack stacks[] = {
#define LAYOUT(...) {__VA_ARGS__},
#include "pystack.def"
#undef LAYOUT
};

/* How stacks are read in this version, and the row's number; NULL: not known. Valid when the layout of frames was
 * checked. */
const struct pmt_pyver_stack *pmt_pyver_stack(int *row)
{
    for (int i = 0; i < (int)(sizeof stacks / sizeof *stacks) && layout; i++)
        if (version_minor >= stacks[i].first && version_minor <= stacks[i].last) {
            *row = i;
            return &stacks[i];
        }
    return NULL;
}

enum { OWNED_BY_GENERATOR = 1 };

/* Whether the frame has begun to run its code: before, Python itself does not show it. */
bool pmt_pyver_is_finished(const struct pmt_pyver_stack *stack, const char *frame)
{
    if (stack->traceable < 0 || frame[stack->owner] == OWNED_BY_GENERATOR)
        return true;
    const char *code = (const char *)read_code(frame, stack->code), *place = read_pointer(frame, stack->place);
    int units;
    memcpy(&units, code + stack->traceable, sizeof units);
    return place >= code + first_instruction + 2 * (int64_t)units;
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

/* Needs no GIL. */
static PyInterpreterState *interpreter_of(PyThreadState *thread)
{
    if (py.PyThreadState_GetInterpreter)
        return py.PyThreadState_GetInterpreter(thread);
    return ((struct old_thread *)(void *)thread)->interpreter;
}

/* The interpreter of the caller, who holds its GIL. */
PyInterpreterState *pmt_pyver_interpreter(void)
{
    return interpreter_of(py.PyThreadState_Get());
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

/* ---- thread states */

/* What a thread state says of its profile and trace function (struct _ts in Include/pystate.h,
 * Include/cpython/pystate.h). */
static const struct thread_layout {
    int first, last; /* minor versions */
    int functions;   /* offset of c_profilefunc; c_tracefunc, c_profileobj and c_traceobj follow */
    int tracing;     /* of the number of such functions that are running */
    int flag;        /* of use_tracing, or of the pointer to the structure that begins with it; 0: there is none */
    bool is_in_structure;
    int flag_size, on; /* of use_tracing; its value when there is a function */
} thread_layouts[] = {
    {6, 6, 48, 40, 44, false, 4, 1},    {7, 9, 56, 44, 48, false, 4, 1},  {10, 10, 56, 44, 48, true, 4, 1},
    {11, 11, 64, 44, 56, true, 1, 255}, {12, 12, 64, 44, 0, false, 0, 0}, {13, 14, 80, 60, 0, false, 0, 0},
    {15, 15, 104, 64, 0, false, 0, 0},
};
static const struct thread_layout *thread_layout; /* NULL: this version's is not known, or did not hold */

static void *flag_of(PyThreadState *thread)
{
    char *flag = (char *)thread + thread_layout->flag;
    return thread_layout->is_in_structure ? read_pointer(flag, 0) : flag;
}

static bool is_flag(PyThreadState *thread, int value)
{
    return !thread_layout->flag || memcmp(flag_of(thread), &value, (size_t)thread_layout->flag_size) == 0;
}

/* Where the thread keeps a function of its; NULL: not known. The object it is called with is two places further. */
Py_tracefunc *pmt_pyver_slot(PyThreadState *thread, enum pmt_slot slot)
{
    char *functions = (char *)thread + (thread_layout ? thread_layout->functions : 0);
    return thread_layout ? (Py_tracefunc *)(void *)functions + slot : NULL;
}

/* A function was written into a slot. While one runs, CPython sees to the flag when it is over. */
void pmt_pyver_switch_on(PyThreadState *thread)
{
    int running;
    memcpy(&running, (char *)thread + thread_layout->tracing, sizeof running);
    if (thread_layout->flag && running == 0)
        memcpy(flag_of(thread), &thread_layout->on, (size_t)thread_layout->flag_size);
}

static bool has_function(PyThreadState *thread, enum pmt_slot slot, Py_tracefunc function, PyObject *object)
{
    Py_tracefunc *cell = pmt_pyver_slot(thread, slot);
    void *found;
    memcpy(&found, cell + PMT_SLOTS, sizeof found);
    return *cell == function && found == object && is_flag(thread, function ? thread_layout->on : 0);
}

/* Finds out whether slots can be written directly, and leaves `function` in the profile slot of the caller's thread,
 * which has no function yet. With `with_tracer` a trace function counts as being used from here on, in the way in which
 * CPython counts them (_Py_TracingPossible, sys_tracing_threads), whether there is one or not. */
bool pmt_pyver_check_slots(PyThreadState *current, Py_tracefunc function, bool with_tracer)
{
    for (size_t i = 0; i < sizeof thread_layouts / sizeof *thread_layouts; i++)
        if (version_minor >= thread_layouts[i].first && version_minor <= thread_layouts[i].last)
            thread_layout = &thread_layouts[i];
    bool holds = thread_layout && has_function(current, PMT_SLOT_PROFILE, NULL, NULL) &&
                 has_function(current, PMT_SLOT_TRACE, NULL, NULL);
    if (with_tracer) {
        py.PyEval_SetTrace(function, py._Py_NoneStruct);
        holds = holds && has_function(current, PMT_SLOT_TRACE, function, py._Py_NoneStruct);
        py.PyEval_SetTrace(function, NULL);
    }
    py.PyEval_SetProfile(function, py._Py_NoneStruct);
    holds = holds && has_function(current, PMT_SLOT_PROFILE, function, py._Py_NoneStruct);
    py.PyEval_SetProfile(function, NULL);
    if (!holds)
        thread_layout = NULL;
    else if (with_tracer)
        *pmt_pyver_slot(current, PMT_SLOT_TRACE) = NULL;
    return holds;
}

/* Whether CPython keeps a number of threads with a function, and instruments code while it is not 0 (3.12 on): then a
 * slot may go from none to one, and back, through its own functions only. */
bool pmt_pyver_counts_functions(void)
{
    return version_minor >= 12;
}

/* Whether the thread belongs to the interpreter that is logged. Needs no GIL. */
bool pmt_pyver_is_logged(PyThreadState *thread)
{
    return interpreter_of(thread) == first_interpreter;
}

/* Calls `see` for every thread state of that interpreter. */
void pmt_pyver_each_thread(void (*see)(PyThreadState *thread))
{
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(first_interpreter);
    for (; thread; thread = py.PyThreadState_Next(thread))
        see(thread);
}

/* Calls `see` for those made since the last call. Up to 3.8 thread states have no number. */
void pmt_pyver_each_new_thread(void (*see)(PyThreadState *thread))
{
    if (!py.PyThreadState_GetID)
        return;
    uint64_t newest = last_thread_id;
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(first_interpreter);
    for (; thread; thread = py.PyThreadState_Next(thread)) { /* newest first */
        uint64_t id = py.PyThreadState_GetID(thread);
        if (id <= last_thread_id)
            break;
        newest = id > newest ? id : newest;
        see(thread);
    }
    last_thread_id = newest;
}
