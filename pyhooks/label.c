/* label.c: pmt.label(name): what a thread allocates meanwhile carries the name: a request, a task, a test.
 *
 *    with pmt.label("GET /x"):  prelude.py -> _enter_label("GET /x") -> 4      the label before, to come back to
 *                                          -> _leave_label(4)
 *
 * The label is the thread's, and part of the key of a site (site.h). */
#include "pyhooks.h"

#include "site.h"

#include "poison.h"

#define NAME_MAX_BYTES 4096

static void mark(enum pmt_mark_kind kind, uint32_t label)
{
    char name[NAME_MAX_BYTES];
    size_t size = pmt_site_get_label(label, name, sizeof name);
    if (!label)
        return;
    int64_t memory = pmt_points_figure();
    pmt_log_mark(kind == PMT_MARK_LABEL_BEGIN ? "label begin " : "label end ", name, size, memory);
    pmt_capture_mark(kind, name, size, memory);
}

/* The label's number, 0 with an exception. Names that are longer are cut. */
static uint32_t label_of(PyObject *name)
{
    char text[NAME_MAX_BYTES];
    PyObject *string = py.PyObject_Str(name);
    if (!string)
        return 0;
    size_t size = pmt_stack_put_bytes(text, sizeof text, string);
    py.Py_DecRef(string);
    return pmt_site_label(pmt_site_string(text, size));
}

/* _enter_label(name) -> the label's number before */
PyObject *pmt_label_enter(PyObject *self, PyObject *name)
{
    (void)self;
    uint32_t before = pmt_site_label_mine, label = label_of(name);
    if (!label && py.PyErr_Occurred())
        return NULL;
    pmt_site_label_mine = label;
    mark(PMT_MARK_LABEL_BEGIN, label);
    return py.PyLong_FromLongLong(before);
}

/* _leave_label(number): back to what _enter_label() returned */
PyObject *pmt_label_leave(PyObject *self, PyObject *number)
{
    (void)self;
    long before = py.PyLong_AsLong(number);
    if (before == -1 && py.PyErr_Occurred())
        return NULL;
    mark(PMT_MARK_LABEL_END, pmt_site_label_mine);
    pmt_site_label_mine = (uint32_t)before;
    py.Py_IncRef(py._Py_NoneStruct);
    return py._Py_NoneStruct;
}
