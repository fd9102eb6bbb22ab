/* pyhooks.h: what the files of pyhooks/ share. The only folder that knows Python.
 *
 *    attach.c   finds CPython, waits until it is ready, starts and stops the rest
 *    pyapi.c    the resolved table of CPython functions: py.NAME(...)
 *    pyver.c    what differs from version to version
 *    events.c   chooses the engine that tells events; the engines: evalframe.c, monitor.c, profiler.c
 *    slots.c    our profile and trace function beside the program's; setters.c notices when it sets one, told.c knows
 *               what it has been told
 *    pystate.c  thread states and frames, for evalframe.c; getitem.c mends 3.11.0 for it
 *    toolid.c   monitor.c and the program's own tools; with deferral.c, and entry.c for the functions concerned
 *    frames.c   names of code objects for the log
 *    domains.c  the three allocator domains, wrapped
 *    stack.c    the stack of Python frames that an allocation is made from
 *    label.c    names for what is allocated meanwhile
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
/* Of the code object (which may be a tagged pointer) and the place (an int) in a frame object; or, if there is an inner
 * frame, of the pointer to that, and in it (the place a pointer). */
struct pmt_frame_offsets {
    int inner, code, place;
};
bool pmt_pyver_frame_offsets(struct pmt_frame_offsets *offsets);
PyObject *pmt_pyver_traced_place(PyFrameObject *frame, int64_t *position);
bool pmt_pyver_is_code(const void *place);
int pmt_pyver_line(const void *code, int64_t position);
/* Positions that need no frame: an offset in bytes into the code's instructions, or a line. Others are less. */
#define PMT_POSITION_OFFSET ((int64_t)1 << 62)
#define PMT_POSITION_LINE ((int64_t)1 << 61)
void pmt_pyver_check_layout(PyFrameObject *frame);
bool pmt_pyver_frame_layout(int *code, int *place);
const char *pmt_pyver_inner_frame(PyFrameObject *frame);
bool pmt_pyver_is_outermost(PyFrameObject *frame);
PyThreadState *pmt_pyver_current_thread(void);
void pmt_pyver_start(int minor, PyThreadState *current);
enum pmt_slot { PMT_SLOT_PROFILE, PMT_SLOT_TRACE, PMT_SLOTS };
bool pmt_pyver_check_slots(PyThreadState *current, Py_tracefunc function, bool with_tracer);
Py_tracefunc *pmt_pyver_slot(PyThreadState *thread, enum pmt_slot slot);
void pmt_pyver_switch_on(PyThreadState *thread);
bool pmt_pyver_counts_functions(void);
bool pmt_pyver_is_logged(PyThreadState *thread);
void pmt_pyver_each_thread(void (*see)(PyThreadState *thread));
void pmt_pyver_each_new_thread(void (*see)(PyThreadState *thread));

#define PMT_PYVER_THREAD_INTERPRETER 16 /* in a thread state of every version: after prev and next */

/* A row of pystack.def. */
struct pmt_pyver_stack {
    int first, last, thread_frame, current, previous, code, place, place_size, owner, foreign;
    int file, name, line, traceable;
};
const struct pmt_pyver_stack *pmt_pyver_stack(int *row);
bool pmt_pyver_is_finished(const struct pmt_pyver_stack *stack, const char *frame);

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
void pmt_domains_know_stacks(int row);

/* stack.c */
extern bool pmt_stack_has_own_gils; /* interpreters may have a GIL each: who holds one may not hold the main one's */
void pmt_stack_start(PyThreadState *thread, PyFrameObject *frame);
void pmt_stack_forget_code(const void *code);
size_t pmt_stack_put_bytes(char *text, size_t size, PyObject *string);

/* label.c: functions of the module `pmt` */
PyObject *pmt_label_enter(PyObject *self, PyObject *name);
PyObject *pmt_label_leave(PyObject *self, PyObject *number);

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
extern const struct pmt_engine pmt_evalframe, pmt_monitor, pmt_profiler;
void pmt_events_start(const struct pmt_elf *python);
void pmt_events_stop(void);
void pmt_events_fall_back(void);
void pmt_events_thread_created(void);

void pmt_events_log_slow(enum pmt_what what, PyObject *code, int64_t position, const char *c_name);

/* code: borrowed; position: as pmt_pyver_place() gives it; c_name: of the C function, for C_ events, else NULL. */
PMT_HOT void pmt_events_log(enum pmt_what what, PyObject *code, int64_t position, const char *c_name)
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

/* slots.c */
#define PMT_SLOTS_CHAINED ((PyObject *)1) /* an observer's first argument when the program has a function as well */
void pmt_slots_start(PyThreadState *current, Py_tracefunc observer, bool with_tracer);
void pmt_slots_observe(PyThreadState *current, enum pmt_slot slot, Py_tracefunc observer);
unsigned pmt_slots_give(PyThreadState *thread);
void pmt_slots_take(PyThreadState *thread, unsigned given);
void pmt_slots_see_new_threads(PyThreadState *current);

/* told.c */
extern size_t pmt_told_count;
void pmt_told_add(const PyFrameObject *frame);
bool pmt_told_take(const PyFrameObject *frame);

/* setters.c */
void pmt_setters_start(const struct pmt_elf *python);
void pmt_setters_look(void);

/* frames.c */
extern const struct pmt_namer pmt_frames_namer;
bool pmt_frames_start(void);

/* getitem.c */
bool pmt_getitem_keep_general(const struct pmt_elf *python);

/* attach.c */
const struct pmt_elf *pmt_attach_object(void); /* the executable or library that holds CPython */
void pmt_attach_execute_too(PyModuleDef *definition, int (*function)(PyObject *module));
bool pmt_attach_wait(PyFrameObject *frame, int what);

#pragma GCC visibility pop

#endif
