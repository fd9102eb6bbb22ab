/* The tables of sites against plain lists: random strings, functions, nodes, labels and sites, each found or entered,
 * counters that go up and down in both banks, and at every new peak a copy of what each site holds. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "account.h"

#define ROUNDS 100000
enum { STRINGS = 60, LINES = 3, NODES = 400, SITES = 1200, UNKNOWN = -1 };

static uint64_t seed = 20240229;

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(next_random(&seed) >> 20) % limit;
}

/* ---- what there should be; IDs, UNKNOWN before the first time */

static struct string {
    char text[200];
    size_t size;
    int64_t id;
} strings[STRINGS];
static int64_t functions[STRINGS][STRINGS][LINES], labels[STRINGS];
static uint32_t function_count, label_count = 1, string_bytes;
static struct pmt_record_node nodes[NODES] = {{0, PMT_NO_FUNCTION, 0, 0}, {0, PMT_NO_FUNCTION, 0, 0}};
static uint32_t node_count = PMT_NODE_FIRST;
static struct {
    uint32_t node, label, owner;
    int64_t live_bytes, live_blocks, peak_bytes;
    uint64_t total_bytes, total_blocks, temporary_blocks;
} sites[SITES];
static uint32_t site_count = PMT_SITE_FIRST;
static int64_t total_bytes, highest_bytes;

/* ---- the same in both */

static uint32_t some_string(void)
{
    struct string *string = &strings[below(STRINGS)];
    uint32_t id = pmt_site_string(string->text, string->size);
    if (string->id == UNKNOWN) {
        string->id = string_bytes;
        string_bytes += 4 + ((uint32_t)string->size + 3) / 4 * 4;
    }
    assert_int_equal(id, string->id);
    return (uint32_t)(string - strings);
}

static uint32_t some_function(void)
{
    uint32_t file = some_string(), name = some_string(), line = below(LINES);
    int64_t *known = &functions[file][name][line];
    uint32_t id = pmt_site_function((uint32_t)strings[file].id, (uint32_t)strings[name].id, (int32_t)line);
    if (*known == UNKNOWN)
        *known = function_count++;
    assert_int_equal(id, *known);
    return id;
}

static uint32_t some_node(void)
{
    struct pmt_record_node want = {below(node_count), some_function(), (int32_t)below(LINES) - 1, 0};
    uint32_t known = PMT_NODE_FIRST;
    while (known < node_count && memcmp(&nodes[known], &want, sizeof want) != 0)
        known++;
    if (known == NODES)
        return below(node_count);
    if (known == node_count)
        nodes[node_count++] = want;
    assert_int_equal(pmt_site_node(want.parent, want.function, want.line), known);
    return known;
}

static uint32_t some_label(void)
{
    if (below(3) != 0)
        return 0;
    uint32_t name = some_string();
    if (labels[name] == UNKNOWN)
        labels[name] = label_count++;
    assert_int_equal(pmt_site_label((uint32_t)strings[name].id), labels[name]);
    return (uint32_t)labels[name];
}

static uint32_t some_site(void)
{
    uint32_t node = below(4) ? below(node_count) : some_node(), label = some_label(), owner = below(2);
    uint32_t known = PMT_SITE_FIRST;
    while (known < site_count &&
           (sites[known].node != node || sites[known].label != label || sites[known].owner != owner))
        known++;
    if (known == SITES)
        return PMT_SITE_FIRST + below(site_count - PMT_SITE_FIRST);
    if (known == site_count) {
        sites[site_count].node = node;
        sites[site_count].label = label;
        sites[site_count++].owner = owner;
    }
    assert_int_equal(pmt_site_find(node, label, (enum pmt_owner)owner), known);
    return known;
}

/* ---- counters */

static void allocate(uint32_t id, uint32_t size, bool is_held)
{
    pmt_account_in(pmt_tally_mine, size, (enum pmt_owner)sites[id].owner, (struct pmt_here){id, is_held});
    sites[id].live_bytes += size;
    sites[id].live_blocks++;
    sites[id].total_bytes += size;
    sites[id].total_blocks++;
    total_bytes += size;
    if (total_bytes <= highest_bytes)
        return;
    highest_bytes = total_bytes;
    for (uint32_t i = 0; i < site_count; i++)
        sites[i].peak_bytes = sites[i].live_bytes;
}

static void release(uint32_t id, uint32_t size, bool is_held, bool is_temporary)
{
    struct pmt_block block = {size, id | (sites[id].owner ? PMT_SHADOW_PYTHON : 0), true};
    pmt_account_out(pmt_tally_mine, &block, is_held);
    if (is_temporary)
        pmt_account_temporary(pmt_tally_mine, &block, is_held);
    sites[id].live_bytes -= size;
    sites[id].live_blocks--;
    sites[id].temporary_blocks += is_temporary;
    total_bytes -= size;
}

/* A block comes, or one goes; it may go by the other bank than it came by. Some rounds mostly take, others give. */
static void change_something(bool is_growing)
{
    uint32_t id = some_site(), size = below(500);
    bool is_held = below(2);
    if (below(3) < (is_growing ? 2 : 1) || sites[id].live_blocks == 0)
        allocate(id, size, is_held);
    else
        release(id, below(2) ? 0 : (uint32_t)(sites[id].live_bytes % 500), is_held, below(2));
}

/* ---- comparing */

static void check_sites(void)
{
    struct pmt_record_site record;
    int64_t live = 0, peak = 0;
    for (uint32_t id = PMT_SITE_FIRST; id < site_count; id++) {
        uint32_t label = PMT_NO_STRING;
        for (uint32_t name = 0; sites[id].label && name < STRINGS; name++)
            if (labels[name] == sites[id].label)
                label = (uint32_t)strings[name].id;
        struct pmt_record_site want = {
            .node = sites[id].node,
            .label = label,
            .owner = sites[id].owner,
            .live_bytes = sites[id].live_bytes,
            .live_blocks = sites[id].live_blocks,
            .peak_bytes = sites[id].peak_bytes,
            .total_bytes = sites[id].total_bytes,
            .total_blocks = sites[id].total_blocks,
            .temporary_blocks = sites[id].temporary_blocks,
        };
        pmt_site_get(id, &record);
        assert_memory_equal(&record, &want, sizeof want);
        live += record.live_bytes;
        peak += record.peak_bytes;
    }
    assert_int_equal(live, total_bytes);
    assert_int_equal(pmt_peak_now().bytes, highest_bytes);
    assert_int_equal(peak, highest_bytes);
}

static void check_tables(void)
{
    struct pmt_site_counts counts = pmt_site_count();
    struct pmt_record_node node;
    assert_int_equal(counts.strings, string_bytes);
    assert_int_equal(counts.functions, function_count);
    assert_int_equal(counts.nodes, node_count);
    assert_int_equal(counts.sites, site_count);
    for (uint32_t id = 0; id < node_count; id++) {
        pmt_site_get_node(id, &node);
        assert_memory_equal(&node, &nodes[id], sizeof node);
    }
    assert_true(pmt_site_is_valid());
}

/* A stream that copies only the groups that were touched has all records right: but for the peak, which other sites may
 * move. */
static void follow(int side)
{
    static struct pmt_record_site stream[2][SITES];
    struct pmt_site_counts counts = pmt_site_count();
    for (uint32_t id = 0; id < counts.sites; id++)
        if (id % 8 == 0 && pmt_site_take_touched(id / 8, counts.sites, side))
            for (uint32_t i = id; i < id + 8 && i < counts.sites; i++)
                pmt_site_get(i, &stream[side][i]);
    for (uint32_t id = PMT_SITE_FIRST; id < counts.sites; id++) {
        assert_int_equal(stream[side][id].node, sites[id].node);
        assert_int_equal(stream[side][id].live_bytes, sites[id].live_bytes);
        assert_int_equal(stream[side][id].total_blocks, sites[id].total_blocks);
    }
}

static void tables_are_those_of_the_model(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        change_something(round / 3000 % 3 != 2);
        if (round % 1000 == 0)
            follow(round / 1000 % 2);
        if (round % 997 == 0)
            check_sites();
    }
    check_sites();
    check_tables();
    assert_true(pmt_peak_epoch > ROUNDS / 10);
    assert_int_equal(node_count, NODES);
    assert_int_equal(site_count, SITES);
}

/* Texts of all lengths, of two kinds of letters; none twice. And a thread that is alone in a program with Python. */
static int prepare(void **state)
{
    (void)state;
    pmt_peak_expect_python();
    pmt_count(PMT_OWNER_NATIVE, PMT_ALLOCATED, 0, 0);
    for (size_t i = 0; i < STRINGS; i++) {
        strings[i].id = labels[i] = UNKNOWN;
        strings[i].size = 2 + below(sizeof strings[i].text - 4);
        for (size_t j = 0; j < strings[i].size; j++)
            strings[i].text[j] = (char)('a' + below(2));
        strings[i].text[strings[i].size / 2] = (char)i;
    }
    memset(functions, 0xff, sizeof functions);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_are_those_of_the_model)};
    return cmocka_run_group_tests(tests, prepare, NULL);
}
