/* pyhooks.h: what the files of pyhooks/ share. The only folder that knows Python.
 *
 *    attach.c   finds CPython, waits until it is ready, starts and stops the rest
 *    pyapi.c    the resolved table of CPython functions: py.NAME(...)
 *    pyver.c    what differs from version to version
 *    events.c   chooses the engine that tells events; the engines: evalframe.c, profiler.c
 *    pystate.c  thread states and frames, for evalframe.c; getitem.c mends 3.11.0 for it
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
int pmt_pyver_line(const void *code, int64_t position);
void pmt_pyver_check_layout(PyFrameObject *frame);
bool pmt_pyver_frame_layout(int *code, int *place);
const char *pmt_pyver_inner_frame(PyFrameObject *frame);
bool pmt_pyver_is_outermost(PyFrameObject *frame);
PyThreadState *pmt_pyver_current_thread(void);
void pmt_pyver_profile_new_threads(PyThreadState *current, Py_tracefunc function);
void pmt_pyver_start(int minor, PyThreadState *current);

PyInterpreterState *pmt_pyver_interpreter(void);
bool pmt_pyver_has_own_gils(void);
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
};
extern const struct pmt_engine pmt_evalframe, pmt_profiler;
void pmt_events_start(void);
void pmt_events_stop(void);
void pmt_events_thread_created(void);

/* code: borrowed; position: as pmt_pyver_place() gives it; c_name: of the C function, for C_ events, else NULL. */
static inline void pmt_events_log(enum pmt_what what, PyObject *code, int64_t position, const char *c_name)
{
    int thread = pmt_thread_id();
    if (PMT_LIKELY(pmt_state == PMT_ON))
        pmt_log_event(what, thread == pmt_pid ? 0 : thread, code, position, c_name);
}

/* frames.c */
extern const struct pmt_namer pmt_frames_namer;
bool pmt_frames_start(void);

/* getitem.c */
bool pmt_getitem_keep_general(const struct pmt_elf *python);

/* attach.c */
const struct pmt_elf *pmt_attach_object(void); /* the executable or library that holds CPython */
bool pmt_attach_wait(PyFrameObject *frame, int what);

#pragma GCC visibility pop

#endif
