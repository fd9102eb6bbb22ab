/* toolid.c: the tool id by which monitor.c listens to sys.monitoring, kept out of the program's way.
 *
 * There are six ids, some with an owner by convention (0 debuggers, 1 coverage, 2 profilers, 5 optimizers), and a
 * program that takes one in use gets an error. So ours is not to be met: whichever id the program names to a function
 * of sys.monitoring, we are gone from it before the function does its work.
 *
 *    sys.monitoring.use_tool_id(4, ...) -> method table -> make_way(4): ours? listen by 3 -> CPython's function
 *
 * Names of CPython are not interposed: the entries of the module's method table are made ours. */
#include "pyhooks.h"

#include "poison.h"

/* Functions whose first argument is a tool id; clear_tool_id is there from 3.14 on. */
#define FUNCTIONS(EACH)                                                                                                \
    EACH(use_tool_id)                                                                                                  \
    EACH(free_tool_id)                                                                                                 \
    EACH(clear_tool_id)                                                                                                \
    EACH(get_tool)                                                                                                     \
    EACH(register_callback) EACH(get_events) EACH(set_events) EACH(get_local_events) EACH(set_local_events)

typedef PyObject *(*many_function)(PyObject *, PyObject *const *, Py_ssize_t); /* METH_FASTCALL */

enum function {
#define INDEX(name) AT_##name,
    FUNCTIONS(INDEX) AT_all_events,
    COUNT
#undef INDEX
};

/* Protected by the GIL of the first interpreter, as all here. */
static struct {
    PyObject *object;     /* the function of the module */
    PyCFunction original; /* of its entry in the method table */
} functions[COUNT];

static int mine = -1;       /* the tool id */
static long listened;       /* events that it listens to */
static bool is_inside;      /* the call is our own */
static void (*leave)(void); /* told when the program names our id */

/* ---- calls of the program */

static bool is_ours(PyObject *id)
{
    if (mine < 0 || is_inside || !pmt_pyver_is_in_first_interpreter())
        return false;
    if (!py.PyType_IsSubtype(Py_TYPE(id), py.PyLong_Type))
        return false;
    long number = py.PyLong_AsLong(id);
    py.PyErr_Clear(); /* of a number that is too large */
    return number == mine;
}

static inline void make_way(PyObject *id)
{
    if (is_ours(id))
        leave();
}

#define WRAPPERS(name)                                                                                                 \
    static PyObject *name##_of_one(PyObject *module, PyObject *id)                                                     \
    {                                                                                                                  \
        make_way(id);                                                                                                  \
        return functions[AT_##name].original(module, id);                                                              \
    }                                                                                                                  \
    static PyObject *name##_of_many(PyObject *module, PyObject *const *arguments, Py_ssize_t count)                    \
    {                                                                                                                  \
        if (count > 0)                                                                                                 \
            make_way(arguments[0]);                                                                                    \
        return ((many_function)(void (*)(void))functions[AT_##name].original)(module, arguments, count);               \
    }
FUNCTIONS(WRAPPERS)
#undef WRAPPERS

/* Not documented; it tells which tools listen to what. */
static PyObject *all_events(PyObject *module, PyObject *unused)
{
    long events = !is_inside && mine >= 0 && pmt_pyver_is_in_first_interpreter() ? listened : 0;
    if (events)
        pmt_tool_listen(mine, 0);
    PyObject *result = functions[AT_all_events].original(module, unused);
    if (events)
        pmt_tool_listen(mine, events);
    return result;
}

/* ---- our own calls */

/* Calls a function of the module with a tool id and what else is not NULL; takes `second`. False: it failed. */
static bool call(enum function which, int id, PyObject *second, PyObject *third, bool *is_none)
{
    PyObject *number = py.PyLong_FromLongLong(id), *result = NULL;
    bool was_inside = is_inside;
    is_inside = true;
    if (number && (which == AT_get_tool || which == AT_free_tool_id || second))
        result = py.PyObject_CallFunctionObjArgs(functions[which].object, number, second, third, NULL);
    is_inside = was_inside;
    if (is_none)
        *is_none = result == py._Py_NoneStruct;
    PyObject *owned[] = {number, second, result};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (owned[i])
            py.Py_DecRef(owned[i]);
    if (!result)
        py.PyErr_Clear();
    return result != NULL;
}

/* Has `callback` (NULL: nobody) called for an event. */
bool pmt_tool_register(int id, long event, PyObject *callback)
{
    return call(AT_register_callback, id, py.PyLong_FromLongLong(event), callback ? callback : py._Py_NoneStruct, NULL);
}

bool pmt_tool_listen(int id, long events)
{
    bool is_done = call(AT_set_events, id, py.PyLong_FromLongLong(events), NULL, NULL);
    if (is_done && id == mine)
        listened = events;
    return is_done;
}

/* Takes a tool id that nobody uses, highest first among those without an owner. -1: there is none. */
int pmt_tool_take(void)
{
    static const int preferred[] = {4, 3, 5, 1, 0, 2};
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++) {
        bool is_free = false;
        call(AT_get_tool, preferred[i], NULL, NULL, &is_free);
        if (!is_free || !call(AT_use_tool_id, preferred[i], py.PyUnicode_FromString("pmt"), NULL, NULL))
            continue;
        mine = preferred[i];
        listened = 0;
        return mine;
    }
    return -1;
}

void pmt_tool_free(int id)
{
    call(AT_free_tool_id, id, NULL, NULL, NULL);
    if (id == mine)
        mine = -1;
}

/* ---- start */

static const struct {
    const char *name;
    PyCFunction one;
    many_function many;
} wrappers[] = {
#define ROW(name) [AT_##name] = {#name, name##_of_one, name##_of_many},
    FUNCTIONS(ROW)
#undef ROW
        [AT_all_events] = {"_all_events", all_events, NULL},
};

/* Makes the method table's entry of a function ours. */
static bool hook(enum function which)
{
    PyMethodDef *entry = ((PyCFunctionObject *)(void *)functions[which].object)->m_ml;
    PyCFunction ours = entry->ml_flags == METH_FASTCALL && wrappers[which].many
                           ? (PyCFunction)(void (*)(void))wrappers[which].many
                           : wrappers[which].one;
    if (entry->ml_flags != METH_FASTCALL && entry->ml_flags != METH_O && entry->ml_flags != METH_NOARGS)
        return false;
    if (entry->ml_meth != ours) {
        functions[which].original = entry->ml_meth;
        entry->ml_meth = ours;
    }
    return true;
}

/* Whether tool ids can be had from `monitoring`. `named` is called when the program names the id that is taken. */
bool pmt_tool_start(PyObject *monitoring, void (*named)(void))
{
    leave = named;
    mine = -1;
    for (int i = 0; i < COUNT; i++) {
        PyObject *function = py.PyObject_GetAttrString(monitoring, wrappers[i].name);
        functions[i].object = function;
        if (!function && i != AT_clear_tool_id && i != AT_all_events)
            return false;
        if (function && (Py_TYPE(function) != py.PyCFunction_Type || !hook(i)))
            return false;
    }
    return true;
}
