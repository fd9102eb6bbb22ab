/* profiler.c: the engine that every CPython has: a profile function, called at every call and return of Python and C
 * functions.
 *
 * It is set with PyEval_SetProfile and no object, so that sys.getprofile() stays None. */
#include "pyhooks.h"

#include "poison.h"

/* Indexed by CPython's PyTrace_ numbers; PyTrace_CALL is 0. */
static const struct {
    enum pmt_what what;
    bool is_logged, is_c;
} kinds[] = {
    [PyTrace_CALL] = {PMT_CALL, true, false},        [PyTrace_RETURN] = {PMT_RETURN, true, false},
    [PyTrace_C_CALL] = {PMT_C_CALL, true, true},     [PyTrace_C_EXCEPTION] = {PMT_C_EXCEPT, true, true},
    [PyTrace_C_RETURN] = {PMT_C_RETURN, true, true}, [PyTrace_OPCODE] = {PMT_LINE, false, false},
};

/* Bare name of the C function `function`; in a subclass of the builtin type the layout is the same. */
static const char *name_of_c_function(PyObject *function)
{
    PyTypeObject *type = Py_TYPE(function);
    if (type != py.PyCFunction_Type && !py.PyType_IsSubtype(type, py.PyCFunction_Type))
        return "-";
    return ((PyCFunctionObject *)(void *)function)->m_ml->ml_name;
}

static int profile(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    (void)unused;
    if (pmt_events_state != PMT_LOGGING || (size_t)what >= sizeof kinds / sizeof *kinds || !kinds[what].is_logged)
        return 0;
    if (kinds[what].is_c && pmt_config.events == PMT_EVENTS_PYTHON)
        return 0;
    PyObject *code = pmt_pyver_place(frame, &position);
    pmt_events_log(kinds[what].what, code, position,
                   kinds[what].is_c && argument ? name_of_c_function(argument) : NULL);
    return 0;
}

static bool prepare(void)
{
    return true;
}

static void begin(void)
{
    py.PyEval_SetProfile(profile, NULL);
}

static void see_new_threads(PyThreadState *current)
{
    pmt_pyver_profile_new_threads(current, profile);
}

const struct pmt_engine pmt_profiler = {"a profile function", prepare, begin, see_new_threads, NULL};
