/* getitem.c: CPython 3.11.0 to 3.11.3 run a __getitem__ that is written in Python without asking for a frame evaluator,
 * once its caller has been specialised (issue 104405 of CPython, mended in 3.11.4). This keeps them from specialising
 * so.
 *
 * Functions are numbered when a call of them is first specialised, and this one specialisation, unlike any other, has
 * room for 16 bits of the number. So the count of numbers, a variable without a name, is set beyond: numbers that
 * programs with many functions come to as well. The variable is the one in CPython's data that is always one more than
 * the number that a new function got. It is looked for in pages that have been written to, as it has, or looking would
 * make other pages resident. */
#include "pyhooks.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define NUMBER 128   /* offset of func_version in a PyFunctionObject (3.11, cpython/funcobject.h) */
#define BEYOND 65536 /* the first number that is too large */
#define CANDIDATES_MAX 1024
#define PAGES_MAX 1024

/* What a function gets that is called often enough to be specialised; 0: none, or an error. */
static uint32_t number_of_new_function(void)
{
    static const char text[] = "def f(): pass\nfor _ in '123456789_123456789_123456789_': f()\n";
    uint32_t number = 0;
    PyObject *names = py.PyDict_New();
    PyObject *code = py.Py_CompileStringExFlags(text, "<pmt>", Py_file_input, NULL, -1);
    PyObject *result = names && code ? py.PyEval_EvalCode(code, names, names) : NULL;
    PyObject *function = result ? py.PyDict_GetItemString(names, "f") : NULL;
    if (function)
        memcpy(&number, (const char *)function + NUMBER, sizeof number);
    else
        py.PyErr_Clear();
    PyObject *owned[] = {names, code, result};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (owned[i])
            py.Py_DecRef(owned[i]);
    return number;
}

/* Reads what the kernel says of the pages from `start` on (proc(5), pagemap); if it says nothing, all are looked at. */
static void read_pages(uintptr_t start, uint64_t *pages, size_t count)
{
    int fd = pmt_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    long size = (long)(count * sizeof *pages), got = -1;
    if (fd >= 0) {
        got = pmt_sys_pread(fd, pages, (size_t)size, (int64_t)(start / (size_t)pmt_page_size * sizeof *pages));
        pmt_sys_close(fd);
    }
    if (got != size)
        memset(pages, 0xff, (size_t)size);
}

/* Whether a page is resident or swapped out, and no page of a file any more. */
static bool is_written(uint64_t page)
{
    return page == UINT64_MAX || (page >> 62 && !(page >> 61 & 1));
}

/* Where `value` stands in CPython's data: at most CANDIDATES_MAX places. */
static size_t find_all(const struct pmt_elf *python, uint32_t value, uint32_t **places)
{
    static uint64_t pages[PAGES_MAX];
    uintptr_t page_size = (uintptr_t)pmt_page_size, start = python->data_low & ~(page_size - 1);
    size_t count = (python->data_high - start + page_size - 1) / page_size, found = 0;
    count = count < PAGES_MAX ? count : PAGES_MAX;
    read_pages(start, pages, count);
    for (size_t page = 0; page < count; page++) {
        uintptr_t at = start + page * page_size, end = at + page_size;
        if (!is_written(pages[page]))
            continue;
        at = at < python->data_low ? python->data_low : at;
        end = end < python->data_high ? end : python->data_high;
        for (at = (at + 3) & ~(uintptr_t)3; at + 4 <= end && found < CANDIDATES_MAX; at += 4)
            if (*(uint32_t *)at == value)
                places[found++] = (uint32_t *)at;
    }
    return found;
}

/* The variable, NULL if it is not found for sure: one place only has followed four functions. */
static uint32_t *find_count(const struct pmt_elf *python)
{
    static uint32_t *places[CANDIDATES_MAX];
    uint32_t number = number_of_new_function();
    size_t count = number ? find_all(python, number + 1, places) : 0;
    for (int round = 0; round < 3; round++) {
        size_t kept = 0;
        number = number_of_new_function();
        for (size_t i = 0; i < count; i++)
            if (*places[i] == number + 1)
                places[kept++] = places[i];
        count = kept;
    }
    return count == 1 && number < BEYOND ? places[0] : NULL;
}

/* True: every call of a __getitem__ asks for the evaluator from here on. Called before there is one, and before the
 * program runs. */
bool pmt_getitem_keep_general(const struct pmt_elf *python)
{
    if (number_of_new_function() >= BEYOND)
        return true; /* an interpreter was here before */
    uint32_t *place = find_count(python);
    if (!place)
        return false;
    uint32_t before = *place;
    *place = BEYOND;
    if (number_of_new_function() == BEYOND && *place == BEYOND + 1)
        return true;
    *place = before;
    return false;
}
