/* site_code.c from within: a search that comes while the words move, and moves that are forced. What a thread meets by
 * chance is done here step by step. */
#include "unit.h"

#include <string.h>

#include "../../preload/site_code.c"

#define BASE ((uintptr_t)0x7f0000000000)
#define FUNCTION 5u

static void enter(size_t number)
{
    assert_true(pmt_site_code_enter((const void *)(BASE + number * 16), FUNCTION));
}

static const void *code_of(uint64_t word)
{
    return (const void *)(uintptr_t)(word >> FUNCTION_BITS << 3);
}

/* Enters a code object whose first word is at `home`. */
static void enter_at(size_t home)
{
    static size_t number = 1000;
    do
        number++;
    while (home_of(words, BASE + number * 16) != home);
    enter(number);
}

/* A row of words, of which three in four are forgotten again: marks that no search may end at. Then new ones, until the
 * words move: there are few living then. */
static void make_them_move(void)
{
    uint64_t before = moves;
    const uint64_t *array = pmt_table_array(words);
    size_t row = pmt_table_room(words) / 16 * 7;
    for (size_t at = 0; at < row; at++)
        enter_at(at);
    for (size_t at = 0; at < row; at++)
        if (at % 4 != 3)
            pmt_site_code_forget(code_of(array[at]));
    assert_int_equal(gone, row / 4 * 3);
    for (size_t at = row + 1; moves == before; at++)
        enter_at(at);
}

static void forget_all(void)
{
    const uint64_t *array = pmt_table_array(words);
    for (size_t at = 0; at < pmt_table_room(words); at++)
        if (array[at] && array[at] != GONE)
            pmt_site_code_forget(code_of(array[at]));
    assert_int_equal(alive, 0);
    assert_int_equal(gone, 0);
}

static void a_search_that_is_overtaken_looks_again(void **state)
{
    size_t at;
    (void)state;
    enter(1);
    uintptr_t seen = words;
    uint64_t seen_moves = moves;
    assert_true(find_word(seen, BASE + 16, &at) != 0);
    for (size_t i = 2; moves == seen_moves; i++)
        enter(i);
    assert_true(words != seen);
    assert_true(find_word(seen, BASE + 16, &at) == 0);
    assert_int_equal(find_again(BASE + 16, seen_moves), FUNCTION);
    assert_int_equal(find_again(BASE + 16, moves), PMT_NO_FUNCTION); /* so that what is unknown costs no lock */
    assert_int_equal(pmt_site_code_function((const void *)(BASE + 16)), FUNCTION);
}

static void two_arrays_take_turns(void **state)
{
    uintptr_t seen[8];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        forget_all();
        seen[i] = words;
        make_them_move();
        assert_true(pmt_site_code_is_valid_locked(FUNCTION + 1));
    }
    assert_true(seen[0] != seen[1]);
    for (size_t i = 2; i < COUNT_OF(seen); i++)
        assert_int_equal(seen[i], seen[i - 2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_that_is_overtaken_looks_again),
        cmocka_unit_test(two_arrays_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
