/* profiler.c: the engine that every CPython has: a profile function, called at every call and return of Python and C
 * functions, and for --events lines a trace function beside it, called at every line and exception.
 *
 *    CALL RETURN C_CALL C_RETURN C_EXCEPT  <- profile        LINE EXCEPT  <- trace, which is told of calls first and of
 *                                                            returns first: the rows have the order of the events
 *
 * Both stand before the program's own functions: slots.c. */
#include "pyhooks.h"

#include "poison.h"

/* Indexed by CPython's PyTrace_ numbers; PyTrace_CALL is 0. */
static const struct kind {
    enum pmt_what what;
    bool is_profiled, is_traced, is_c;
} kinds[] = {
    [PyTrace_CALL] = {PMT_CALL, true, false, false},        [PyTrace_EXCEPTION] = {PMT_EXCEPT, false, true, false},
    [PyTrace_LINE] = {PMT_LINE, false, true, false},        [PyTrace_RETURN] = {PMT_RETURN, true, false, false},
    [PyTrace_C_CALL] = {PMT_C_CALL, true, false, true},     [PyTrace_C_EXCEPTION] = {PMT_C_EXCEPT, true, false, true},
    [PyTrace_C_RETURN] = {PMT_C_RETURN, true, false, true},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static bool with_lines;

/* Bare name of the C function `function`; in a subclass of the builtin type the layout is the same. */
static const char *name_of_c_function(PyObject *function)
{
    PyTypeObject *type = Py_TYPE(function);
    if (type != py.PyCFunction_Type && !py.PyType_IsSubtype(type, py.PyCFunction_Type))
        return "-";
    return ((PyCFunctionObject *)(void *)function)->m_ml->ml_name;
}

static PyObject *place_of(PyFrameObject *frame, int64_t *position)
{
    return with_lines ? pmt_pyver_traced_place(frame, position) : pmt_pyver_place(frame, position);
}

static int profile(PyObject *chained, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    if (pmt_events_state != PMT_LOGGING || (size_t)what >= KINDS || !kinds[what].is_profiled)
        return 0;
    if (kinds[what].is_c && pmt_config.events == PMT_EVENTS_PYTHON)
        return 0;
    if (PMT_UNLIKELY(pmt_told_count) && !chained && (what == PyTrace_C_RETURN || what == PyTrace_C_EXCEPTION))
        pmt_told_take(frame); /* the program's function is gone */
    PyObject *code = place_of(frame, &position);
    pmt_events_log(kinds[what].what, code, position,
                   kinds[what].is_c && argument ? name_of_c_function(argument) : NULL);
    return 0;
}

static int trace(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    (void)unused;
    (void)argument;
    if (pmt_events_state != PMT_LOGGING || (size_t)what >= KINDS || !kinds[what].is_traced)
        return 0;
    PyObject *code = place_of(frame, &position);
    pmt_events_log(kinds[what].what, code, position, NULL);
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
    pmt_slots_observe(current, PMT_SLOT_PROFILE, profile);
    if (with_lines)
        pmt_slots_observe(current, PMT_SLOT_TRACE, trace);
}

const struct pmt_engine pmt_profiler = {"a profile function", prepare, begin, pmt_slots_see_new_threads, NULL};
