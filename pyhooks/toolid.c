/* toolid.c: the tool ids by which monitor.c listens to sys.monitoring, kept out of the program's way.
 *
 * There are six ids, some with an owner by convention (0 debuggers, 1 coverage, 2 profilers, 5 optimizers), and a
 * program that takes one in use gets an error. So ours are not to be met: whichever id the program names to a function
 * of sys.monitoring, we are gone from it before the function does its work.
 *
 *    sys.monitoring.use_tool_id(4, ...) -> method table, ours -> 4 is ours? then leave it for 3 -> CPython's function
 */
#include "pyhooks.h"

#include <string.h>

#include "poison.h"

/* Functions whose first argument is a tool id; clear_tool_id is there from 3.14 on. */
#define FUNCTIONS(EACH)                                                                                                \
    EACH(use_tool_id)                                                                                                  \
    EACH(free_tool_id)                                                                                                 \
    EACH(clear_tool_id)                                                                                                \
    EACH(get_tool)                                                                                                     \
    EACH(register_callback) EACH(get_events) EACH(set_events) EACH(get_local_events) EACH(set_local_events)

#define IDS 6
enum function {
#define INDEX(name) AT_##name,
    FUNCTIONS(INDEX) AT_all_events,
    COUNT
#undef INDEX
};

/* Protected by the GIL of the first interpreter, as all here. */
static PyObject *objects[COUNT]; /* the functions of the module */
static struct pmt_entry entries[COUNT];
static long call_event;       /* the number of CALL */
static bool is_inside;        /* the call is our own */
static void (*leave)(int id); /* told when the program names an id of ours */
static struct {
    bool is_ours;
    long events; /* that we listen to by it */
} ids[IDS];

/* ---- our own calls */

/* Calls a function of the module with a tool id, and what else is not NULL. */
static PyObject *ask(enum function which, int id, PyObject *second, PyObject *third)
{
    PyObject *number = py.PyLong_FromLongLong(id), *result = NULL;
    bool was_inside = is_inside;
    is_inside = true;
    if (number)
        result = py.PyObject_CallFunctionObjArgs(objects[which], number, second, third, NULL);
    is_inside = was_inside;
    if (number)
        py.Py_DecRef(number);
    if (!result)
        py.PyErr_Clear();
    return result;
}

/* The same, of one whose result does not matter. False: it failed. */
static bool tell(enum function which, int id, PyObject *second, PyObject *third)
{
    PyObject *result = ask(which, id, second, third);
    if (result)
        py.Py_DecRef(result);
    return result != NULL;
}

/* The same, of one that returns a number. */
static long ask_number(enum function which, int id, PyObject *second)
{
    PyObject *result = ask(which, id, second, NULL);
    long number = result ? py.PyLong_AsLong(result) : -1;
    if (result)
        py.Py_DecRef(result);
    return number;
}

/* Has `callback` (NULL: nobody) called for an event. */
bool pmt_tool_register(int id, long event, PyObject *callback)
{
    PyObject *number = py.PyLong_FromLongLong(event);
    bool is_done = number && tell(AT_register_callback, id, number, callback ? callback : py._Py_NoneStruct);
    if (number)
        py.Py_DecRef(number);
    return is_done;
}

bool pmt_tool_listen(int id, long events)
{
    PyObject *number = py.PyLong_FromLongLong(events);
    bool is_done = number && tell(AT_set_events, id, number, NULL);
    if (number)
        py.Py_DecRef(number);
    if (is_done)
        ids[id].events = events;
    return is_done;
}

static bool is_used(int id)
{
    PyObject *name = ask(AT_get_tool, id, NULL, NULL);
    if (name)
        py.Py_DecRef(name);
    return name != py._Py_NoneStruct;
}

/* Takes a tool id that nobody uses, highest first among those without an owner. -1: there is none. */
int pmt_tool_take(void)
{
    static const int preferred[] = {4, 3, 5, 1, 0, 2};
    PyObject *name = py.PyUnicode_FromString("pmt");
    int taken = -1;
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred && name && taken < 0; i++)
        if (!is_used(preferred[i]) && tell(AT_use_tool_id, preferred[i], name, NULL))
            taken = preferred[i];
    if (name)
        py.Py_DecRef(name);
    if (taken >= 0)
        ids[taken].is_ours = true;
    return taken;
}

void pmt_tool_free(int id)
{
    tell(AT_free_tool_id, id, NULL, NULL);
    ids[id].is_ours = false;
    ids[id].events = 0;
}

/* ---- calls of the program */

static bool is_int(PyObject *object)
{
    return py.PyType_IsSubtype(Py_TYPE(object), py.PyLong_Type);
}

static long read_int(PyObject *object)
{
    long number = is_int(object) ? py.PyLong_AsLong(object) : -1;
    py.PyErr_Clear(); /* of one that is too large */
    return number;
}

static bool is_programs(void)
{
    return !is_inside && pmt_pyver_is_in_first_interpreter();
}

/* Whether the call will have a tool of the program's listen to calls, which it does not yet. */
static bool begins_calls(enum function which, PyObject *const *arguments, Py_ssize_t count)
{
    bool is_local = which == AT_set_local_events;
    if ((which != AT_set_events && !is_local) || count != 2 + is_local || !is_programs())
        return false;
    int id = (int)read_int(arguments[0]);
    long wanted = read_int(arguments[count - 1]);
    if (id < 0 || wanted < 0 || !(wanted & call_event) || !is_used(id) ||
        ask_number(AT_get_events, id, NULL) & call_event)
        return false;
    return !is_local || !(ask_number(AT_get_local_events, id, arguments[1]) & call_event);
}

static PyObject *handle(enum function which, PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    long id = count > 0 && is_programs() ? read_int(arguments[0]) : -1;
    if (id >= 0 && id < IDS && ids[id].is_ours)
        leave((int)id);
    if (begins_calls(which, arguments, count))
        return pmt_deferral_call(&entries[which], module, arguments, count);
    return pmt_entry_call(&entries[which], module, arguments, count);
}

#define WRAPPERS(name)                                                                                                 \
    static PyObject *name##_of_one(PyObject *module, PyObject *id)                                                     \
    {                                                                                                                  \
        return handle(AT_##name, module, &id, 1);                                                                      \
    }                                                                                                                  \
    static PyObject *name##_of_many(PyObject *module, PyObject *const *arguments, Py_ssize_t count)                    \
    {                                                                                                                  \
        return handle(AT_##name, module, arguments, count);                                                            \
    }
FUNCTIONS(WRAPPERS)
#undef WRAPPERS

/* Not documented; it tells which tools listen to what. */
static PyObject *all_events(PyObject *module, PyObject *unused)
{
    (void)unused;
    long events[IDS] = {0};
    for (int id = 0; id < IDS && is_programs(); id++)
        if ((events[id] = ids[id].events) != 0)
            pmt_tool_listen(id, 0);
    PyObject *result = pmt_entry_call(&entries[AT_all_events], module, NULL, 0);
    for (int id = 0; id < IDS; id++)
        if (events[id])
            pmt_tool_listen(id, events[id]);
    return result;
}

/* ---- start */

static const struct {
    const char *name;
    PyCFunction one;
    pmt_many_function many;
} wrappers[] = {
#define ROW(name) [AT_##name] = {#name, name##_of_one, name##_of_many},
    FUNCTIONS(ROW)
#undef ROW
        [AT_all_events] = {"_all_events", all_events, NULL},
};

/* Whether tool ids can be had from `monitoring`; `call` is the number of its event CALL. `named` is called when the
 * program names an id that is taken, with that. */
bool pmt_tool_start(PyObject *monitoring, long call, void (*named)(int id))
{
    leave = named;
    call_event = call;
    memset(ids, 0, sizeof ids);
    for (int i = 0; i < COUNT; i++) {
        PyObject *function = py.PyObject_GetAttrString(monitoring, wrappers[i].name);
        objects[i] = function;
        if (!function && i != AT_clear_tool_id && i != AT_all_events)
            return false;
        if (function && !pmt_entry_hook(&entries[i], function, wrappers[i].one, wrappers[i].many))
            return false;
    }
    pmt_deferral_start(objects[AT_all_events]);
    return true;
}
