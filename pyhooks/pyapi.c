/* pyapi.c: fills the table of CPython functions from the interpreter's own symbols. */
#include "pyhooks.h"

#include "poison.h"

struct pmt_pyapi py;

static const struct {
    const char *name;
    int first, last;
    void **cell;
} table[] = {
#define FUNCTION(name, type, parameters, first, last) {#name, first, last, (void **)(void *)&py.name},
#define OBJECT(name, type) {#name, 0, 99, (void **)(void *)&py.name},
#include "pyapi.def"
#undef FUNCTION
#undef OBJECT
};

/* Looks every name up in `object`, the executable or library that holds CPython 3.`minor`. NULL, or the first required
 * name that is missing. */
const char *pmt_pyapi_resolve(const struct pmt_elf *object, int minor)
{
    const char *missing = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool is_private = table[i].name[0] == '_', is_wanted = minor >= table[i].first && minor <= table[i].last;
        *table[i].cell = is_wanted ? pmt_elf_symbol(object, table[i].name) : NULL;
        if (is_wanted && !is_private && !*table[i].cell && !missing)
            missing = table[i].name;
    }
    return missing;
}
