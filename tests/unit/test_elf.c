/* elf.c against dlsym. */
#include "unit.h"

#include <dlfcn.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_where_dlsym_finds_them),
        cmocka_unit_test(every_object_has_its_own_symbols),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(a_library_loaded_later_and_local_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
