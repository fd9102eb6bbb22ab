/* site.c, site_string.c and table.c: what is entered twice is one, is found again over several sizes of the index and
 * by several threads, and a full table, or a lack of memory, only counts. The last tests fill the tables. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "site.h"

static uint32_t string_of(const char *text)
{
    return pmt_site_string(text, strlen(text));
}

static uint32_t numbered_string(const char *prefix, unsigned number)
{
    char text[64];
    return pmt_site_string(text, (size_t)snprintf(text, sizeof text, "%s%u", prefix, number));
}

/* Copies `size` bytes of the stream of strings. */
static void copy_stream(char *bytes, uint32_t offset, size_t size)
{
    const char *piece;
    while (size) {
        size_t together = pmt_site_get_strings(offset, &piece);
        assert_true(together > 0);
        together = together < size ? together : size;
        memcpy(bytes, piece, together);
        bytes += together;
        offset += (uint32_t)together;
        size -= together;
    }
}

static void check_string(uint32_t id, const char *bytes, size_t size)
{
    static char copy[1 << 16];
    uint32_t length;
    assert_int_equal(id % 4, 0);
    copy_stream((char *)&length, id, sizeof length);
    assert_int_equal(length, size);
    copy_stream(copy, id + 4, (size + 3) & ~(size_t)3);
    assert_memory_equal(copy, bytes, size);
    for (size_t i = size; i & 3; i++)
        assert_int_equal(copy[i], 0);
}

static void tables_begin_with_what_is_preset(void **state)
{
    struct pmt_site_counts counts = pmt_site_count();
    struct pmt_record_node node;
    struct pmt_record_site site;
    const char *bytes;
    (void)state;
    assert_int_equal(counts.strings, 0);
    assert_int_equal(counts.functions, 0);
    assert_int_equal(counts.nodes, PMT_NODE_FIRST);
    assert_int_equal(counts.sites, PMT_SITE_FIRST);
    assert_int_equal(pmt_site_get_strings(0, &bytes), 0);
    for (uint32_t id = 0; id < PMT_NODE_FIRST; id++) {
        pmt_site_get_node(id, &node);
        assert_int_equal(node.parent, PMT_NODE_ROOT);
        assert_int_equal(node.function, PMT_NO_FUNCTION);
        assert_int_equal(node.line, 0);
    }
    for (uint32_t id = 0; id < PMT_SITE_FIRST; id++) {
        struct pmt_record_site nothing = {.label = PMT_NO_STRING, .owner = id == PMT_SITE_PYTHON};
        pmt_site_get(id, &site);
        assert_memory_equal(&site, &nothing, sizeof site);
    }
    assert_true(pmt_site_is_valid());
}

static void a_string_is_entered_once(void **state)
{
    (void)state;
    uint32_t a = string_of("module.py"), b = string_of("module.pyc"), c = pmt_site_string("a\0b", 3);
    assert_int_equal(a, 0);
    assert_int_equal(string_of("module.py"), a);
    assert_int_equal(string_of("module.pyc"), b);
    assert_int_equal(pmt_site_string("a\0b", 3), c);
    assert_int_not_equal(pmt_site_string("a\0c", 3), c);
    check_string(a, "module.py", 9);
    check_string(b, "module.pyc", 10);
    check_string(c, "a\0b", 3);
    assert_int_equal(pmt_site_string("", 0), PMT_NO_STRING);
    assert_int_equal(pmt_site_string(NULL, 0), PMT_NO_STRING);
    assert_int_equal(pmt_site_count().lost_strings, 0);
    assert_true(pmt_site_is_valid());
}

/* Chunks are 64 KiB: these cross their ends at every multiple of 4. */
static void strings_cross_the_ends_of_chunks(void **state)
{
    static char text[30011];
    uint32_t ids[64];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            for (size_t j = 0; j < sizeof text; j++)
                text[j] = (char)(i * 7 + j * j % 251);
            uint32_t id = pmt_site_string(text, sizeof text - i);
            if (round == 0)
                ids[i] = id;
            assert_int_equal(id, ids[i]);
            check_string(id, text, sizeof text - i);
        }
    assert_true(pmt_site_is_valid());
}

static void a_long_string_is_cut_at_a_character(void **state)
{
    enum { MAX = 32 << 10 };
    static char text[MAX + 100];
    (void)state;
    memset(text, 'x', sizeof text);
    uint32_t whole = pmt_site_string(text, MAX);
    check_string(whole, text, MAX);
    assert_int_equal(pmt_site_string(text, MAX + 1), whole);
    memcpy(text + MAX - 2, "\xf0\x9f\x90\x8d", 4);
    check_string(pmt_site_string(text, sizeof text), text, MAX - 2);
    memset(text, 0x80, sizeof text); /* no UTF-8 */
    check_string(pmt_site_string(text, sizeof text), text, MAX - 3);
}

static void a_function_is_entered_once(void **state)
{
    struct pmt_record_function record;
    uint32_t file = string_of("f.py"), name = string_of("f");
    (void)state;
    uint32_t a = pmt_site_function(file, name, 1), b = pmt_site_function(file, name, 2);
    uint32_t c = pmt_site_function(name, file, 1), d = pmt_site_function(file, PMT_NO_STRING, -1);
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    assert_int_equal(c, 2);
    assert_int_equal(d, 3);
    assert_int_equal(pmt_site_function(file, name, 1), a);
    assert_int_equal(pmt_site_function(file, PMT_NO_STRING, -1), d);
    pmt_site_get_function(d, &record);
    struct pmt_record_function want = {file, PMT_NO_STRING, -1, 0};
    assert_memory_equal(&record, &want, sizeof want);
}

static void a_node_is_entered_once(void **state)
{
    struct pmt_record_node record;
    (void)state;
    uint32_t outer = pmt_site_node(PMT_NODE_ROOT, 0, 10), inner = pmt_site_node(outer, 1, 20);
    assert_int_equal(outer, PMT_NODE_FIRST);
    assert_int_equal(inner, outer + 1);
    assert_int_equal(pmt_site_node(PMT_NODE_ROOT, 0, 10), outer);
    assert_int_equal(pmt_site_node(outer, 1, 20), inner);
    assert_int_equal(pmt_site_node(PMT_NODE_CUT, 0, 10), inner + 1);
    assert_int_equal(pmt_site_node(outer, 1, 21), inner + 2);
    assert_int_equal(pmt_site_node(outer, PMT_NO_FUNCTION, 0), outer);
    pmt_site_get_node(inner, &record);
    struct pmt_record_node want = {outer, 1, 20, 0};
    assert_memory_equal(&record, &want, sizeof want);
    assert_true(pmt_site_is_valid());
}

static void node_label_and_owner_make_a_site(void **state)
{
    struct pmt_record_site record;
    uint32_t name = string_of("load"), label = pmt_site_label(name);
    (void)state;
    assert_int_equal(label, 1);
    assert_int_equal(pmt_site_label(name), label);
    assert_int_equal(pmt_site_label(PMT_NO_STRING), 0);
    assert_int_equal(pmt_site_label(string_of("store")), 2);
    uint32_t a = pmt_site_find(2, 0, PMT_OWNER_NATIVE), b = pmt_site_find(2, 0, PMT_OWNER_PYTHON);
    uint32_t c = pmt_site_find(2, label, PMT_OWNER_PYTHON), d = pmt_site_find(PMT_NODE_ROOT, 0, PMT_OWNER_PYTHON);
    assert_int_equal(a, PMT_SITE_FIRST);
    assert_int_equal(b, a + 1);
    assert_int_equal(c, a + 2);
    assert_int_equal(d, a + 3);
    assert_int_equal(pmt_site_find(2, label, PMT_OWNER_PYTHON), c);
    assert_int_equal(pmt_site_find(2, 0, PMT_OWNER_NATIVE), a);
    pmt_site_get(c, &record);
    struct pmt_record_site want = {.node = 2, .label = name, .owner = 1};
    assert_memory_equal(&record, &want, sizeof want);
    assert_int_equal(pmt_site_count().sites, d + 1);
    assert_true(pmt_site_is_valid());
}

/* From the first size of the indexes to 64 times that. */
static void everything_is_found_again_as_tables_grow(void **state)
{
    enum { MANY = 30000 };
    static uint32_t strings[MANY], functions[MANY], nodes[MANY], sites[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        strings[i] = numbered_string("grow", i);
        functions[i] = pmt_site_function(strings[i], strings[i / 2], (int32_t)i);
        nodes[i] = pmt_site_node(i ? nodes[i / 3] : PMT_NODE_CUT, functions[i], (int32_t)i);
        sites[i] = pmt_site_find(nodes[i], 0, PMT_OWNER_PYTHON);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(numbered_string("grow", i), strings[i]);
        assert_int_equal(pmt_site_function(strings[i], strings[i / 2], (int32_t)i), functions[i]);
        assert_int_equal(pmt_site_node(i ? nodes[i / 3] : PMT_NODE_CUT, functions[i], (int32_t)i), nodes[i]);
        assert_int_equal(pmt_site_find(nodes[i], 0, PMT_OWNER_PYTHON), sites[i]);
    }
    assert_true(pmt_site_is_valid());
}

/* Where strings cross the end of a chunk, too. */
static void a_label_gives_its_name_back(void **state)
{
    static char text[20001], name[sizeof text];
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        memset(text, (int)('a' + i), sizeof text);
        uint32_t label = pmt_site_label(pmt_site_string(text, sizeof text));
        assert_int_equal(pmt_site_get_label(label, name, sizeof name), sizeof text);
        assert_memory_equal(name, text, sizeof text);
        assert_int_equal(pmt_site_get_label(label, name, 7), 7);
        assert_int_equal(pmt_site_get_label(label, name, 0), 0);
    }
    assert_int_equal(pmt_site_get_label(0, name, sizeof name), 0);
    assert_int_equal(pmt_site_get_label(PMT_LABELS_MAX - 1, name, sizeof name), 0);
    assert_int_equal(pmt_site_get_label(UINT32_MAX, name, sizeof name), 0);
}

/* ---- what capture.c reads */

static bool take(uint32_t group, int side)
{
    return pmt_site_take_touched(group, UINT32_MAX, side);
}

static void each_stream_learns_of_a_change_once(void **state)
{
    (void)state;
    for (uint32_t group = 0; group * 8 < PMT_SITES_MAX; group++)
        for (int side = 0; side < 2; side++)
            take(group, side);
    pmt_site_touch(8 * 5 + 7);
    assert_false(take(4, 0));
    assert_false(take(6, 0));
    assert_true(take(5, 0));
    assert_false(take(5, 0));
    assert_true(take(5, 1));
    assert_false(take(5, 1));
    pmt_site_touch(8 * 5);
    assert_true(take(5, 1));
    pmt_site_touch(8 * 5 + 1);
    assert_true(take(5, 1));
    assert_true(take(5, 0));
    pmt_site_after_fork();
    for (uint32_t group = 0; group * 8 < pmt_site_count().sites; group++)
        assert_true(take(group, 0) && take(group, 1));
}

static uint32_t enter_new_site(void)
{
    static int32_t line = 5000;
    return pmt_site_find(pmt_site_node(PMT_NODE_CUT, 0, line++), 0, PMT_OWNER_PYTHON);
}

/* A new site is touched before the count says that it is there: a tick with the old count must not take that away. */
static void a_group_with_room_stays_touched(void **state)
{
    uint32_t last = enter_new_site();
    (void)state;
    while (last % 8 != 3)
        last = enter_new_site();
    uint32_t group = last / 8;
    assert_int_equal(last + 1, pmt_site_count().sites);
    assert_true(pmt_site_take_touched(group, last + 1, 0));
    assert_true(pmt_site_take_touched(group, last + 1, 0));
    while (last % 8 != 7)
        last = enter_new_site();
    assert_true(pmt_site_take_touched(group, last, 0));
    assert_true(pmt_site_take_touched(group, last + 1, 0));
    assert_false(pmt_site_take_touched(group, last + 1, 0));
    assert_true(pmt_site_take_touched(group, last + 1, 1));
}

static void both_banks_make_a_record(void **state)
{
    struct pmt_record_site record;
    uint32_t id = pmt_site_find(3, 0, PMT_OWNER_NATIVE);
    (void)state;
    pmt_peak_epoch = 7;
    pmt_site_at(id)->held = (struct pmt_site_bank){{{1000, 10}, {300, 3}}, 2, 555, 7};
    *pmt_site_free_bank(id) = (struct pmt_site_bank){{{50, 5}, {400, 4}}, 1, 666, 7};
    struct pmt_record_site want = {3, PMT_NO_STRING, 0, 0, 350, 8, 555 + 666, 1050, 15, 3};
    pmt_site_get(id, &record);
    assert_memory_equal(&record, &want, sizeof want);
    pmt_site_free_bank(id)->epoch = 6; /* not changed since the peak: held then what it holds now */
    want.peak_bytes = 555 - 350;
    pmt_site_get(id, &record);
    assert_memory_equal(&record, &want, sizeof want);
    pmt_peak_epoch = 8;
    want.peak_bytes = 350;
    pmt_site_get(id, &record);
    assert_memory_equal(&record, &want, sizeof want);
}

/* ---- threads */

enum { COMMON = 3000, THREADS = 4 };
static uint32_t found[THREADS][COMMON];
static int is_over; /* atomic */

/* Finds nodes and sites that all threads find, in another order, and some of its own. */
static void *find_nodes(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < COMMON; i++) {
        unsigned number = (i * 7 + self * 811) % COMMON;
        uint32_t name = numbered_string("thread", number), function = pmt_site_function(name, name, 1);
        uint32_t node = pmt_site_node(PMT_NODE_CUT, function, (int32_t)number);
        uint32_t label = pmt_site_label(numbered_string("label", self));
        pmt_site_find(pmt_site_node(node, function, (int32_t)self), label, PMT_OWNER_PYTHON);
        found[self][number] = pmt_site_find(node, 0, PMT_OWNER_NATIVE);
    }
    return NULL;
}

static void check_records(const struct pmt_site_counts *counts)
{
    struct pmt_record_node node;
    struct pmt_record_function function;
    struct pmt_record_site site;
    for (uint32_t id = 0; id < counts->functions; id++) {
        pmt_site_get_function(id, &function);
        assert_true(function.name < counts->strings || function.name == PMT_NO_STRING);
    }
    for (uint32_t id = PMT_NODE_FIRST; id < counts->nodes; id++) {
        pmt_site_get_node(id, &node);
        assert_true(node.parent < id && node.function < counts->functions);
    }
    for (uint32_t id = 0; id < counts->sites; id++) {
        pmt_site_get(id, &site);
        assert_true(site.node < counts->nodes);
    }
}

/* As capture.c does, meanwhile: whatever is counted is complete. */
static void *read_tables(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        struct pmt_site_counts counts = pmt_site_count();
        check_records(&counts);
        for (uint32_t offset = 0; offset < counts.strings;) {
            const char *bytes;
            offset += (uint32_t)pmt_site_get_strings(offset, &bytes);
        }
        for (uint32_t group = 0; group * 8 < counts.sites; group++)
            pmt_site_take_touched(group, counts.sites, 0);
    }
    return NULL;
}

static void threads_find_the_same(void **state)
{
    pthread_t threads[THREADS], reader;
    uint32_t nodes = pmt_site_count().nodes;
    (void)state;
    assert_int_equal(pthread_create(&reader, NULL, read_tables, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_nodes, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    pthread_join(reader, NULL);
    for (size_t i = 1; i < THREADS; i++)
        assert_memory_equal(found[i], found[0], sizeof found[0]);
    assert_int_equal(pmt_site_count().nodes - nodes, COMMON * (1 + THREADS));
    assert_true(pmt_site_is_valid());
}

/* ---- no room */

/* As in a signal handler that comes while its thread enters something. */
static void a_refused_lock_is_no_room(void **state)
{
    struct pmt_site_counts before = pmt_site_count();
    uint32_t known = string_of("module.py");
    (void)state;
    assert_true(pmt_lock_take(&pmt_site_lock));
    assert_int_equal(string_of("module.py"), known);
    assert_int_equal(string_of("not entered"), PMT_NO_STRING);
    assert_int_equal(pmt_site_function(known, known, 12345), PMT_NO_FUNCTION);
    assert_int_equal(pmt_site_node(2, 0, 12345), 2);
    assert_int_equal(pmt_site_label(12344), 0);
    assert_int_equal(pmt_site_find(2, 12345, PMT_OWNER_NATIVE), PMT_SITE_OTHER);
    pmt_lock_drop(&pmt_site_lock);
    struct pmt_site_counts after = pmt_site_count();
    assert_int_equal(after.lost_strings - before.lost_strings, 2); /* and a label */
    assert_int_equal(after.lost_functions - before.lost_functions, 1);
    assert_int_equal(after.lost_nodes - before.lost_nodes, 1);
    assert_int_equal(after.lost_sites - before.lost_sites, 1);
    struct pmt_record_site other;
    pmt_site_get(PMT_SITE_OTHER, &other);
    assert_int_equal(other.owner, PMT_OWNER_PYTHON);
}

/* In a child: enters nodes until there is no room, without memory; what came before is still found; with memory again
 * it goes on, not at once but soon. */
static int run_short(void)
{
    struct rlimit limit, none;
    uint32_t first = pmt_site_node(PMT_NODE_ROOT, 2, 1000000), node = first;
    int32_t line = 1000000;
    getrlimit(RLIMIT_AS, &limit);
    none = (struct rlimit){0, limit.rlim_max};
    setrlimit(RLIMIT_AS, &none);
    while (node != PMT_NODE_ROOT && line < 2000000)
        node = pmt_site_node(PMT_NODE_ROOT, 2, ++line);
    for (int i = 0; i < 5000; i++)
        pmt_site_node(PMT_NODE_ROOT, 2, line + i);
    bool is_short = node == PMT_NODE_ROOT && pmt_site_count().lost_nodes >= 5000;
    bool is_found = pmt_site_node(PMT_NODE_ROOT, 2, 1000000) == first;
    setrlimit(RLIMIT_AS, &limit);
    for (int i = 0; i < 1100 && node == PMT_NODE_ROOT; i++)
        node = pmt_site_node(PMT_NODE_ROOT, 2, line);
    return is_short && is_found && node != PMT_NODE_ROOT && pmt_site_is_valid() ? 0 : 1;
}

static void a_lack_of_memory_passes(void **state)
{
    int status = -1;
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* the sanitizer itself ends the process when it gets no memory */
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_short());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Each as full as it can be; what does not fit any more is counted, and what is there is found. */
static void full_tables_count_what_they_lose(void **state)
{
    struct pmt_site_counts before = pmt_site_count();
    uint32_t function = pmt_site_function(0, 0, 0), node = pmt_site_node(2, 0, 1), label = pmt_site_label(8);
    (void)state;
    for (int32_t i = 0; i <= (int32_t)PMT_FUNCTIONS_MAX; i++)
        pmt_site_function(0, 0, i);
    for (int32_t i = 0; i <= (int32_t)PMT_NODES_MAX; i++)
        pmt_site_node(2, 0, i);
    for (uint32_t i = 0; i <= PMT_LABELS_MAX; i++)
        pmt_site_label(i);
    for (uint32_t i = 0; i <= PMT_SITES_MAX; i++)
        pmt_site_find(i, 0, PMT_OWNER_PYTHON);
    struct pmt_site_counts after = pmt_site_count();
    assert_int_equal(after.functions, PMT_FUNCTIONS_MAX);
    assert_int_equal(after.nodes, PMT_NODES_MAX);
    assert_int_equal(after.sites, PMT_SITES_MAX);
    assert_true(after.lost_functions > before.lost_functions && after.lost_nodes > before.lost_nodes);
    assert_true(after.lost_sites > before.lost_sites && after.lost_strings > before.lost_strings);
    assert_int_equal(pmt_site_function(0, 0, 0), function);
    assert_int_equal(pmt_site_function(0, 0, PMT_FUNCTIONS_MAX), PMT_NO_FUNCTION);
    assert_int_equal(pmt_site_node(2, 0, 1), node);
    assert_int_equal(pmt_site_node(2, 0, PMT_NODES_MAX), 2);
    assert_int_equal(pmt_site_label(8), label);
    assert_int_equal(pmt_site_label(PMT_LABELS_MAX), 0);
    assert_int_equal(pmt_site_find(PMT_SITES_MAX, 0, PMT_OWNER_PYTHON), PMT_SITE_OTHER);
}

static void a_full_stream_of_strings_takes_what_fits(void **state)
{
    static char text[30000];
    uint64_t lost = pmt_site_count().lost_strings;
    (void)state;
    memset(text, 'y', sizeof text);
    for (unsigned i = 0; pmt_site_count().lost_strings == lost; i++) {
        memcpy(text, &i, sizeof i);
        pmt_site_string(text, sizeof text);
    }
    uint32_t left = PMT_STRINGS_MAX - pmt_site_count().strings;
    assert_true(left > 4 && left < sizeof text + 4);
    memcpy(text, "last", 4);
    assert_int_equal(pmt_site_string(text, left), PMT_NO_STRING);
    assert_int_not_equal(pmt_site_string(text, left - 4), PMT_NO_STRING);
    assert_int_equal(pmt_site_count().strings, PMT_STRINGS_MAX);
    assert_int_equal(string_of("not entered"), PMT_NO_STRING);
    assert_int_equal(string_of("module.py"), 0);
    assert_int_not_equal(pmt_site_string(text, left - 4), PMT_NO_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_begin_with_what_is_preset),
        cmocka_unit_test(a_string_is_entered_once),
        cmocka_unit_test(strings_cross_the_ends_of_chunks),
        cmocka_unit_test(a_long_string_is_cut_at_a_character),
        cmocka_unit_test(a_function_is_entered_once),
        cmocka_unit_test(a_node_is_entered_once),
        cmocka_unit_test(node_label_and_owner_make_a_site),
        cmocka_unit_test(everything_is_found_again_as_tables_grow),
        cmocka_unit_test(a_label_gives_its_name_back),
        cmocka_unit_test(each_stream_learns_of_a_change_once),
        cmocka_unit_test(a_group_with_room_stays_touched),
        cmocka_unit_test(both_banks_make_a_record),
        cmocka_unit_test(threads_find_the_same),
        cmocka_unit_test(a_refused_lock_is_no_room),
        cmocka_unit_test(a_lack_of_memory_passes),
        cmocka_unit_test(full_tables_count_what_they_lose),
        cmocka_unit_test(a_full_stream_of_strings_takes_what_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
