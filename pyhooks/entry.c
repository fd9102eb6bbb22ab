/* entry.c: C functions of CPython's modules, made ours in the method tables that their function objects point to. Names
 * of CPython are not interposed, and what the program can ask about the functions stays as it is. */
#include "pyhooks.h"

#include "poison.h"

/* Makes the entry of the function `object` ours: `one` takes its argument as METH_O and METH_NOARGS functions do,
 * `many` as METH_FASTCALL ones. False: it is none of these. */
bool pmt_entry_hook(struct pmt_entry *entry, PyObject *object, PyCFunction one, pmt_many_function many)
{
    if (Py_TYPE(object) != py.PyCFunction_Type)
        return false;
    PyMethodDef *method = ((PyCFunctionObject *)(void *)object)->m_ml;
    entry->is_many = method->ml_flags == METH_FASTCALL;
    PyCFunction ours = entry->is_many ? (PyCFunction)(void (*)(void))many : one;
    if (!ours || (!entry->is_many && method->ml_flags != METH_O && method->ml_flags != METH_NOARGS))
        return false;
    if (method->ml_meth != ours)
        entry->original = method->ml_meth;
    entry->name = method->ml_name;
    method->ml_meth = ours;
    return true;
}

/* Calls what stood there. */
PyObject *pmt_entry_call(const struct pmt_entry *entry, PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (entry->is_many)
        return ((pmt_many_function)(void (*)(void))entry->original)(module, arguments, count);
    return entry->original(module, count > 0 ? arguments[0] : NULL);
}
