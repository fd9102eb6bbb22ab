/* frames.c: names of code objects, as the event log writes them. Asked for only when a row is written. */
#include "pyhooks.h"

#include "poison.h"

static PyObject *name_filename, *name_name; /* interned "co_filename", "co_name" */

/* False: out of memory. */
bool pmt_frames_start(void)
{
    name_filename = py.PyUnicode_InternFromString("co_filename");
    name_name = py.PyUnicode_InternFromString("co_name");
    return name_filename && name_name;
}

/* Characters are read one by one: PyUnicode_AsUTF8 would allocate in the host and keep the result in its string. */
static void put_attribute(struct pmt_text *text, const void *code, PyObject *attribute)
{
    if (!pmt_pyver_is_code(code))
        return;
    PyObject *string = py.PyObject_GetAttr((PyObject *)(uintptr_t)code, attribute);
    if (!string) {
        py.PyErr_Clear();
        return;
    }
    Py_ssize_t length = py.PyUnicode_GetLength(string);
    for (Py_ssize_t i = 0; i < length; i++)
        pmt_text_codepoint(text, py.PyUnicode_ReadChar(string, i));
    py.Py_DecRef(string);
}

static void put_file(struct pmt_text *text, const void *code)
{
    put_attribute(text, code, name_filename);
}

static void put_function(struct pmt_text *text, const void *code)
{
    put_attribute(text, code, name_name);
}

static void hold(void *code)
{
    py.Py_IncRef(code);
}

static void release(void *code)
{
    py.Py_DecRef(code);
}

const struct pmt_namer pmt_frames_namer = {put_file, put_function, pmt_pyver_line, hold, release};
