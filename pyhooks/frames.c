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

#define BATCH 128

/* Most names are ASCII: put by runs. */
static void put_codepoints(struct pmt_text *text, const Py_UCS4 *codepoints, Py_ssize_t count)
{
    char run[BATCH];
    size_t size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PMT_LIKELY(codepoints[i] < 0x80)) {
            run[size++] = (char)codepoints[i];
            continue;
        }
        pmt_text_name(text, run, size);
        size = 0;
        pmt_text_codepoint(text, codepoints[i]);
    }
    pmt_text_name(text, run, size);
}

/* Characters are copied out, or read one by one: PyUnicode_AsUTF8 would allocate in the host and keep the result in its
 * string. */
static void put_attribute(struct pmt_text *text, const void *code, PyObject *attribute)
{
    Py_UCS4 codepoints[BATCH];
    if (!pmt_pyver_is_code(code))
        return;
    PyObject *string = py.PyObject_GetAttr((PyObject *)(uintptr_t)code, attribute);
    if (!string) {
        py.PyErr_Clear();
        return;
    }
    Py_ssize_t length = py.PyUnicode_GetLength(string);
    if (length <= BATCH && py.PyUnicode_AsUCS4(string, codepoints, BATCH, 0))
        put_codepoints(text, codepoints, length);
    else
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

const struct pmt_namer pmt_frames_namer = {put_file, put_function, pmt_pyver_line, hold, release, pmt_setters_look};
