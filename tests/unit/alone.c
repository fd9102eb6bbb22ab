/* alone.c: the little of life.c and pyhooks/ that other modules refer to, so that these can be tested alone: without a
 * constructor that starts the library in the test program. A process that is never a fork, and has no Python. */
#include "account.h"

#include <stdlib.h>

enum pmt_state pmt_state = PMT_ON;
int pmt_pid;
int64_t pmt_start_unix_ns, pmt_start_monotonic_ns;
char pmt_arguments[4096];
size_t pmt_arguments_size;
bool pmt_arguments_are_cut;
char pmt_working_directory[PMT_PATH_SIZE];
char pmt_directory[PMT_PATH_SIZE];
bool pmt_directory_is_default;
bool pmt_python_is_starting, pmt_python_is_found, pmt_python_has_stacks;

static char alive = 1;
volatile char *pmt_life_alive = &alive;

bool pmt_life_has_other_pid(void)
{
    abort();
}

void pmt_life_child(void)
{
    abort();
}

void pmt_python_memory_mapped(void)
{
    abort();
}

bool pmt_python_has_gil_slow(void)
{
    abort();
}

struct pmt_here pmt_stack_here(enum pmt_owner owner, bool has_gil)
{
    (void)owner;
    (void)has_gil;
    abort();
}

bool pmt_python_has_started(void)
{
    return false;
}

bool pmt_python_counts(void)
{
    return false;
}

const char *pmt_python_version(void)
{
    return NULL;
}
