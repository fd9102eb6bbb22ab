/* attach.c: finds CPython, waits until it is ready, and starts the rest.
 *
 *    constructor, or after dlopen: an object that defines PyImport_Inittab   pmt_python_look()
 *         the entry of "posix" in that table is made ours
 *    constructor, or the first mapping after that dlopen                     prepare()
 *         functions are resolved, allocators wrapped, the module `pmt` added to the table
 *    interpreter start: "posix" is initialised, GIL held                     begin_interpreter()
 *         builtins; a profile function is set, which waits
 *    first Python call after the import of site                              pmt_attach_wait()
 *         atexit handler; first point; events begin. No user code has run
 *    atexit handlers have run                                                end_interpreter()
 *         events end; the final reading. Nothing has been torn down
 *
 * Only libc names are interposed, never Py*: so it does not matter how the program was linked to CPython. */
#include "pyhooks.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define NEWEST_MINOR 15 /* newer ones get the public API only */

bool pmt_python_is_found, pmt_python_is_starting;

static struct pmt_elf python; /* the object that holds CPython */
static PyObject *(*initialise_posix)(void), *(*initialise_io)(void);
static char version[32]; /* "3.11.7", empty until an interpreter starts */
static bool has_started; /* an interpreter, of whatever version */
static bool is_refused;  /* this CPython is none that pmt can attach to */
#define LOOKS_MAX 100000 /* allocations; a program may be linked to a CPython that it never starts */
static int looks_at_calls;
static bool was_dlopened;           /* CPython came with a dlopen, and may go with a dlclose */
static bool is_prepared, has_swaps; /* has_swaps: of the raw allocator, while it starts: 3.7 on */
static int finder_thread;           /* who found CPython: nobody else knows when its dlopen is over */

enum stage { NONE, STARTING, IMPORTING_SITE, RUNNING, ENDED };
static enum stage stage;
static bool are_frames_known; /* of this interpreter */
static void learn_frames(PyFrameObject *frame);

const char *pmt_python_version(void)
{
    return version[0] ? version : NULL;
}

/* Whether an interpreter was started, not only found. */
bool pmt_python_has_started(void)
{
    return has_started;
}

const struct pmt_elf *pmt_attach_object(void)
{
    return &python;
}

/* Whether Python's allocators are counted: with --sites exact, which keeps the table of blocks. */
bool pmt_python_counts(void)
{
    return pmt_heap == PMT_HEAP_EXACT && is_prepared && !is_refused;
}

/* ---- ready? */

static bool flag_is_set(const char *name)
{
    PyObject *flags = py.PySys_GetObject("flags");
    PyObject *flag = flags ? py.PyObject_GetAttrString(flags, name) : NULL;
    bool is_set = flag && py.PyObject_IsTrue(flag) == 1;
    if (flag)
        py.Py_DecRef(flag);
    return is_set;
}

static bool has_module(const char *name)
{
    PyObject *modules = py.PyImport_GetModuleDict();
    return modules && py.PyDict_GetItemString(modules, name);
}

/* sys.__stderr__ is the last object that initialisation makes before it imports site (3.6 says it is initialised all
 * along). site is done when the outermost frame of its import returns; from 3.15 on, when Python says it is
 * initialised.
 */
static enum stage next_stage(PyFrameObject *frame, int what)
{
    bool is_call = what == PyTrace_CALL;
    if (stage == STARTING && (!is_call || !py.Py_IsInitialized() || !py.PySys_GetObject("__stderr__")))
        return STARTING;
    if (stage == STARTING)
        return flag_is_set("no_site") || has_module("site") ? RUNNING : IMPORTING_SITE;
    if (what == PyTrace_RETURN && pmt_pyver_is_outermost(frame) && has_module("site"))
        return RUNNING;
    return IMPORTING_SITE;
}

/* ---- begin and end */

static PyObject *end_interpreter(PyObject *self, PyObject *arguments)
{
    (void)self;
    (void)arguments;
    pmt_events_stop();
    pmt_log_let_go();
    stage = ENDED;
    pmt_life_final_reading();
    py.Py_IncRef(py._Py_NoneStruct);
    return py._Py_NoneStruct;
}

/* Our handler is registered before any of the program's, so it is the last to run. A module that the program has not
 * imported does not stay in sys.modules; before 3.10 it must, since its handlers live and die with it. */
static bool register_end(void)
{
    bool had_module = has_module("atexit");
    static PyMethodDef method = {"pmt_end", end_interpreter, METH_NOARGS, NULL};
    PyObject *module = py.PyImport_ImportModule("atexit");
    PyObject *function = py.PyCFunction_NewEx(&method, NULL, NULL);
    PyObject *add = module ? py.PyObject_GetAttrString(module, "register") : NULL;
    PyObject *result = add && function ? py.PyObject_CallFunctionObjArgs(add, function, NULL) : NULL;
    PyObject *owned[] = {module, function, add, result};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (owned[i])
            py.Py_DecRef(owned[i]);
    if (module && !had_module && pmt_pyver_has_atexit_of_interpreter())
        py.PyDict_DelItemString(py.PyImport_GetModuleDict(), "atexit");
    return result != NULL;
}

static void begin_running(void)
{
    if (!pmt_frames_start() || !register_end())
        pmt_capture_problem("atexit cannot be used: figures at exit are those after Python's end");
    pmt_log_start(&pmt_frames_namer);
    pmt_log_lasting_names(python.low, python.high);
    if (pmt_heap == PMT_HEAP_EXACT && !pmt_domains_are_aligned())
        pmt_capture_problem("this Python's allocator aligns to 8 bytes: its small blocks are not all counted");
    pmt_module_ready();
}

/* Called at events until it returns true: Python is ready, and this event is the first to be logged. */
bool pmt_attach_wait(PyFrameObject *frame, int what)
{
    PyObject *type, *value, *traceback;
    if (!are_frames_known && what == PyTrace_CALL)
        learn_frames(frame);
    if (stage == RUNNING && what == PyTrace_CALL) {
        py.PyErr_Fetch(&type, &value, &traceback);
        begin_running();
        py.PyErr_Restore(type, value, traceback);
        return true;
    }
    if (stage == STARTING || stage == IMPORTING_SITE) {
        if (what != PyTrace_CALL && what != PyTrace_RETURN)
            return false;
        py.PyErr_Fetch(&type, &value, &traceback);
        stage = next_stage(frame, what);
        py.PyErr_Restore(type, value, traceback);
        if (stage == RUNNING && what == PyTrace_CALL)
            return pmt_attach_wait(frame, what);
    }
    return false;
}

static void refuse(const char *full_version, const char *why)
{
    is_refused = true;
    pmt_say(PMT_VERBOSE_PROBLEMS, "Python %s: %s; no Python events, native accounting only", full_version, why);
    pmt_capture_warn("pmt does not know this Python: native accounting only");
}

/* Resolves the functions; false if this Python cannot be attached to. */
static bool resolve_python(void)
{
    const char *(*get_version)(void) = (const char *(*)(void))pmt_elf_symbol(&python, "Py_GetVersion");
    const char *full = get_version ? get_version() : "of unknown version";
    size_t size = strcspn(full, " +");
    int minor = pmt_pyver_minor(full);
    has_swaps = minor >= 7;
    memcpy(version, full, size < sizeof version ? size : sizeof version - 1);
    if (minor < 0)
        refuse(version, "only CPython 3.6 and later is supported");
    else if (strstr(full, "free-threading"))
        refuse(version, "free-threaded builds are not supported");
    if (is_refused)
        return false;
    const char *missing = pmt_pyapi_resolve(&python, minor);
    if (missing) {
        refuse(version, missing);
        return false;
    }
    if (minor > NEWEST_MINOR)
        pmt_say(PMT_VERBOSE_PROBLEMS, "Python %s is newer than this version of pmt knows", version);
    return true;
}

/* Adds our modules to the table of built-in ones, before the interpreter copies it. */
static void add_modules(void)
{
    static const struct _inittab ours[] = {
        {"pmt", pmt_module_initialise},
        {"perftester", pmt_module_initialise_perftester},
        {NULL, NULL},
    };
    struct _inittab **table = pmt_elf_symbol(&python, "PyImport_Inittab"), *old = *table, *fresh;
    size_t count = 0;
    while (old[count].name)
        count++;
    if (!(fresh = pmt_sys_pages(count * sizeof *fresh + sizeof ours)))
        return;
    memcpy(fresh, old, count * sizeof *fresh);
    memcpy(fresh + count, ours, sizeof ours);
    *table = fresh;
}

/* What can be done as soon as CPython's code may be called. */
static void prepare(void)
{
    if (is_prepared)
        return;
    is_prepared = true;
    if (!resolve_python())
        return;
    if (pmt_heap == PMT_HEAP_EXACT)
        pmt_domains_start(&python);
    add_modules();
}

/* Until Python is ready, it may put other allocators in our place: PYTHONMALLOC and -X dev do, and it swaps them for a
 * moment. So every allocation that reaches malloc looks, until then. */
static void wrap_at_next_call(void)
{
    if (!pmt_python_is_starting || looks_at_calls++ == LOOKS_MAX)
        return;
    pmt_domains_wrap(!has_swaps);
    pmt_count_when_next_called(wrap_at_next_call);
}

/* After a mapping while Python starts. At first that may be inside dlopen, by another thread, with CPython not yet
 * relocated; the thread that called dlopen maps nothing before that is over. */
void pmt_python_memory_mapped(void)
{
    if (finder_thread != pmt_thread_id() || is_refused || is_prepared)
        return;
    prepare();
    wrap_at_next_call();
}

/* An interpreter is being started, and has its builtins by now. The caller holds its GIL. */
static void see_interpreter(void)
{
    PyObject *builtins = py.PyEval_GetBuiltins();
    if (!builtins || py.PyDict_GetItemString(builtins, "MEMLOGS"))
        return;
    if (!pmt_module_install(builtins))
        pmt_say(PMT_VERBOSE_PROBLEMS, "the builtins of pmt could not be added to an interpreter");
}

/* At the first frame that is seen: how frames are read. */
static void learn_frames(PyFrameObject *frame)
{
    PyObject *type, *value, *traceback;
    py.PyErr_Fetch(&type, &value, &traceback);
    pmt_pyver_check_layout(frame);
    if (pmt_heap == PMT_HEAP_EXACT)
        pmt_stack_start(py.PyThreadState_Get(), frame);
    py.PyErr_Restore(type, value, traceback);
    are_frames_known = true;
}

/* The first interpreter starts, or another one after it ended. */
static void see_main_interpreter(void)
{
    PyThreadState *current = stage == NONE || stage == ENDED ? pmt_pyver_current_thread() : NULL;
    if (!current)
        return;
    stage = STARTING;
    are_frames_known = false;
    pmt_pyver_start(pmt_pyver_minor(version), current);
    if (py.PyEval_GetFrame())
        learn_frames(py.PyEval_GetFrame());
    pmt_events_start(&python);
    pmt_say(PMT_VERBOSE_DECISIONS, "CPython %s in %s", version, python.path[0] ? python.path : "the executable");
}

static int execute_posix(PyObject *module)
{
    (void)module;
    see_interpreter();
    return 0;
}

/* A module of two-phase initialisation (PEP 489) is executed in every interpreter, though its init function is called
 * in the first one only: so one more function is executed with it. */
void pmt_attach_execute_too(PyModuleDef *definition, int (*function)(PyObject *module))
{
    size_t count = 0;
    while (definition->m_slots && definition->m_slots[count].slot)
        count++;
    PyModuleDef_Slot *slots = pmt_sys_pages((count + 2) * sizeof *slots);
    if (!slots)
        return;
    if (count)
        memcpy(slots, definition->m_slots, count * sizeof *slots);
    slots[count] = (PyModuleDef_Slot){Py_mod_exec, (void *)function};
    definition->m_slots = slots;
}

/* In place of PyInit_posix. */
static PyObject *begin_interpreter(void)
{
    static bool is_extended;
    PyObject *module = initialise_posix();
    has_started = true;
    prepare();
    pmt_python_is_starting = false;
    if (pmt_state != PMT_ON || is_refused || !module)
        return module;
    if (pmt_heap == PMT_HEAP_EXACT)
        pmt_domains_wrap(true);
    if (Py_TYPE(module) == py.PyModuleDef_Type && !is_extended) {
        is_extended = true;
        pmt_attach_execute_too((PyModuleDef *)module, execute_posix);
    }
    see_interpreter();
    see_main_interpreter();
    return module;
}

/* In place of PyInit__io: up to 3.8 it, but not PyInit_posix, is called again for every further interpreter. */
static PyObject *begin_io(void)
{
    PyObject *module = initialise_io();
    if (pmt_state == PMT_ON && is_prepared && !is_refused && stage != NONE)
        see_interpreter();
    return module;
}

/* Makes an entry of the table ours. One that is not relocated yet, in the middle of a dlopen, would be overwritten by
 * the loader. */
static enum pmt_found take_entry(struct _inittab *entry, const char *name, PyObject *(**original)(void),
                                 PyObject *(*ours)(void))
{
    while (entry->name && strcmp(entry->name, name) != 0)
        entry++;
    if (!entry->name)
        return PMT_FOUND_NONE;
    if (entry->initfunc == ours)
        return PMT_FOUND;
    if ((uintptr_t)entry->initfunc < python.low || (uintptr_t)entry->initfunc >= python.high)
        return PMT_FOUND_UNREADY;
    *original = entry->initfunc;
    entry->initfunc = ours;
    return PMT_FOUND;
}

static enum pmt_found take_entries(struct _inittab *entries)
{
    if (!entries || !entries->name)
        return PMT_FOUND_UNREADY;
    enum pmt_found found = take_entry(entries, "posix", &initialise_posix, begin_interpreter);
    if (found == PMT_FOUND)
        take_entry(entries, "_io", &initialise_io, begin_io);
    return found;
}

/* Looks for CPython among the loaded objects. Any thread, no GIL. */
enum pmt_found pmt_python_look(void)
{
    if (pmt_python_is_found)
        return PMT_FOUND;
    if (!pmt_elf_find("Py_GetVersion", &python))
        return PMT_FOUND_NONE;
    struct _inittab **entries = pmt_elf_symbol(&python, "PyImport_Inittab");
    if (!entries)
        return PMT_FOUND_NONE;
    enum pmt_found found = take_entries(*entries);
    pmt_python_is_found = pmt_python_is_starting = found == PMT_FOUND;
    finder_thread = pmt_thread_id();
    return found;
}

/* Something is about to be unloaded, before an interpreter has started or after it has ended: it may be CPython. If it
 * stays, begin_interpreter() prepares anew. */
void pmt_python_unloaded(void)
{
    if (!was_dlopened || stage == RUNNING)
        return;
    pmt_python_has_stacks = false;
    if (!pmt_python_is_starting)
        return;
    pmt_python_is_found = pmt_python_is_starting = is_prepared = false;
    pmt_domains_forget();
}

/* At the start of the process, when everything is relocated. */
void pmt_python_start(void)
{
    enum pmt_found found = pmt_python_look();
    was_dlopened = found != PMT_FOUND;
    if (found != PMT_FOUND)
        return;
    prepare();
    if (!is_refused)
        wrap_at_next_call();
}

void pmt_python_thread_created(void)
{
    if (stage == RUNNING)
        pmt_events_thread_created();
}
