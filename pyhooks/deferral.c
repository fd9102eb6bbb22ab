/* deferral.c: functions by which the program begins to be told of calls do their work a moment later.
 *
 * With --events calls the interpreter tells of every call of a C function and of its end, and of the end it tells
 * whoever listens by then. So sys.setprofile(f) would have f told of the end of sys.setprofile, of whose beginning it
 * was not told; without us it is told of neither. Hence:
 *
 *    sys.setprofile(f) -> C_CALL -> entry of the method table, ours: keeps f -> C_RETURN -> CPython's function, with f
 */
#include "pyhooks.h"

#include "poison.h"

#define LEGACY_PROFILER 6 /* the tool id that stands for all profile functions */

bool pmt_deferral_is_waiting;

/* One call at most: nothing comes between it and its C_RETURN. Protected by the GIL, as all here. */
static struct {
    struct pmt_entry entry;
    PyObject *module, *arguments[PMT_DEFERRED_MAX];
    Py_ssize_t count;
} waiting;

static PyObject *all_events; /* sys.monitoring._all_events, NULL: not there */
static struct pmt_entry setprofile, setprofile_all;

static void forget_waiting(void)
{
    pmt_deferral_is_waiting = false;
    for (Py_ssize_t i = 0; i < waiting.count; i++)
        py.Py_DecRef(waiting.arguments[i]);
    waiting.count = 0;
}

/* Whether the last event is the C_CALL that led to the function of `entry`: then a C_RETURN is to come, or a C_EXCEPT.
 */
static bool is_told(const struct pmt_entry *entry)
{
    int thread = pmt_thread_id();
    const struct pmt_event *last = &pmt_log_last.event;
    return pmt_events_state == PMT_LOGGING && last->what == PMT_C_CALL && last->c_name == entry->name &&
           last->thread == (thread == pmt_pid ? 0 : thread);
}

/* Calls what stood in the method table; at the C_RETURN of the call, if one is to come. */
PyObject *pmt_deferral_call(const struct pmt_entry *entry, PyObject *module, PyObject *const *arguments,
                            Py_ssize_t count)
{
    if (!is_told(entry) || count > PMT_DEFERRED_MAX)
        return pmt_entry_call(entry, module, arguments, count);
    forget_waiting();
    waiting.entry = *entry;
    waiting.module = module;
    for (Py_ssize_t i = 0; i < count; i++) {
        py.Py_IncRef(arguments[i]);
        waiting.arguments[i] = arguments[i];
    }
    waiting.count = count;
    pmt_deferral_is_waiting = true;
    return py._Py_NoneStruct;
}

/* The C_RETURN of the function named `name` has been told. False: what it has put off failed. */
bool pmt_deferral_finish(const char *name)
{
    PyObject *result = py._Py_NoneStruct;
    if (name == waiting.entry.name) {
        pmt_deferral_is_waiting = false; /* it may call what puts off something else */
        result = pmt_entry_call(&waiting.entry, waiting.module, waiting.arguments, waiting.count);
    }
    forget_waiting();
    return result != NULL;
}

/* ---- profile functions */

/* Whether some thread has a profile function of the program's: then the interpreter tells of calls without us. */
static bool is_profiled(void)
{
    PyObject *events = all_events ? py.PyObject_CallFunctionObjArgs(all_events, NULL) : NULL;
    PyObject *tools = events ? py.PyDict_GetItemString(events, "CALL") : NULL;
    bool is_profiled_now = tools && py.PyLong_AsLong(tools) >> LEGACY_PROFILER & 1;
    if (events)
        py.Py_DecRef(events);
    py.PyErr_Clear();
    return is_profiled_now;
}

static PyObject *set(const struct pmt_entry *entry, PyObject *module, PyObject *function)
{
    if (function == py._Py_NoneStruct || !pmt_pyver_is_in_first_interpreter() || is_profiled())
        return pmt_entry_call(entry, module, &function, 1);
    return pmt_deferral_call(entry, module, &function, 1);
}

static PyObject *setprofile_ours(PyObject *module, PyObject *function)
{
    return set(&setprofile, module, function);
}

static PyObject *setprofile_all_ours(PyObject *module, PyObject *function)
{
    return set(&setprofile_all, module, function);
}

void pmt_deferral_start(PyObject *all_events_function)
{
    all_events = all_events_function;
    PyObject *functions[] = {py.PySys_GetObject("setprofile"), py.PySys_GetObject("_setprofileallthreads")};
    if (functions[0])
        pmt_entry_hook(&setprofile, functions[0], setprofile_ours, NULL);
    if (functions[1])
        pmt_entry_hook(&setprofile_all, functions[1], setprofile_all_ours, NULL);
}
