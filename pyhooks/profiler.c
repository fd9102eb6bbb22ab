/* profiler.c: the engine that every CPython has: a profile function, called at every call and return of Python and C
 * functions, and for --events lines a trace function beside it, called at every line and exception.
 *
 *    CALL RETURN C_CALL C_RETURN C_EXCEPT  <- profile        LINE EXCEPT  <- trace, which is told of calls first and of
 *                                                            returns first: the rows have the order of the events
 *
 * Both stand before the program's own functions: slots.c. */
#include "pyhooks.h"

#include <string.h>

#include "poison.h"

static bool with_lines;
static struct pmt_frame_offsets at; /* in frames */

/* Bare name of the C function `function`; in a subclass of the builtin type the layout is the same. */
static inline const char *name_of_c_function(PyObject *function)
{
    PyTypeObject *type = Py_TYPE(function);
    if (PMT_UNLIKELY(type != py.PyCFunction_Type) && !py.PyType_IsSubtype(type, py.PyCFunction_Type))
        return "-";
    return ((PyCFunctionObject *)(void *)function)->m_ml->ml_name;
}

/* What is the same for every way of reading a frame. */
PMT_HOT int tell(PyObject *chained, PyFrameObject *frame, int what, PyObject *argument, PyObject *code,
                 int64_t position)
{
    static const enum pmt_what whats[] = {
        [PyTrace_CALL] = PMT_CALL,         [PyTrace_RETURN] = PMT_RETURN,
        [PyTrace_C_CALL] = PMT_C_CALL,     [PyTrace_C_EXCEPTION] = PMT_C_EXCEPT,
        [PyTrace_C_RETURN] = PMT_C_RETURN,
    };
    const char *name = NULL;
    if (what >= PyTrace_C_CALL) {
        if (PMT_UNLIKELY(pmt_told_count) && !chained && what != PyTrace_C_CALL)
            pmt_told_take(frame); /* the program's function is gone */
        name = argument ? name_of_c_function(argument) : NULL;
    }
    pmt_events_log(whats[what], code, position, name);
    return 0;
}

static inline bool is_told(int what)
{
    return PMT_LIKELY(pmt_events_state == PMT_LOGGING) &&
           (what == PyTrace_CALL || (what >= PyTrace_RETURN && what <= PyTrace_C_RETURN));
}

/* Up to 3.10. */
static int profile_frame(PyObject *chained, PyFrameObject *frame, int what, PyObject *argument)
{
    PyObject *code;
    int place;
    if (!is_told(what))
        return 0;
    memcpy(&code, (const char *)frame + at.code, sizeof code);
    memcpy(&place, (const char *)frame + at.place, sizeof place);
    return tell(chained, frame, what, argument, code, place);
}

/* From 3.11 on. */
static int profile_inner(PyObject *chained, PyFrameObject *frame, int what, PyObject *argument)
{
    const char *inner;
    uintptr_t code, place;
    if (!is_told(what))
        return 0;
    memcpy(&inner, (const char *)frame + at.inner, sizeof inner);
    memcpy(&code, inner + at.code, sizeof code);
    memcpy(&place, inner + at.place, sizeof place);
    return tell(chained, frame, what, argument, (PyObject *)(code & ~(uintptr_t)7), (int64_t)place);
}

/* --events python and lines, and frames that are not known. */
static int profile_else(PyObject *chained, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    if (!is_told(what) || (what >= PyTrace_C_CALL && pmt_config.events == PMT_EVENTS_PYTHON))
        return 0;
    PyObject *code = with_lines ? pmt_pyver_traced_place(frame, &position) : pmt_pyver_place(frame, &position);
    return tell(chained, frame, what, argument, code, position);
}

static int trace(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    (void)unused;
    (void)argument;
    if (pmt_events_state != PMT_LOGGING || (what != PyTrace_LINE && what != PyTrace_EXCEPTION))
        return 0;
    PyObject *code = pmt_pyver_traced_place(frame, &position);
    pmt_events_log(what == PyTrace_LINE ? PMT_LINE : PMT_EXCEPT, code, position, NULL);
    return 0;
}

static bool prepare(void)
{
    with_lines = pmt_config.events == PMT_EVENTS_LINES;
    return true;
}

static void begin(void)
{
    PyThreadState *current = py.PyThreadState_Get();
    bool is_quick = pmt_pyver_frame_offsets(&at) && pmt_config.events == PMT_EVENTS_CALLS;
    pmt_slots_observe(current, PMT_SLOT_PROFILE, !is_quick ? profile_else : at.inner ? profile_inner : profile_frame);
    if (with_lines)
        pmt_slots_observe(current, PMT_SLOT_TRACE, trace);
}

const struct pmt_engine pmt_profiler = {"a profile function", prepare, begin, pmt_slots_see_new_threads, NULL};
