/* pyhooks.h: what the files of pyhooks/ share. The only folder that knows Python.
 *
 *    attach.c   finds CPython, waits until it is ready, starts and stops the rest
 *    pyapi.c    the resolved table of CPython functions: py.NAME(...)
 *    pyver.c    what differs from version to version
 *    events.c   the profile function: events into the event log
 *    frames.c   names of code objects for the log
 *
 * Everything here runs with the GIL held, unless it says otherwise. */
#ifndef PMT_PYHOOKS_H
#define PMT_PYHOOKS_H

#include <Python.h>
#include <frameobject.h>

#include "core.h"

#undef PyCFunction_NewEx /* a macro from 3.9 on; the function is there in every version */

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
PyObject *pmt_pyver_frame_code(PyFrameObject *frame);
bool pmt_pyver_is_outermost(PyFrameObject *frame);
PyThreadState *pmt_pyver_current_thread(void);
void pmt_pyver_profile_new_threads(PyThreadState *current, Py_tracefunc function);
void pmt_pyver_start(int minor, PyThreadState *current);

/* events.c */
void pmt_events_start(void);
void pmt_events_stop(void);
void pmt_events_thread_created(void);
int pmt_events_profile(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument);

/* frames.c */
extern const struct pmt_namer pmt_frames_namer;
bool pmt_frames_start(void);

/* attach.c */
bool pmt_attach_wait(PyFrameObject *frame, int what);

#endif
