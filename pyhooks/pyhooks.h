/* pyhooks.h: what the files of pyhooks/ share. The only folder that knows Python.
 *
 *    attach.c   finds CPython, waits until it is ready, starts and stops the rest
 *    pyapi.c    the resolved table of CPython functions: py.NAME(...)
 *    pyver.c    what differs from version to version
 *    events.c   chooses the engine that tells events; the engines: profiler.c, monitor.c
 *    toolid.c   monitor.c and the program's own tools; with deferral.c, and entry.c for the functions concerned
 *    frames.c   names of code objects for the log
 *    domains.c  the three allocator domains, wrapped
 *    points.c   MEMPOINTs
 *    module.c   builtins and module `pmt`; prelude.py holds what is better said in Python
 *
 * Everything here runs with the GIL held, unless it says otherwise. */
#ifndef PMT_PYHOOKS_H
#define PMT_PYHOOKS_H

#include <Python.h>
#include <frameobject.h>

#include "core.h"

/* A macro in some versions; the function is there in every one. */
#undef PyCFunction_NewEx

#pragma GCC visibility push(hidden)

/* The table: use as py.PyErr_Clear(). Written once, before Python runs any code. */
struct pmt_pyapi {
#define FUNCTION(name, type, parameters, first, last) type(*name) parameters;
#define OBJECT(name, type) type *name;
#include "pyapi.def"
#undef FUNCTION
#undef OBJECT
};
extern struct pmt_pyapi py;
const char *pmt_pyapi_resolve(const struct pmt_elf *object, int minor);

/* pyver.c */
int pmt_pyver_minor(const char *version);
PyObject *pmt_pyver_place(PyFrameObject *frame, int64_t *position);
bool pmt_pyver_is_code(const void *place);
int pmt_pyver_line(const void *code, int64_t position);
/* Positions that need no frame: an offset in bytes into the code's instructions, or a line. Others are less. */
#define PMT_POSITION_OFFSET ((int64_t)1 << 62)
#define PMT_POSITION_LINE ((int64_t)1 << 61)
void pmt_pyver_check_layout(PyFrameObject *frame);
bool pmt_pyver_is_outermost(PyFrameObject *frame);
PyThreadState *pmt_pyver_current_thread(void);
void pmt_pyver_profile_new_threads(PyThreadState *current, Py_tracefunc function);
void pmt_pyver_start(int minor, PyThreadState *current);

PyInterpreterState *pmt_pyver_interpreter(void);
bool pmt_pyver_has_own_gils(void);
bool pmt_pyver_has_monitoring(void);
bool pmt_pyver_tells_c_methods(void);
bool pmt_pyver_loses_opcodes(void);
bool pmt_pyver_is_in_first_interpreter(void);
bool pmt_pyver_has_atexit_of_interpreter(void);

/* domains.c */
void pmt_domains_forget(void);
void pmt_domains_start(const struct pmt_elf *python);
void pmt_domains_wrap(bool also_swaps);
void pmt_domains_check(void);
bool pmt_domains_are_aligned(void);

/* points.c */
bool pmt_points_add(const char *id, size_t size, int64_t memory);
size_t pmt_points_count(void);
const char *pmt_points_get(size_t index, size_t *size, int64_t *memory);
void pmt_points_rename_first(const char *id);
int64_t pmt_points_figure(void);

/* module.c */
bool pmt_module_install(PyObject *builtins);
void pmt_module_ready(void);
PyObject *pmt_module_initialise(void);
PyObject *pmt_module_initialise_perftester(void);

/* events.c */
enum pmt_events_state { PMT_IDLE, PMT_WAITING, PMT_LOGGING };
extern enum pmt_events_state pmt_events_state;
/* Where events come from. Each tells CALL and RETURN, and what else --events asks for. */
struct pmt_engine {
    const char *name;
    bool (*prepare)(void); /* while Python starts; false: not for this --events, this CPython or this process */
    void (*begin)(void);   /* the first CALL is being logged: events come from here, its RETURN is the first that can */
    void (*see_new_threads)(PyThreadState *current); /* one is about to start; NULL: it needs no telling */
    void (*end)(void);                               /* Python is about to be torn down; NULL: nothing is to be done */
};
extern const struct pmt_engine pmt_monitor, pmt_profiler;
void pmt_events_start(void);
void pmt_events_stop(void);
void pmt_events_fall_back(void);
void pmt_events_thread_created(void);

void pmt_events_log_slow(enum pmt_what what, PyObject *code, int64_t position, const char *c_name);

/* code: borrowed; position: as pmt_pyver_place() gives it; c_name: of the C function, for C_ events, else NULL. */
static inline void pmt_events_log(enum pmt_what what, PyObject *code, int64_t position, const char *c_name)
{
    if (PMT_UNLIKELY(!pmt_log_event_quick(what, code, position, c_name)))
        pmt_events_log_slow(what, code, position, c_name);
}

/* entry.c */
typedef PyObject *(*pmt_many_function)(PyObject *, PyObject *const *, Py_ssize_t);
struct pmt_entry {
    PyCFunction original; /* what stood in the method table */
    const char *name;
    bool is_many; /* it is a pmt_many_function */
};
bool pmt_entry_hook(struct pmt_entry *entry, PyObject *object, PyCFunction one, pmt_many_function many);
PyObject *pmt_entry_call(const struct pmt_entry *entry, PyObject *module, PyObject *const *arguments, Py_ssize_t count);

/* deferral.c */
#define PMT_DEFERRED_MAX 3 /* arguments */
extern bool pmt_deferral_is_waiting;
void pmt_deferral_start(PyObject *all_events_function);
PyObject *pmt_deferral_call(const struct pmt_entry *entry, PyObject *module, PyObject *const *arguments,
                            Py_ssize_t count);
bool pmt_deferral_finish(const char *name);

/* toolid.c */
bool pmt_tool_start(PyObject *monitoring, long call, void (*named)(int id));
int pmt_tool_take(void);
void pmt_tool_free(int id);
bool pmt_tool_register(int id, long event, PyObject *callback);
bool pmt_tool_listen(int id, long events);

/* frames.c */
extern const struct pmt_namer pmt_frames_namer;
bool pmt_frames_start(void);

/* attach.c */
bool pmt_attach_wait(PyFrameObject *frame, int what);

#pragma GCC visibility pop

#endif
