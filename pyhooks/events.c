/* events.c: the profile function. CPython calls it at every call and return of Python and C functions.
 *
 *    CPython -> pmt_events_profile(frame, what, argument) -> struct pmt_event -> log.c
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

enum state { IDLE, WAITING, LOGGING };
static enum state state;

/* Bare name of the C function `function`; in a subclass of the builtin type the layout is the same. */
static const char *name_of_c_function(PyObject *function)
{
    PyTypeObject *type = Py_TYPE(function);
    if (type != py.PyCFunction_Type && !py.PyType_IsSubtype(type, py.PyCFunction_Type))
        return "-";
    return ((PyCFunctionObject *)(void *)function)->m_ml->ml_name;
}

static inline void log_event(PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    int thread = pmt_thread_id();
    PyObject *code = pmt_pyver_place(frame, &position);
    pmt_log_event(kinds[what].what, thread == pmt_pid ? 0 : thread, code, position,
                  kinds[what].is_c && argument ? name_of_c_function(argument) : NULL);
}

int pmt_events_profile(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)unused;
    if (PMT_UNLIKELY(state != LOGGING)) {
        if (state == IDLE || !pmt_attach_wait(frame, what))
            return 0;
        state = pmt_config.events == PMT_EVENTS_OFF ? IDLE : LOGGING;
        if (state == IDLE) {
            py.PyEval_SetProfile(NULL, NULL);
            return 0;
        }
    }
    if ((size_t)what >= sizeof kinds / sizeof *kinds || !kinds[what].is_logged || pmt_state != PMT_ON)
        return 0;
    if (kinds[what].is_c && pmt_config.events == PMT_EVENTS_PYTHON)
        return 0;
    log_event(frame, what, argument);
    return 0;
}

/* From here the profile function is called; it waits until Python is ready. */
void pmt_events_start(void)
{
    state = WAITING;
    py.PyEval_SetProfile(pmt_events_profile, NULL);
}

/* Python is about to be torn down. Other threads may still come by; they find IDLE. */
void pmt_events_stop(void)
{
    state = IDLE; /* not PyEval_SetProfile(NULL): the function set by now may be somebody else's */
}

/* A thread is about to be made; called without knowing who holds the GIL. */
void pmt_events_thread_created(void)
{
    PyThreadState *current = state == LOGGING ? pmt_pyver_current_thread() : NULL;
    if (current)
        pmt_pyver_profile_new_threads(current, pmt_events_profile);
}
