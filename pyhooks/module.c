/* module.c: what a Python program sees of pmt: the builtins MEMPOINT, MEMLOGS, MEMPRINT, MEMTRACE, and the module
 * `pmt`. Behaviour: PYTHON-API.md.
 *
 *    start of an interpreter -> pmt_module_install() -> builtins
 *    import pmt -> entry of PyImport_Inittab -> pmt_module_initialise()
 *    MEMTRACE, MEMPRINT, import perftester -> prelude.py, compiled at the first use
 *
 * Points live in points.c, outside Python; MemLog tuples are made when somebody looks. */
#include "prelude.h"
#include "pyhooks.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

/* What each interpreter has of its own. Protected by its GIL; an entry is claimed under pmt_points_lock. */
static struct home {
    PyInterpreterState *interpreter;
    PyObject *list_type, *logs, *log_type, *error, *prelude;
} homes[64];

static struct home *find_home(void)
{
    PyInterpreterState *interpreter = pmt_pyver_interpreter();
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        if (homes[i].interpreter == interpreter)
            return &homes[i];
    return NULL;
}

static bool is_alive(const PyInterpreterState *interpreter)
{
    PyInterpreterState *other = py.PyInterpreterState_Head();
    while (other && other != interpreter)
        other = py.PyInterpreterState_Next(other);
    return other != NULL;
}

/* An empty home for the interpreter that starts now: that of one that had this address before, of one that is gone, or
 * an unused one. NULL if there are none. */
static struct home *new_home(void)
{
    struct home *home = find_home();
    bool is_locked = pmt_lock_take(&pmt_points_lock);
    for (size_t i = 0; !home && i < sizeof homes / sizeof *homes; i++)
        if (!homes[i].interpreter || !is_alive(homes[i].interpreter))
            home = &homes[i];
    if (home)
        *home = (struct home){.interpreter = pmt_pyver_interpreter()};
    if (is_locked)
        pmt_lock_drop(&pmt_points_lock);
    return home;
}

static PyObject *new_none(void)
{
    py.Py_IncRef(py._Py_NoneStruct);
    return py._Py_NoneStruct;
}

static void drop(PyObject *object)
{
    if (object)
        py.Py_DecRef(object);
}

/* ---- prelude.py */

/* Runs prelude.py in a namespace of its own; its names are `MEMPOINT` etc. of this interpreter. */
static PyObject *run_prelude(void)
{
    PyObject *space = py.PyDict_New(), *result = NULL;
    PyObject *code = py.Py_CompileStringExFlags(pmt_prelude, "<pmt>", Py_file_input, NULL, -1);
    bool is_ready = space && code && py.PyDict_SetItemString(space, "__builtins__", py.PyEval_GetBuiltins()) == 0;
    PyObject *name = is_ready ? py.PyUnicode_FromString("pmt") : NULL;
    if (name && py.PyDict_SetItemString(space, "__name__", name) == 0)
        result = py.PyEval_EvalCode(code, space, space);
    drop(name);
    drop(code);
    drop(result);
    if (result)
        return space;
    drop(space);
    return NULL;
}

/* A name of prelude.py, borrowed. NULL with an exception. */
static PyObject *prelude_name(const char *name)
{
    struct home *home = find_home();
    if (home && !home->prelude)
        home->prelude = run_prelude();
    PyObject *found = home && home->prelude ? py.PyDict_GetItemString(home->prelude, name) : NULL;
    if (!found && !py.PyErr_Occurred())
        py.PyErr_SetString(*py.PyExc_OSError, "pmt is not available in this interpreter");
    return found;
}

static PyObject *call_prelude(const char *name, PyObject *arguments, PyObject *keywords)
{
    PyObject *function = prelude_name(name);
    return function ? py.PyObject_Call(function, arguments, keywords) : NULL;
}

/* ---- points */

/* Adds a point named by a string. Its characters are read one by one, since PyUnicode_AsUTF8 would allocate in the
 * host. */
static bool add_point(PyObject *string, int64_t memory)
{
    char small[512], *bytes = small;
    Py_ssize_t length = py.PyUnicode_GetLength(string);
    size_t room = (size_t)length * 4 + 1, size = 0;
    if (room > sizeof small && !(bytes = pmt_sys_pages(room)))
        return false;
    for (Py_ssize_t i = 0; i < length; i++)
        size += pmt_utf8_put(bytes + size, py.PyUnicode_ReadChar(string, i));
    bool is_added = pmt_points_add(bytes, size, memory);
    if (bytes != small)
        pmt_sys(SYS_munmap, (long)bytes, (long)room, 0, 0, 0, 0);
    return is_added;
}

static PyObject *mempoint(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char id_name[] = "ID", *names[] = {id_name, NULL};
    pmt_domains_check();
    int64_t memory = pmt_points_figure();
    PyObject *id = py._Py_NoneStruct;
    (void)self;
    if (!py.PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:MEMPOINT", names, &id))
        return NULL;
    PyObject *string = py.PyObject_Str(id);
    if (!string)
        return NULL;
    bool is_added = add_point(string, memory);
    py.Py_DecRef(string);
    return is_added ? new_none() : py.PyErr_NoMemory();
}

/* The named tuple MemLog(ID, memory), borrowed; made when it is first looked at, since that imports collections. */
static PyObject *log_type(void)
{
    struct home *home = find_home();
    if (home && !home->log_type) {
        PyObject *type = prelude_name("MemLog");
        if (!type)
            return NULL;
        py.Py_IncRef(type);
        home->log_type = type;
    }
    return home ? home->log_type : NULL;
}

static PyObject *point_id(size_t index, int64_t *memory)
{
    size_t size;
    const char *id = pmt_points_get(index, &size, memory);
    return py.PyUnicode_DecodeUTF8(id, (Py_ssize_t)size, "surrogatepass");
}

static PyObject *point_memory(size_t index)
{
    size_t size;
    int64_t memory;
    pmt_points_get(index, &size, &memory);
    return py.PyLong_FromLongLong(memory);
}

static PyObject *point_id_only(size_t index)
{
    int64_t memory;
    return point_id(index, &memory);
}

static PyObject *point_log(size_t index)
{
    int64_t memory;
    PyObject *type = log_type(), *log = NULL;
    PyObject *id = type ? point_id(index, &memory) : NULL;
    PyObject *bytes = id ? py.PyLong_FromLongLong(memory) : NULL;
    if (bytes)
        log = py.PyObject_CallFunctionObjArgs(type, id, bytes, NULL);
    drop(id);
    drop(bytes);
    return log;
}

/* A new list of make(0), make(1), ... */
static PyObject *list_of(PyObject *(*make)(size_t index))
{
    PyObject *list = py.PyList_New(0);
    size_t count = pmt_points_count();
    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = make(i);
        if (!item || py.PyList_Append(list, item) < 0) {
            drop(list);
            list = NULL;
        }
        drop(item);
    }
    return list;
}

/* ---- MEMLOGS */

static PyObject *logs_repr(PyObject *self)
{
    PyObject *list = list_of(point_log), *text = list ? py.PyObject_Repr(list) : NULL;
    (void)self;
    drop(list);
    return text;
}

static Py_ssize_t logs_length(PyObject *self)
{
    (void)self;
    return (Py_ssize_t)pmt_points_count();
}

static PyObject *logs_item(PyObject *self, Py_ssize_t index)
{
    (void)self;
    if (index >= 0 && (size_t)index < pmt_points_count())
        return point_log((size_t)index);
    py.PyErr_SetString(*py.PyExc_IndexError, "list index out of range");
    return NULL;
}

/* An index, or anything else that a list takes or refuses. */
static PyObject *logs_subscript(PyObject *self, PyObject *key)
{
    PyObject *number = py.PyNumber_Index(key);
    if (number) {
        Py_ssize_t index = py.PyNumber_AsSsize_t(number, *py.PyExc_IndexError);
        py.Py_DecRef(number);
        if (index == -1 && py.PyErr_Occurred())
            return NULL;
        return logs_item(self, index < 0 ? index + logs_length(self) : index);
    }
    py.PyErr_Clear();
    PyObject *list = list_of(point_log), *part = list ? py.PyObject_GetItem(list, key) : NULL;
    drop(list);
    return part;
}

/* Raises IncorrectUseOfMEMLOGSError. */
static PyObject *refuse(const char *message)
{
    struct home *home = find_home();
    if (home && !home->error)
        home->error = py.PyErr_NewException("pmt.IncorrectUseOfMEMLOGSError", NULL, NULL);
    if (home && home->error)
        py.PyErr_SetString(home->error, message);
    return NULL;
}

static int logs_assign(PyObject *self, PyObject *key, PyObject *value)
{
    (void)self;
    (void)key;
    (void)value;
    refuse("MEMLOGS does not accept item assignment");
    return -1;
}

static PyObject *logs_append(PyObject *self, PyObject *arguments)
{
    (void)self;
    (void)arguments;
    return refuse("MEMLOGS can be updated only using the MEMPOINT() function");
}

static PyObject *logs_reduce(PyObject *self, PyObject *arguments)
{
    (void)self;
    (void)arguments;
    py.PyErr_SetString(*py.PyExc_TypeError, "MEMLOGS cannot be copied or pickled; list(MEMLOGS) can");
    return NULL;
}

static PyObject *logs_filter(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return call_prelude("filter_logs", arguments, keywords);
}

static PyObject *logs_map(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return call_prelude("map_logs", arguments, keywords);
}

static PyObject *logs_memories(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return list_of(point_memory);
}

static PyObject *logs_ids(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return list_of(point_id_only);
}

static PyObject *logs_data(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return list_of(point_log);
}

/* The one instance of the interpreter, whatever it is called with. */
static PyObject *logs_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    struct home *home = find_home();
    (void)arguments;
    (void)keywords;
    if (home && home->logs) {
        py.Py_IncRef(home->logs);
        return home->logs;
    }
    return py.PyType_GenericAlloc(type, 0);
}

#define KEYWORD_METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef logs_methods[] = {
    {"append", logs_append, METH_VARARGS, "Raises IncorrectUseOfMEMLOGSError: only MEMPOINT() adds points."},
    {"filter", KEYWORD_METHOD(logs_filter), METH_VARARGS | METH_KEYWORDS,
     "filter(predicate) -> list of the MemLogs for which predicate(memlog) is "
     "true"},
    {"map", KEYWORD_METHOD(logs_map), METH_VARARGS | METH_KEYWORDS, "map(func) -> list of func(memlog)"},
    {"__reduce__", logs_reduce, METH_VARARGS, NULL},
    {"__reduce_ex__", logs_reduce, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef logs_attributes[] = {
    {"memories", logs_memories, NULL, "live bytes at each point: a new list of ints", NULL},
    {"IDs", logs_ids, NULL, "names of the points: a new list of strings", NULL},
    {"data", logs_data, NULL, "the points: a new list of MemLogs", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *new_list_type(void)
{
    static char doc[] = "The points made by MEMPOINT(), oldest first: a "
                        "read-only sequence of MemLog(ID, memory in bytes).";
    static PyType_Slot slots[] = {
        {Py_tp_doc, doc},
        {Py_tp_new, (void *)logs_new},
        {Py_tp_repr, (void *)logs_repr},
        {Py_tp_methods, logs_methods},
        {Py_tp_getset, logs_attributes},
        {Py_sq_length, (void *)logs_length},
        {Py_sq_item, (void *)logs_item},
        {Py_mp_length, (void *)logs_length},
        {Py_mp_subscript, (void *)logs_subscript},
        {Py_mp_ass_subscript, (void *)logs_assign},
        {0, NULL},
    };
    static PyType_Spec spec = {"pmt.MemLogsList", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, slots};
    return py.PyType_FromSpec(&spec);
}

/* ---- builtins */

static PyObject *memprint(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return call_prelude("memprint", arguments, keywords);
}

static PyObject *memtrace(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return call_prelude("memtrace", arguments, keywords);
}

static PyMethodDef builtin_functions[] = {
    {"MEMPOINT", KEYWORD_METHOD(mempoint), METH_VARARGS | METH_KEYWORDS,
     "MEMPOINT(ID=None)\n\nMarks the live bytes of Python's allocators now in "
     "MEMLOGS, under str(ID); a name that is taken\n"
     "gets -2, -3, ... appended. Costs less than a microsecond."},
    {"MEMPRINT", KEYWORD_METHOD(memprint), METH_VARARGS | METH_KEYWORDS,
     "MEMPRINT()\n\nPrints the points of MEMLOGS: number, MiB, ID."},
    {"MEMTRACE", KEYWORD_METHOD(memtrace), METH_VARARGS | METH_KEYWORDS,
     "MEMTRACE(func, ID_before=None, ID_after=None)\n\nDecorator: a point "
     "before and one after every call of func. For a\n"
     "generator or coroutine the second one comes when it ends."},
    {NULL, NULL, 0, NULL},
};

static bool set_function(PyObject *dictionary, PyMethodDef *method)
{
    PyObject *function = py.PyCFunction_NewEx(method, NULL, NULL);
    bool is_set = function && py.PyDict_SetItemString(dictionary, method->ml_name, function) == 0;
    drop(function);
    return is_set;
}

/* Adds the builtins to the interpreter that is being started. */
bool pmt_module_install(PyObject *builtins)
{
    struct home *home = new_home();
    if (!home)
        return false;
    home->list_type = new_list_type();
    home->logs = home->list_type ? py.PyObject_CallFunctionObjArgs(home->list_type, NULL) : NULL;
    bool is_set = home->logs && py.PyDict_SetItemString(builtins, "MEMLOGS", home->logs) == 0;
    for (PyMethodDef *method = builtin_functions; method->ml_name; method++)
        is_set = is_set && set_function(builtins, method);
    if (!is_set)
        py.PyErr_Clear();
    return is_set;
}

/* ---- module pmt */

static PyObject *bytes_or_error(int64_t bytes)
{
    if (bytes >= 0)
        return py.PyLong_FromLongLong(bytes);
    py.PyErr_SetString(*py.PyExc_OSError, pmt_error_name((int)bytes));
    return NULL;
}

static PyObject *module_rss(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return bytes_or_error(pmt_rss_read());
}

static PyObject *module_rss_peak(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return bytes_or_error(pmt_rss_peak());
}

static PyObject *module_live(PyObject *self, PyObject *unused)
{
    pmt_domains_check();
    struct pmt_net python = pmt_count_total(PMT_OWNER_PYTHON), native = pmt_count_total(PMT_OWNER_NATIVE);
    int64_t figures[4] = {python.bytes, native.bytes, python.bytes + native.bytes, python.blocks + native.blocks};
    PyObject *type = prelude_name("Live"), *numbers[4] = {NULL}, *result = NULL;
    (void)self;
    (void)unused;
    if (!type)
        return NULL;
    for (size_t i = 0; i < 4; i++)
        numbers[i] = py.PyLong_FromLongLong(figures[i]);
    if (numbers[0] && numbers[1] && numbers[2] && numbers[3])
        result = py.PyObject_CallFunctionObjArgs(type, numbers[0], numbers[1], numbers[2], numbers[3], NULL);
    for (size_t i = 0; i < 4; i++)
        drop(numbers[i]);
    return result;
}

static PyObject *module_rename_first(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    pmt_points_rename_first("perftester import");
    return new_none();
}

static PyMethodDef module_functions[] = {
    {"live", module_live, METH_NOARGS,
     "live() -> Live(python, native, total, blocks)\n\nBytes live now: of "
     "Python's allocators, of malloc outside of them, both;\n"
     "and the number of blocks."},
    {"rss", module_rss, METH_NOARGS,
     "rss() -> int\n\nResident bytes of this process now. OSError if /proc "
     "cannot be read."},
    {"rss_peak", module_rss_peak, METH_NOARGS,
     "rss_peak() -> int\n\nHighest resident bytes so far (VmHWM). OSError if "
     "/proc cannot be read."},
    {"_rename_first_point", module_rename_first, METH_NOARGS, NULL},
    {"_enter_label", pmt_label_enter, METH_O, NULL},
    {"_leave_label", pmt_label_leave, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* What the module takes over from the interpreter's builtins and from prelude.py. */
static bool fill_module(PyObject *module)
{
    static const char *const from_prelude[] = {"MemLog", "label", "pp"};
    struct home *home = find_home();
    bool is_set = home && home->logs && py.PyObject_SetAttrString(module, "MEMLOGS", home->logs) == 0 &&
                  py.PyObject_SetAttrString(module, "MemLogsList", home->list_type) == 0;
    for (PyMethodDef *method = builtin_functions; is_set && method->ml_name; method++) {
        PyObject *function = py.PyCFunction_NewEx(method, NULL, NULL);
        is_set = function && py.PyObject_SetAttrString(module, method->ml_name, function) == 0;
        drop(function);
    }
    for (size_t i = 0; is_set && i < sizeof from_prelude / sizeof *from_prelude; i++) {
        PyObject *object = prelude_name(from_prelude[i]);
        is_set = object && py.PyObject_SetAttrString(module, from_prelude[i], object) == 0;
    }
    PyObject *version = is_set ? py.PyUnicode_FromString(PMT_VERSION) : NULL;
    is_set = version && py.PyObject_SetAttrString(module, "__version__", version) == 0 &&
             py.PyObject_SetAttrString(module, "enabled", (PyObject *)py._Py_TrueStruct) == 0;
    drop(version);
    if (is_set && !home->error)
        home->error = py.PyErr_NewException("pmt.IncorrectUseOfMEMLOGSError", NULL, NULL);
    return is_set && home->error && py.PyObject_SetAttrString(module, "IncorrectUseOfMEMLOGSError", home->error) == 0;
}

static int execute_module(PyObject *module)
{
    if (fill_module(module))
        return 0;
    if (!py.PyErr_Occurred())
        py.PyErr_SetString(*py.PyExc_OSError, "pmt is not available in this interpreter");
    return -1;
}

/* Slot 3 (3.12 on) with the value 2: the module may be used by interpreters with a GIL of their own. Older versions
 * refuse a slot that they do not know. (Include/moduleobject.h: Py_mod_multiple_interpreters) */
static const PyModuleDef_Slot own_gil_slot = {3, (void *)2};

/* The initialisation function of the built-in module `pmt`. */
PyObject *pmt_module_initialise(void)
{
    static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute_module}, {0, NULL}, {0, NULL}};
    static PyModuleDef definition = {
        PyModuleDef_HEAD_INIT,         .m_name = "pmt",  .m_doc = "pmt: what this process's memory is made of.",
        .m_methods = module_functions, .m_slots = slots,
    };
    if (pmt_pyver_has_own_gils())
        slots[1] = own_gil_slot;
    return py.PyModuleDef_Init(&definition);
}

/* ---- packages that pmt stands in for, where they are not installed
 *
 * They are in the table of built-in modules too: a finder at the end of sys.meta_path would take part in every import
 * that fails, and show in the event log of programs that never ask for one. */

/* Py_mod_create: the installed package if there is one, else ours. */
static PyObject *create_package(PyObject *spec, PyModuleDef *definition)
{
    PyObject *load = prelude_name("load_package");
    (void)definition;
    return load ? py.PyObject_CallFunctionObjArgs(load, spec, NULL) : NULL;
}

/* The initialisation function of the built-in module `perftester`. */
PyObject *pmt_module_initialise_perftester(void)
{
    static PyModuleDef_Slot slots[] = {{Py_mod_create, (void *)create_package}, {0, NULL}, {0, NULL}};
    static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "perftester", .m_slots = slots};
    if (pmt_pyver_has_own_gils())
        slots[1] = own_gil_slot;
    return py.PyModuleDef_Init(&definition);
}

/* Python is ready, user code has not run: the first point. */
void pmt_module_ready(void)
{
    pmt_points_add("pmt start", 9, pmt_points_figure());
}
