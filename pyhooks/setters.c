/* setters.c: notices who sets a profile or trace function, wherever it is done, and when it has been done.
 *
 *    sys.setprofile, sys.settrace         their methods' functions are ours      set_by_method -> give, original, take
 *    PyEval_SetProfile, PyEval_SetTrace   as extension modules refer to it       set_profile   -> give, original, take
 *    _lsprof.Profiler, in CPython itself  the type's methods and destructor are ours
 *    the profile function itself          slots.c looks when it is over
 *
 * The method tables and the references are data, read at each call. An audit hook would notice the same and cost every
 * id() 30 ns. Not noticed: an address that was looked up by name (ctypes.pythonapi). */
#include "pyhooks.h"

#include <string.h>

#include "poison.h"

#define LOOKS_AFTER_LOADING 64 /* openings of the gate: a dlopen by another thread may take its time */

static const struct pmt_elf *python;
static int looks_left; /* atomic */
static bool is_done;   /* with all objects that had been loaded when we last looked */

/* ---- functions of the module sys */

struct method {
    const char *name;
    PyCFunction original;
    bool is_for_all; /* threads */
};

static unsigned given_in_all; /* the slots in which there was an observer somewhere */

static void give_in(PyThreadState *thread)
{
    given_in_all |= pmt_slots_give(thread);
}

static void take_in(PyThreadState *thread)
{
    pmt_slots_take(thread, given_in_all);
}

static PyObject *set_by_method(const struct method *method, PyObject *self, PyObject *function)
{
    PyThreadState *current = py.PyThreadState_Get();
    if (method->is_for_all && pmt_pyver_is_logged(current)) {
        given_in_all = 0;
        pmt_pyver_each_thread(give_in);
        PyObject *result = method->original(self, function);
        pmt_pyver_each_thread(take_in);
        return result;
    }
    unsigned given = pmt_slots_give(current);
    PyObject *result = method->original(self, function);
    pmt_slots_take(current, given);
    return result;
}

static struct method methods[] = {
    {"setprofile", NULL, false},
    {"settrace", NULL, false},
    {"_setprofileallthreads", NULL, true},
    {"_settraceallthreads", NULL, true},
};
#define METHODS (sizeof methods / sizeof *methods)

#define METHOD(i)                                                                                                      \
    static PyObject *method_##i(PyObject *self, PyObject *function)                                                    \
    {                                                                                                                  \
        return set_by_method(&methods[i], self, function);                                                             \
    }
METHOD(0)
METHOD(1)
METHOD(2)
METHOD(3)
static const PyCFunction replacements[METHODS] = {method_0, method_1, method_2, method_3};

static void replace_method(size_t i)
{
    PyObject *function = py.PySys_GetObject(methods[i].name);
    if (!function || Py_TYPE(function) != py.PyCFunction_Type)
        return;
    PyMethodDef *definition = ((PyCFunctionObject *)(void *)function)->m_ml;
    if (definition->ml_meth == replacements[i] || definition->ml_flags != METH_O)
        return;
    methods[i].original = definition->ml_meth;
    definition->ml_meth = replacements[i];
}

/* ---- references of extension modules */

static void set_profile(Py_tracefunc function, PyObject *object)
{
    PyThreadState *current = py.PyThreadState_Get();
    unsigned given = pmt_slots_give(current);
    py.PyEval_SetProfile(function, object);
    pmt_slots_take(current, given);
}

static void set_trace(Py_tracefunc function, PyObject *object)
{
    PyThreadState *current = py.PyThreadState_Get();
    unsigned given = pmt_slots_give(current);
    py.PyEval_SetTrace(function, object);
    pmt_slots_take(current, given);
}

static int set_profile_in(PyThreadState *thread, Py_tracefunc function, PyObject *object)
{
    unsigned given = pmt_slots_give(thread);
    int result = py._PyEval_SetProfile(thread, function, object);
    pmt_slots_take(thread, given);
    return result;
}

static int set_trace_in(PyThreadState *thread, Py_tracefunc function, PyObject *object)
{
    unsigned given = pmt_slots_give(thread);
    int result = py._PyEval_SetTrace(thread, function, object);
    pmt_slots_take(thread, given);
    return result;
}

static void set_for_all(void (*set)(Py_tracefunc, PyObject *), Py_tracefunc function, PyObject *object)
{
    given_in_all = 0;
    pmt_pyver_each_thread(give_in);
    set(function, object);
    pmt_pyver_each_thread(take_in);
}

static void set_profile_for_all(Py_tracefunc function, PyObject *object)
{
    set_for_all(py.PyEval_SetProfileAllThreads, function, object);
}

static void set_trace_for_all(Py_tracefunc function, PyObject *object)
{
    set_for_all(py.PyEval_SetTraceAllThreads, function, object);
}

static void redirect(void)
{
    const struct pmt_redirect table[] = {
        {"PyEval_SetProfile", (void *)py.PyEval_SetProfile, (void *)set_profile},
        {"PyEval_SetTrace", (void *)py.PyEval_SetTrace, (void *)set_trace},
        {"_PyEval_SetProfile", (void *)py._PyEval_SetProfile, (void *)set_profile_in},
        {"_PyEval_SetTrace", (void *)py._PyEval_SetTrace, (void *)set_trace_in},
        {"PyEval_SetProfileAllThreads", (void *)py.PyEval_SetProfileAllThreads, (void *)set_profile_for_all},
        {"PyEval_SetTraceAllThreads", (void *)py.PyEval_SetTraceAllThreads, (void *)set_trace_for_all},
    };
    is_done = pmt_elf_redirect(table, sizeof table / sizeof *table, python);
    if (is_done)
        __atomic_store_n(&looks_left, 0, __ATOMIC_RELAXED);
}

/* A library is about to be loaded. Any thread. */
void pmt_python_loading(void)
{
    __atomic_store_n(&looks_left, LOOKS_AFTER_LOADING, __ATOMIC_RELAXED);
    pmt_gate_touch();
}

/* At an event at which the gate is open: it is at the first one after a library was loaded. */
void pmt_setters_look(void)
{
    static uint64_t loads;
    if (PMT_LIKELY(__atomic_load_n(&looks_left, __ATOMIC_RELAXED) == 0))
        return;
    __atomic_fetch_sub(&looks_left, 1, __ATOMIC_RELAXED);
    uint64_t now = pmt_elf_load_count();
    if (now != loads || !is_done)
        redirect();
    loads = now;
}

/* ---- cProfile's module, where it is a part of CPython (up to 3.11; then it uses sys.monitoring) */

static PyObject *(*initialise_lsprof)(void);
static PyCFunctionWithKeywords enable;
static PyCFunction disable;
static destructor destroy;

static PyObject *enable_profiler(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    PyThreadState *current = py.PyThreadState_Get();
    unsigned given = pmt_slots_give(current);
    PyObject *result = enable(self, arguments, keywords);
    pmt_slots_take(current, given);
    return result;
}

static PyObject *disable_profiler(PyObject *self, PyObject *unused)
{
    PyThreadState *current = py.PyThreadState_Get();
    unsigned given = pmt_slots_give(current);
    PyObject *result = disable(self, unused);
    pmt_slots_take(current, given);
    return result;
}

/* One that is still enabled takes the profile function out, be it its own or not. */
static void destroy_profiler(PyObject *self)
{
    PyThreadState *current = py.PyThreadState_Get();
    unsigned given = pmt_slots_give(current);
    destroy(self);
    pmt_slots_take(current, given);
}

static PyMethodDef *find_method(PyTypeObject *type, const char *name, int flags)
{
    PyObject *object = py.PyObject_GetAttrString((PyObject *)type, name);
    PyMethodDef *method = NULL;
    if (object && Py_TYPE(object) == py.PyMethodDescr_Type)
        method = ((PyMethodDescrObject *)(void *)object)->d_method;
    if (object)
        py.Py_DecRef(object); /* the type keeps it */
    return method && method->ml_flags == flags ? method : NULL;
}

static int execute_lsprof(PyObject *module)
{
    PyTypeObject *type = (PyTypeObject *)(void *)py.PyObject_GetAttrString(module, "Profiler");
    PyMethodDef *enabling = type ? find_method(type, "enable", METH_VARARGS | METH_KEYWORDS) : NULL;
    PyMethodDef *disabling = type ? find_method(type, "disable", METH_NOARGS) : NULL;
    if (enabling && disabling && type->tp_dealloc != destroy_profiler) {
        destroy = type->tp_dealloc;
        type->tp_dealloc = destroy_profiler;
    }
    if (enabling && disabling && disabling->ml_meth != disable_profiler) {
        enable = (PyCFunctionWithKeywords)(void (*)(void))enabling->ml_meth;
        enabling->ml_meth = (PyCFunction)(void (*)(void))enable_profiler;
        disable = disabling->ml_meth;
        disabling->ml_meth = disable_profiler;
    }
    if (type)
        py.Py_DecRef((PyObject *)type);
    py.PyErr_Clear();
    return 0;
}

static PyObject *begin_lsprof(void)
{
    static bool is_extended;
    PyObject *module = initialise_lsprof();
    if (module && Py_TYPE(module) != py.PyModuleDef_Type)
        execute_lsprof(module);
    else if (module && !is_extended) {
        is_extended = true;
        pmt_attach_execute_too((PyModuleDef *)module, execute_lsprof);
    }
    return module;
}

static void take_lsprof(void)
{
    struct _inittab **table = pmt_elf_symbol(python, "PyImport_Inittab"), *entry = table ? *table : NULL;
    while (entry && entry->name && strcmp(entry->name, "_lsprof") != 0)
        entry++;
    if (!entry || !entry->name || entry->initfunc == begin_lsprof || pmt_pyver_has_monitoring())
        return;
    initialise_lsprof = entry->initfunc;
    entry->initfunc = begin_lsprof;
}

/* An interpreter starts. */
void pmt_setters_start(const struct pmt_elf *object)
{
    python = object;
    for (size_t i = 0; i < METHODS; i++)
        replace_method(i);
    take_lsprof();
    redirect();
}
