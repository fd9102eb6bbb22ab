/* monitor.c: the engine of CPython 3.12 and later, sys.monitoring (PEP 669): at a third of the cost of a profile
 * function, without a frame object, in every thread of the main interpreter.
 *
 *    instrumented code -> interpreter -> callback(code, offset, ...) -> pmt_events_log(what, code, offset)
 *
 * The callbacks are function objects of C whose vectorcall slot is ours, so that nothing stands between. What counts as
 * a call of a C function, and when a line is told, is as sys.setprofile and sys.settrace have it
 * (CPython, Python/legacy_tracing.c). The tool id is the business of toolid.c. */
#include "pyhooks.h"

#include <string.h>

#include "poison.h"

static PyObject *missing, *disable; /* sys.monitoring.MISSING, .DISABLE; immortal for us */

/* ---- what is told */

/* The number of an int object that is not negative and small, as offsets and lines are; see has_plain_ints(). */
static inline int64_t read_small(const PyObject *number)
{
    uint32_t digit;
    memcpy(&digit, (const char *)number + sizeof(PyObject) + sizeof(uintptr_t), sizeof digit);
    return digit;
}

static inline PyObject *tell(enum pmt_what what, PyObject *code, int64_t position, const char *c_name)
{
    pmt_events_log(what, code, position, c_name);
    return py._Py_NoneStruct; /* immortal */
}

#define CALLBACK(name)                                                                                                 \
    static PyObject *name(PyObject *self __attribute__((unused)), PyObject *const *arguments,                          \
                          size_t count __attribute__((unused)), PyObject *names __attribute__((unused)))

CALLBACK(on_call)
{
    return tell(PMT_CALL, arguments[0], PMT_POSITION_OFFSET | read_small(arguments[1]), NULL);
}

CALLBACK(on_return)
{
    return tell(PMT_RETURN, arguments[0], PMT_POSITION_OFFSET | read_small(arguments[1]), NULL);
}

/* Of an exception the offset told may be that of the instruction after, or of the one that left the function; the frame
 * knows which one raised it, and is an object already for the traceback. */
static PyObject *tell_exception(enum pmt_what what, PyObject *const *arguments)
{
    PyFrameObject *frame = pmt_events_state == PMT_LOGGING ? py.PyEval_GetFrame() : NULL;
    int64_t position = PMT_POSITION_OFFSET | read_small(arguments[1]);
    PyObject *code = frame ? pmt_pyver_place(frame, &position) : arguments[0];
    return tell(what, code, position, NULL);
}

CALLBACK(on_unwind)
{
    return tell_exception(PMT_RETURN, arguments);
}

static inline const char *name_of_c_function(const PyObject *function)
{
    return ((const PyCFunctionObject *)(const void *)function)->m_ml->ml_name;
}

/* The name of a method like str.upper, called with `first`: NULL if there is none, or that call will fail for it. */
static const char *name_of_descriptor(const PyObject *callable, PyObject *first)
{
    const PyMethodDescrObject *descriptor = (const void *)callable;
    PyTypeObject *type = descriptor->d_common.d_type;
    if (first == missing || (Py_TYPE(first) != type && !py.PyType_IsSubtype(Py_TYPE(first), type)))
        return NULL;
    return descriptor->d_method->ml_name;
}

static PMT_SLOW const char *name_of_other(PyObject *callable)
{
    if (py.PyType_IsSubtype(Py_TYPE(callable), py.PyCFunction_Type))
        return name_of_c_function(callable);
    if (Py_TYPE(callable) != py.PyMethod_Type || !pmt_pyver_tells_c_methods())
        return NULL;
    PyObject *function = ((PyMethodObject *)(void *)callable)->im_func;
    return py.PyType_IsSubtype(Py_TYPE(function), py.PyCFunction_Type) ? name_of_c_function(function) : NULL;
}

/* CALL, C_RETURN and C_RAISE come for every callable. NULL: it is no C function. */
static inline const char *name_of_callable(PyObject *callable, PyObject *first)
{
    PyTypeObject *type = Py_TYPE(callable);
    if (type == py.PyCFunction_Type)
        return name_of_c_function(callable);
    if (type == py.PyMethodDescr_Type)
        return name_of_descriptor(callable, first);
    if (type == py.PyFunction_Type || type == py.PyType_Type)
        return NULL;
    return name_of_other(callable);
}

static inline PyObject *tell_c(enum pmt_what what, PyObject *const *arguments)
{
    const char *name = name_of_callable(arguments[2], arguments[3]);
    return name ? tell(what, arguments[0], PMT_POSITION_OFFSET | read_small(arguments[1]), name) : py._Py_NoneStruct;
}

CALLBACK(on_c_call)
{
    return tell_c(PMT_C_CALL, arguments);
}

CALLBACK(on_c_return)
{
    PyObject *result = tell_c(PMT_C_RETURN, arguments);
    if (PMT_UNLIKELY(pmt_deferral_is_waiting) && !pmt_deferral_finish(name_of_callable(arguments[2], arguments[3])))
        return NULL;
    return result;
}

CALLBACK(on_c_raise)
{
    return tell_c(PMT_C_EXCEPT, arguments);
}

CALLBACK(on_line)
{
    return tell(PMT_LINE, arguments[0], PMT_POSITION_LINE | read_small(arguments[1]), NULL);
}

CALLBACK(on_raise)
{
    return tell_exception(PMT_EXCEPT, arguments);
}

/* A jump back to its own line is a new turn of a loop in one line, for which there is no LINE. */
CALLBACK(on_jump)
{
    PyObject *code = arguments[0];
    int64_t from = PMT_POSITION_OFFSET | read_small(arguments[1]), to = PMT_POSITION_OFFSET | read_small(arguments[2]);
    if (to > from || pmt_pyver_line(code, to) != pmt_pyver_line(code, from))
        return disable;
    return tell(PMT_LINE, code, to, NULL);
}

static const struct {
    const char *name; /* in sys.monitoring.events */
    int least;        /* the least of --events that needs it */
    vectorcallfunc callback;
} kinds[] = {
    {"PY_START", PMT_EVENTS_PYTHON, on_call},
    {"PY_RESUME", PMT_EVENTS_PYTHON, on_call},
    {"PY_THROW", PMT_EVENTS_PYTHON, on_call},
    {"PY_RETURN", PMT_EVENTS_PYTHON, on_return},
    {"PY_YIELD", PMT_EVENTS_PYTHON, on_return},
    {"PY_UNWIND", PMT_EVENTS_PYTHON, on_unwind},
    {"CALL", PMT_EVENTS_CALLS, on_c_call},
    {"C_RETURN", PMT_EVENTS_CALLS, on_c_return},
    {"C_RAISE", PMT_EVENTS_CALLS, on_c_raise},
    {"LINE", PMT_EVENTS_LINES, on_line},
    {"JUMP", PMT_EVENTS_LINES, on_jump},
    {"RAISE", PMT_EVENTS_LINES, on_raise},
    {"STOP_ITERATION", PMT_EVENTS_LINES, on_raise},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* ---- the callbacks as objects */

static PyObject *callbacks[KINDS]; /* NULL: not needed */
static long numbers[KINDS];        /* of the events */
static long all_numbers;

/* Whether int objects are as read_small() takes them. */
static bool has_plain_ints(void)
{
    static const int64_t samples[] = {0, 1, 255, 300, 70000, (1 << 30) - 1};
    bool is_plain = true;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        PyObject *number = py.PyLong_FromLongLong(samples[i]);
        is_plain = is_plain && number && read_small(number) == samples[i];
        if (number)
            py.Py_DecRef(number);
    }
    return is_plain;
}

/* Whether methods of types are as name_of_descriptor() takes them. */
static bool has_plain_descriptors(void)
{
    PyObject *sample = py.PyObject_GetAttrString((PyObject *)py.PyLong_Type, "bit_length");
    const PyMethodDescrObject *descriptor = (const void *)sample;
    bool is_plain = sample && Py_TYPE(sample) == py.PyMethodDescr_Type &&
                    descriptor->d_common.d_type == py.PyLong_Type &&
                    strcmp(descriptor->d_method->ml_name, "bit_length") == 0;
    if (sample)
        py.Py_DecRef(sample);
    return is_plain;
}

/* A function object whose vectorcall slot is `callback`, and which the collector does not show. NULL also if function
 * objects are not as we know them. */
static PyObject *make_callback(vectorcallfunc callback)
{
    static PyMethodDef method = {"pmt", NULL, METH_FASTCALL, NULL};
    method.ml_meth = (PyCFunction)(void (*)(void))callback;
    PyObject *object = py.PyCFunction_NewEx(&method, NULL, NULL);
    PyCFunctionObject *function = (PyCFunctionObject *)(void *)object;
    if (!object)
        return NULL;
    if (function->m_ml == &method && py.PyVectorcall_Function(object) == function->vectorcall)
        function->vectorcall = callback;
    if (py.PyVectorcall_Function(object) == callback) {
        py.PyObject_GC_UnTrack(object);
        return object;
    }
    py.Py_DecRef(object);
    return NULL;
}

/* 0: there is no such event. */
static long number_of(PyObject *events, const char *name)
{
    PyObject *object = py.PyObject_GetAttrString(events, name);
    long number = object ? py.PyLong_AsLong(object) : 0;
    if (object)
        py.Py_DecRef(object);
    return number;
}

static bool make_callbacks(PyObject *events)
{
    all_numbers = 0;
    for (size_t i = 0; i < KINDS; i++) {
        callbacks[i] = NULL;
        if (pmt_config.events < kinds[i].least)
            continue;
        numbers[i] = number_of(events, kinds[i].name);
        callbacks[i] = numbers[i] > 0 ? make_callback(kinds[i].callback) : NULL;
        if (!callbacks[i])
            return false;
        all_numbers |= numbers[i];
    }
    return true;
}

static void drop_callbacks(void)
{
    for (size_t i = 0; i < KINDS; i++)
        if (callbacks[i]) {
            py.Py_DecRef(callbacks[i]);
            callbacks[i] = NULL;
        }
}

/* ---- the engine */

static int tool = -1;

/* Another tool id of ours, with nobody to be called. Where CPython forgets who traces a function by opcodes as soon as
 * it is watched by two tools instead of one, as with a debugger and us, it is watched by two from the beginning. */
static int companion = -1;
static long companion_events;

static bool register_callbacks(int by)
{
    for (size_t i = 0; i < KINDS; i++)
        if (callbacks[i] && !pmt_tool_register(by, numbers[i], callbacks[i]))
            return false;
    return true;
}

static void leave(int id)
{
    pmt_tool_listen(id, 0);
    for (size_t i = 0; i < KINDS && id != companion; i++)
        if (callbacks[i])
            pmt_tool_register(id, numbers[i], NULL);
    pmt_tool_free(id);
}

/* Nobody can ask any more who is called for what: so nobody is told that it changes. */
static void end(void)
{
    int ids[] = {tool, companion};
    for (int i = 0; i < 2; i++)
        if (ids[i] >= 0) {
            pmt_tool_listen(ids[i], 0);
            pmt_tool_free(ids[i]);
        }
    tool = companion = -1;
    drop_callbacks();
}

static void give_up(const char *why)
{
    pmt_say(PMT_VERBOSE_PROBLEMS, "sys.monitoring cannot be used: %s; events by another way, at a higher cost", why);
    if (tool >= 0)
        leave(tool);
    tool = -1;
    end();
    pmt_events_fall_back();
}

/* The program has to do with a tool id of ours. */
static void make_way(int id)
{
    int other = pmt_tool_take();
    bool is_able = true, is_begun = pmt_events_state == PMT_LOGGING;
    if (id == companion) {
        if (other >= 0 && is_begun)
            pmt_tool_listen(other, companion_events);
        leave(companion);
        companion = other;
        return;
    }
    if (other < 0 && companion >= 0) {
        other = companion;
        companion = -1;
    }
    is_able = other >= 0 && register_callbacks(other) && (!is_begun || pmt_tool_listen(other, all_numbers));
    leave(tool);
    tool = other;
    if (!is_able)
        give_up("the program uses all its tool ids");
}

/* The ids are taken, and callbacks registered, before the program can have a hook that is told of it. */
static bool prepare(void)
{
    if (!pmt_pyver_has_monitoring())
        return false;
    PyObject *module = py.PySys_GetObject("monitoring");
    PyObject *events = module ? py.PyObject_GetAttrString(module, "events") : NULL;
    missing = module ? py.PyObject_GetAttrString(module, "MISSING") : NULL;
    disable = module ? py.PyObject_GetAttrString(module, "DISABLE") : NULL;
    tool = companion = -1;
    bool is_able = missing && disable && events && has_plain_ints() && has_plain_descriptors() &&
                   make_callbacks(events) && pmt_tool_start(module, number_of(events, "CALL"), make_way);
    if (is_able)
        tool = pmt_tool_take();
    is_able = tool >= 0 && register_callbacks(tool);
    if (is_able && pmt_pyver_loses_opcodes()) {
        companion = pmt_tool_take();
        companion_events = number_of(events, "PY_YIELD");
    }
    if (events)
        py.Py_DecRef(events);
    if (!is_able)
        drop_callbacks();
    py.PyErr_Clear();
    return is_able;
}

static void begin(void)
{
    if (companion >= 0)
        pmt_tool_listen(companion, companion_events);
    if (!pmt_tool_listen(tool, all_numbers))
        give_up("it takes no events");
}

const struct pmt_engine pmt_monitor = {"sys.monitoring", prepare, begin, NULL, end};
