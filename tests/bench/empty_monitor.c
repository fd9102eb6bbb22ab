/* The floor of sys.monitoring (CPython 3.12 and later): callbacks that do nothing, for the same events as pmt's, called
 * in the same way. What --events costs more than this there is pmt's own doing.
 *
 * To be loaded with ctypes.PyDLL; install(mode) begins. No Python.h: every name is looked up in the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

typedef void *(*callback)(void *self, void *const *arguments, size_t count, void *names);

struct method {
    const char *name;
    callback function;
    int flags;
    const char *text;
};

static struct {
    void *(*PySys_GetObject)(const char *);
    void *(*PyObject_GetAttrString)(void *, const char *);
    void *(*PyObject_CallMethod)(void *, const char *, const char *, ...);
    void *(*PyCFunction_NewEx)(struct method *, void *, void *);
    callback (*PyVectorcall_Function)(void *);
    long (*PyLong_AsLong)(void *);
    void *none;
} py;

static void *do_nothing(void *self, void *const *arguments, size_t count, void *names)
{
    (void)self;
    (void)arguments;
    (void)count;
    (void)names;
    return py.none;
}

/* The modes are those of --events. */
static const char *const modes[] = {"python", "calls", "lines"};
static const struct {
    const char *name;
    int least;
} events[] = {
    {"PY_START", 0},  {"PY_RESUME", 0}, {"PY_THROW", 0},       {"PY_RETURN", 0}, {"PY_YIELD", 0},
    {"PY_UNWIND", 0}, {"CALL", 1},      {"C_RETURN", 1},       {"C_RAISE", 1},   {"LINE", 2},
    {"JUMP", 2},      {"RAISE", 2},     {"STOP_ITERATION", 2},
};

static int look_up(void)
{
    const struct {
        void *cell;
        const char *name;
    } names[] = {
        {&py.PySys_GetObject, "PySys_GetObject"},
        {&py.PyObject_GetAttrString, "PyObject_GetAttrString"},
        {&py.PyObject_CallMethod, "PyObject_CallMethod"},
        {&py.PyCFunction_NewEx, "PyCFunction_NewEx"},
        {&py.PyVectorcall_Function, "PyVectorcall_Function"},
        {&py.PyLong_AsLong, "PyLong_AsLong"},
        {&py.none, "_Py_NoneStruct"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *symbol = dlsym(RTLD_DEFAULT, names[i].name);
        memcpy(names[i].cell, &symbol, sizeof symbol);
        if (!symbol)
            return -1;
    }
    return 0;
}

/* A function object whose vectorcall slot is do_nothing itself. */
static void *make_callback(void)
{
    static struct method method = {"empty", do_nothing, 0x80 /* METH_FASTCALL */, NULL};
    callback *object = py.PyCFunction_NewEx(&method, NULL, NULL), usual = py.PyVectorcall_Function(object);
    for (int word = 2; word < 7; word++)
        if (object[word] == usual)
            object[word] = do_nothing;
    return object && py.PyVectorcall_Function(object) == do_nothing ? object : NULL;
}

/* Listens to what `mode` of --events needs, by the tool id 3. 0, or -1: not on this CPython. The caller holds the GIL.
 */
int install(const char *mode);
int install(const char *mode)
{
    const int tool = 3;
    int level = 0;
    long all = 0;
    while (level < 3 && strcmp(modes[level], mode) != 0)
        level++;
    void *module = level < 3 && look_up() == 0 ? py.PySys_GetObject("monitoring") : NULL;
    if (!module || !py.PyObject_CallMethod(module, "use_tool_id", "is", tool, "empty"))
        return -1;
    void *numbers = py.PyObject_GetAttrString(module, "events");
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (events[i].least > level)
            continue;
        long number = py.PyLong_AsLong(py.PyObject_GetAttrString(numbers, events[i].name));
        void *object = make_callback();
        if (!object || !py.PyObject_CallMethod(module, "register_callback", "ilO", tool, number, object))
            return -1;
        all |= number;
    }
    return py.PyObject_CallMethod(module, "set_events", "il", tool, all) ? 0 : -1;
}
