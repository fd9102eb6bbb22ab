/* elf.c against dlsym. */
#include "unit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void symbols_are_where_dlsym_finds_them(void **state)
{
    /* pthread_cond_init and realpath have an old and a default version */
    static const char *const names[] = {"malloc", "getenv", "environ", "pthread_cond_init", "realpath", "dlopen"};
    struct pmt_elf libc;
    (void)state;
    assert_true(pmt_elf_find("gnu_get_libc_version", &libc));
    assert_non_null(strstr(libc.path, "libc.so.6"));
    void *handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_non_null(dlsym(handle, names[i]));
        assert_ptr_equal(pmt_elf_symbol(&libc, names[i]), dlsym(handle, names[i]));
    }
    dlclose(handle);
}

static void every_object_has_its_own_symbols(void **state)
{
    struct pmt_elf libc, cmocka;
    (void)state;
    assert_true(pmt_elf_find("gnu_get_libc_version", &libc));
    assert_true(pmt_elf_find("_cmocka_run_group_tests", &cmocka));
    assert_non_null(strstr(cmocka.path, "cmocka"));
    assert_ptr_equal(pmt_elf_symbol(&cmocka, "_cmocka_run_group_tests"),
                     dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests"));
    assert_null(pmt_elf_symbol(&libc, "_cmocka_run_group_tests"));
    assert_null(pmt_elf_symbol(&cmocka, "malloc")); /* used there, not defined */
}

static void what_is_not_there_is_not_found(void **state)
{
    struct pmt_elf object;
    (void)state;
    assert_false(pmt_elf_find("no_such_symbol_anywhere", &object));
    assert_false(pmt_elf_find("", &object));
}

/* libthread_db.so.1 is a library of libc that no program has loaded. */
static void a_library_loaded_later_and_local_is_found(void **state)
{
    struct pmt_elf object;
    uint64_t before = pmt_elf_load_count();
    (void)state;
    assert_false(pmt_elf_find("td_symbol_list", &object));
    void *handle = dlopen("libthread_db.so.1", RTLD_LAZY | RTLD_LOCAL);
    assert_non_null(handle);
    assert_true(pmt_elf_load_count() > before);
    assert_null(dlsym(RTLD_DEFAULT, "td_symbol_list"));
    assert_true(pmt_elf_find("td_symbol_list", &object));
    assert_non_null(strstr(object.path, "libthread_db"));
    assert_ptr_equal(pmt_elf_symbol(&object, "td_symbol_list"), dlsym(handle, "td_symbol_list"));
    dlclose(handle);
    assert_false(pmt_elf_find("td_symbol_list", &object));
}

/* ---- references: those of lib_neighbour.so, to functions that this program defines in CPython's place */

typedef int (*tracefunc)(void *, void *, int, void *);
void PyEval_SetProfile(tracefunc function, void *object);
void PyEval_SetTrace(tracefunc function, void *object);
static int profiles, traces, redirected_profiles, redirected_traces;

PMT_EXPORT void PyEval_SetProfile(tracefunc function, void *object)
{
    (void)function;
    (void)object;
    profiles++;
}

PMT_EXPORT void PyEval_SetTrace(tracefunc function, void *object)
{
    (void)function;
    (void)object;
    traces++;
}

static void instead_of_profile(tracefunc function, void *object)
{
    (void)function;
    (void)object;
    redirected_profiles++;
}

static void instead_of_trace(tracefunc function, void *object)
{
    (void)function;
    (void)object;
    redirected_traces++;
}

static void (*const volatile own_reference)(tracefunc function, void *object) = PyEval_SetProfile;

static void *load(const char *name)
{
    char path[4096];
    const char *build = getenv("PMT_BUILD");
    if (!build)
        return NULL;
    snprintf(path, sizeof path, "%s/tests/%s", build, name);
    return dlopen(path, RTLD_LAZY | RTLD_LOCAL);
}

/* Calls neighbour_set(kind) of a library and checks how often each function has been called since the last time. */
static void check_calls(void *library, int kind, const int expected[4])
{
    int (*set)(int, void *);
    *(void **)(void *)&set = dlsym(library, "neighbour_set");
    assert_non_null(set);
    profiles = traces = redirected_profiles = redirected_traces = 0;
    set(kind, NULL);
    const int got[] = {profiles, traces, redirected_profiles, redirected_traces};
    assert_memory_equal(got, expected, sizeof got);
}

static void references_lead_elsewhere(void **state)
{
    static const int own[] = {1, 0, 0, 0}, own_trace[] = {0, 1, 0, 0}, other[] = {0, 0, 1, 0},
                     other_trace[] = {0, 0, 0, 1};
    const struct pmt_redirect table[] = {
        {"PyEval_SetProfile", (void *)own_reference, (void *)instead_of_profile},
        {"PyEval_SetTrace", (void *)PyEval_SetTrace, (void *)instead_of_trace},
        {"PyEval_SetProfileAllThreads", NULL, NULL},
    };
    struct pmt_elf program;
    (void)state;
    void *lazy = load("lib_neighbour.so"), *bound = load("lib_neighbour_now.so");
    if (!lazy || !bound)
        skip();
    assert_true(pmt_elf_find("references_are_tested_here", &program));
    check_calls(lazy, 'p', own); /* is bound now; the tracer's is not yet */
    check_calls(bound, 'p', own);
    assert_true(pmt_elf_redirect(table, COUNT_OF(table), &program));
    check_calls(lazy, 'p', other);
    check_calls(lazy, 't', other_trace);
    check_calls(bound, 'P', other);
    check_calls(bound, 'T', other_trace);
    assert_true(pmt_elf_redirect(table, COUNT_OF(table), &program)); /* again: nothing new */
    check_calls(lazy, 'q', other);
    dlclose(bound);
    bound = load("lib_neighbour_now.so"); /* a new one, perhaps at the old address */
    assert_non_null(bound);
    check_calls(bound, 't', own_trace);
    assert_true(pmt_elf_redirect(table, COUNT_OF(table), &program));
    check_calls(bound, 't', other_trace);
    dlclose(bound);
    dlclose(lazy);
    profiles = 0;
    own_reference(NULL, NULL); /* the program's own stay */
    assert_int_equal(profiles, 1);
}

extern int references_are_tested_here;
PMT_EXPORT int references_are_tested_here;

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_where_dlsym_finds_them),        cmocka_unit_test(references_lead_elsewhere),
        cmocka_unit_test(every_object_has_its_own_symbols),          cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(a_library_loaded_later_and_local_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
