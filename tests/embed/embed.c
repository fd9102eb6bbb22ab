/* embed.c: a program that embeds Python, to be profiled by tests/python/test_attach.py.
 *
 *   linked       embed WAY CODE
 *   dlopened     embed local|global WAY CODE     (built with -DLIBPYTHON="libpython3.x.so.1.0")
 *
 * WAY says how the code runs: simple (PyRun_SimpleString), eval (PyEval_EvalCode with globals of its own, no __main__),
 * import (PyImport_ImportModule of first_module, CODE unused), twice (simple, with Py_FinalizeEx between).
 * LIBPYTHON has no slash: the loader finds it by the RUNPATH of this executable, if a dlopen in between does not hide
 * who called.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define FUNCTIONS(X)                                                                                                   \
    X(Py_InitializeEx)                                                                                                 \
    X(Py_FinalizeEx)                                                                                                   \
    X(PyRun_SimpleStringFlags)                                                                                         \
    X(Py_CompileStringExFlags)                                                                                         \
    X(PyEval_EvalCode)                                                                                                 \
    X(PyEval_GetBuiltins)                                                                                              \
    X(PyDict_New)                                                                                                      \
    X(PyDict_SetItemString)                                                                                            \
    X(PyImport_ImportModule)                                                                                           \
    X(PyErr_Print)                                                                                                     \
    X(Py_DecRef)

static struct {
#define MEMBER(name) __typeof__(name) *name##_;
    FUNCTIONS(MEMBER)
} python;

static int find_functions(const char *scope)
{
#ifdef LIBPYTHON
    void *library = dlopen(LIBPYTHON, RTLD_NOW | (strcmp(scope, "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
#define FIND(name)                                                                                                     \
    if (!(python.name##_ = (__typeof__(name) *)dlsym(library, #name))) {                                               \
        fprintf(stderr, "%s\n", dlerror());                                                                            \
        return -1;                                                                                                     \
    }
    FUNCTIONS(FIND)
#else
    (void)scope;
#define LINK(name) python.name##_ = name;
    FUNCTIONS(LINK)
#endif
    return 0;
}

static int run_evaluated(const char *code)
{
    PyObject *compiled = python.Py_CompileStringExFlags_(code, "<embedded>", Py_file_input, NULL, -1);
    PyObject *globals = python.PyDict_New_();
    if (!compiled || !globals || python.PyDict_SetItemString_(globals, "__builtins__", python.PyEval_GetBuiltins_()))
        return -1;
    PyObject *result = python.PyEval_EvalCode_(compiled, globals, globals);
    if (!result)
        return -1;
    python.Py_DecRef_(result);
    python.Py_DecRef_(globals);
    python.Py_DecRef_(compiled);
    return 0;
}

static int run_once(const char *way, const char *code)
{
    int result = -1;
    python.Py_InitializeEx_(1);
    if (strcmp(way, "eval") == 0)
        result = run_evaluated(code);
    else if (strcmp(way, "import") == 0) {
        PyObject *module = python.PyImport_ImportModule_("first_module");
        if (module) {
            result = 0;
            python.Py_DecRef_(module);
        }
    } else
        result = python.PyRun_SimpleStringFlags_(code, NULL);
    if (result)
        python.PyErr_Print_();
    return python.Py_FinalizeEx_() ? -1 : result;
}

int main(int argc, char **argv)
{
    const char *scope = "";
#ifdef LIBPYTHON
    if (argc > 1)
        scope = *++argv, argc--;
#endif
    if (argc != 3) {
        fprintf(stderr, "usage: embed [local|global] simple|eval|import|twice CODE\n");
        return 2;
    }
    if (find_functions(scope) || run_once(argv[1], argv[2]))
        return 1;
    return strcmp(argv[1], "twice") == 0 && run_once(argv[1], argv[2]) ? 1 : 0;
}
