/* site.c: the tables of site.h: functions, nodes, labels and sites, each a table of table.h.
 *
 * They begin with what is needed when there is no memory at all: nodes and sites 0 and 1, label 0. */
#include "site.h"

#include <string.h>

#include "sys.h"
#include "table.h"

#include "poison.h"

#define RECORD_CHUNK_BITS 12 /* 64 KiB of functions or nodes */

struct pmt_lock pmt_site_lock;
uint8_t pmt_site_touched[PMT_SITES_MAX >> 3];

__thread uint32_t pmt_site_label_mine;

static struct pmt_site first_sites[1u << PMT_SITE_CHUNK_BITS];
static struct pmt_site_bank first_free_banks[1u << PMT_SITE_CHUNK_BITS];
void *pmt_site_chunks[PMT_SITES_MAX >> PMT_SITE_CHUNK_BITS] = {first_sites};
struct pmt_site_bank *pmt_site_free_banks[PMT_SITES_MAX >> PMT_SITE_CHUNK_BITS] = {first_free_banks};

static void *function_chunks[PMT_FUNCTIONS_MAX >> RECORD_CHUNK_BITS];
static void *node_chunks[PMT_NODES_MAX >> RECORD_CHUNK_BITS];
static void *label_chunks[PMT_LABELS_MAX >> RECORD_CHUNK_BITS];

/* What sets a site apart from others. */
struct site_key {
    uint32_t node, label_owner;
};

static uint64_t hash_function_at(uint32_t id);
static uint64_t hash_node_at(uint32_t id);
static uint64_t hash_label_at(uint32_t id);
static uint64_t hash_site_at(uint32_t id);
static void write_site_locked(uint32_t id, const void *key);
static bool prepare_site_locked(uint32_t id);

static struct pmt_table functions = {.limit = PMT_FUNCTIONS_MAX,
                                     .record_size = sizeof(struct pmt_record_function),
                                     .chunk_bits = RECORD_CHUNK_BITS,
                                     .chunks = function_chunks,
                                     .hash = hash_function_at};
static struct pmt_table nodes = {.limit = PMT_NODES_MAX,
                                 .record_size = sizeof(struct pmt_record_node),
                                 .chunk_bits = RECORD_CHUNK_BITS,
                                 .chunks = node_chunks,
                                 .hash = hash_node_at,
                                 .count = PMT_NODE_FIRST};
static struct pmt_table labels = {.limit = PMT_LABELS_MAX,
                                  .record_size = sizeof(uint32_t),
                                  .chunk_bits = RECORD_CHUNK_BITS,
                                  .chunks = label_chunks,
                                  .hash = hash_label_at,
                                  .count = 1};
static struct pmt_table sites = {.limit = PMT_SITES_MAX,
                                 .record_size = sizeof(struct pmt_site),
                                 .chunk_bits = PMT_SITE_CHUNK_BITS,
                                 .chunks = pmt_site_chunks,
                                 .hash = hash_site_at,
                                 .write_locked = write_site_locked,
                                 .prepare_locked = prepare_site_locked,
                                 .count = PMT_SITE_FIRST};

static inline void *record_at(void *const *chunks, uint32_t id, size_t size)
{
    return (char *)chunks[id >> RECORD_CHUNK_BITS] + (id & ((1u << RECORD_CHUNK_BITS) - 1)) * size;
}

/* ---- functions, nodes, labels */

static struct pmt_record_function *function_at(uint32_t id)
{
    return record_at(function_chunks, id, sizeof(struct pmt_record_function));
}

static uint64_t hash_function(const struct pmt_record_function *function)
{
    return pmt_table_hash(function->file, function->name, (uint32_t)function->first_line);
}

static uint64_t hash_function_at(uint32_t id)
{
    return hash_function(function_at(id));
}

static bool is_same_function(uint32_t id, const void *key)
{
    const struct pmt_record_function *a = function_at(id), *b = key;
    return a->file == b->file && a->name == b->name && a->first_line == b->first_line;
}

uint32_t pmt_site_function(uint32_t file, uint32_t name, int32_t first_line)
{
    struct pmt_record_function key = {file, name, first_line, 0};
    uint64_t hash = hash_function(&key);
    uint32_t id = pmt_table_find(&functions, hash, is_same_function, &key);
    if (id == PMT_TABLE_NONE)
        id = pmt_table_enter(&functions, hash, is_same_function, &key);
    return id;
}

static struct pmt_record_node *node_at(uint32_t id)
{
    return record_at(node_chunks, id, sizeof(struct pmt_record_node));
}

static uint64_t hash_node(const struct pmt_record_node *node)
{
    return pmt_table_hash(node->parent, node->function, (uint32_t)node->line);
}

static uint64_t hash_node_at(uint32_t id)
{
    return hash_node(node_at(id));
}

static bool is_same_node(uint32_t id, const void *key)
{
    const struct pmt_record_node *a = node_at(id), *b = key;
    return a->parent == b->parent && a->function == b->function && a->line == b->line;
}

uint32_t pmt_site_node(uint32_t parent, uint32_t function, int32_t line)
{
    struct pmt_record_node key = {parent, function, line, 0};
    uint64_t hash = hash_node(&key);
    if (PMT_UNLIKELY(function == PMT_NO_FUNCTION))
        return parent;
    uint32_t id = pmt_table_find(&nodes, hash, is_same_node, &key);
    if (PMT_UNLIKELY(id == PMT_TABLE_NONE))
        id = pmt_table_enter(&nodes, hash, is_same_node, &key);
    return PMT_LIKELY(id != PMT_TABLE_NONE) ? id : parent;
}

static uint32_t *label_at(uint32_t id)
{
    return record_at(label_chunks, id, sizeof(uint32_t));
}

static uint64_t hash_label_at(uint32_t id)
{
    return pmt_table_hash(*label_at(id), 0, 0);
}

static bool is_same_label(uint32_t id, const void *key)
{
    return *label_at(id) == *(const uint32_t *)key;
}

uint32_t pmt_site_label(uint32_t name)
{
    uint64_t hash = pmt_table_hash(name, 0, 0);
    if (name == PMT_NO_STRING)
        return 0;
    uint32_t id = pmt_table_find(&labels, hash, is_same_label, &name);
    if (id == PMT_TABLE_NONE)
        id = pmt_table_enter(&labels, hash, is_same_label, &name);
    return id != PMT_TABLE_NONE ? id : 0;
}

/* Whoever gives it may have made it up. */
static uint32_t name_of_label(uint32_t label)
{
    return label && label < pmt_table_count(&labels) ? *label_at(label) : PMT_NO_STRING;
}

/* Copies the name, as much of it as has room: returns its size. */
size_t pmt_site_get_label(uint32_t label, char *name, size_t room)
{
    uint32_t string = name_of_label(label);
    return string != PMT_NO_STRING ? pmt_site_string_copy(string, name, room) : 0;
}

/* ---- sites */

static uint64_t hash_site_at(uint32_t id)
{
    return pmt_table_hash(pmt_site_at(id)->node, pmt_site_at(id)->label_owner, 0);
}

static bool is_same_site(uint32_t id, const void *key)
{
    const struct site_key *other = key;
    return pmt_site_at(id)->node == other->node && pmt_site_at(id)->label_owner == other->label_owner;
}

static void write_site_locked(uint32_t id, const void *key)
{
    const struct site_key *site = key;
    pmt_site_at(id)->node = site->node;
    pmt_site_at(id)->label_owner = site->label_owner;
}

/* Its second bank. No stream knows it: that is noted before a count includes it. */
static bool prepare_site_locked(uint32_t id)
{
    struct pmt_site_bank **banks = &pmt_site_free_banks[id >> PMT_SITE_CHUNK_BITS];
    if (!*banks)
        *banks = pmt_table_pages_locked(sizeof **banks << PMT_SITE_CHUNK_BITS);
    pmt_site_touch(id);
    return *banks != NULL;
}

static PMT_SLOW uint32_t enter_site(const struct site_key *key, uint64_t hash)
{
    uint32_t id = pmt_table_enter(&sites, hash, is_same_site, key);
    if (id != PMT_TABLE_NONE)
        return id;
    __atomic_store_n(&pmt_site_at(PMT_SITE_OTHER)->label_owner, PMT_OWNER_PYTHON, __ATOMIC_RELAXED);
    return PMT_SITE_OTHER;
}

uint32_t pmt_site_find(uint32_t node, uint32_t label, enum pmt_owner owner)
{
    struct site_key key = {node, label << 1 | (uint32_t)owner};
    uint64_t hash = pmt_table_hash(key.node, key.label_owner, 0);
    uint32_t id = pmt_table_find(&sites, hash, is_same_site, &key);
    return PMT_LIKELY(id != PMT_TABLE_NONE) ? id : enter_site(&key, hash);
}

/* ---- for capture.c */

static uint64_t lost_of(const struct pmt_table *table)
{
    return __atomic_load_n(&table->lost, __ATOMIC_RELAXED);
}

/* Counts first those whose records name others. */
struct pmt_site_counts pmt_site_count(void)
{
    struct pmt_site_counts counts;
    counts.sites = pmt_table_count(&sites);
    counts.nodes = pmt_table_count(&nodes);
    counts.functions = pmt_table_count(&functions);
    counts.strings = pmt_table_count(&pmt_site_strings);
    counts.lost_sites = lost_of(&sites);
    counts.lost_nodes = lost_of(&nodes);
    counts.lost_functions = lost_of(&functions);
    counts.lost_strings = lost_of(&pmt_site_strings) + lost_of(&labels);
    return counts;
}

void pmt_site_get_function(uint32_t id, struct pmt_record_function *record)
{
    *record = *function_at(id);
}

void pmt_site_get_node(uint32_t id, struct pmt_record_node *record)
{
    if (id < PMT_NODE_FIRST)
        *record = (struct pmt_record_node){PMT_NODE_ROOT, PMT_NO_FUNCTION, 0, 0};
    else
        *record = *node_at(id);
}

bool pmt_site_take_touched(uint32_t group, uint32_t count, int side)
{
    uint8_t bit = (uint8_t)(1 << side), *byte = &pmt_site_touched[group];
    if (!(__atomic_load_n(byte, __ATOMIC_RELAXED) & bit))
        return false;
    if ((group + 1) * 8 <= count)
        __atomic_fetch_and(byte, (uint8_t)~bit, __ATOMIC_SEQ_CST);
    return true;
}

static int64_t read_cell(const void *cell)
{
    return __atomic_load_n((const int64_t *)cell, __ATOMIC_ACQUIRE);
}

/* Adds what a bank holds. What was freed is read first, so that what it was allocated as is not missed; the epoch last:
 * if it is old then, nothing has changed before. */
static void add_bank(struct pmt_record_site *record, const struct pmt_site_bank *bank, uint64_t epoch)
{
    int64_t freed_bytes = read_cell(&bank->sums[PMT_FREED].bytes),
            freed_blocks = read_cell(&bank->sums[PMT_FREED].blocks);
    int64_t total_bytes = read_cell(&bank->sums[PMT_ALLOCATED].bytes),
            total_blocks = read_cell(&bank->sums[PMT_ALLOCATED].blocks);
    bool is_old = (uint64_t)read_cell(&bank->epoch) < epoch;
    record->live_bytes += total_bytes - freed_bytes;
    record->live_blocks += total_blocks - freed_blocks;
    record->peak_bytes += is_old ? total_bytes - freed_bytes : read_cell(&bank->peak_bytes);
    record->total_bytes += (uint64_t)total_bytes;
    record->total_blocks += (uint64_t)total_blocks;
    record->temporary_blocks += (uint64_t)read_cell(&bank->temporary_blocks);
}

void pmt_site_get(uint32_t id, struct pmt_record_site *record)
{
    const struct pmt_site *site = pmt_site_at(id);
    uint32_t label_owner =
        id == PMT_SITE_PYTHON ? PMT_OWNER_PYTHON : __atomic_load_n(&site->label_owner, __ATOMIC_RELAXED);
    uint64_t epoch = (uint64_t)read_cell(&pmt_peak_epoch);
    *record = (struct pmt_record_site){
        .node = site->node, .label = name_of_label(label_owner >> 1), .owner = label_owner & 1};
    add_bank(record, pmt_site_free_bank(id), epoch);
    add_bank(record, &site->held, epoch);
}

/* In a child of fork, whose file knows nothing yet. */
void pmt_site_after_fork(void)
{
    memset(pmt_site_touched, PMT_SITE_TOUCHED, (sites.count + 7) / 8);
}

/* ---- for tests: the invariants of the tables */

static bool are_records_valid(void)
{
    for (uint32_t id = 0; id < functions.count; id++)
        if (!pmt_site_string_is_at_locked(function_at(id)->file) ||
            !pmt_site_string_is_at_locked(function_at(id)->name))
            return false;
    for (uint32_t id = PMT_NODE_FIRST; id < nodes.count; id++)
        if (node_at(id)->parent >= id || node_at(id)->function >= functions.count)
            return false;
    for (uint32_t id = 1; id < labels.count; id++)
        if (!pmt_site_string_is_at_locked(*label_at(id)))
            return false;
    for (uint32_t id = PMT_SITE_FIRST; id < sites.count; id++)
        if (pmt_site_at(id)->node >= nodes.count || pmt_site_at(id)->label_owner >> 1 >= labels.count)
            return false;
    return true;
}

bool pmt_site_is_valid(void)
{
    if (!pmt_lock_take(&pmt_site_lock))
        return false;
    bool is_valid = pmt_site_string_is_valid_locked() && pmt_table_is_valid_locked(&functions, 0) &&
                    pmt_table_is_valid_locked(&nodes, PMT_NODE_FIRST) && pmt_table_is_valid_locked(&labels, 1) &&
                    pmt_table_is_valid_locked(&sites, PMT_SITE_FIRST) && are_records_valid() &&
                    pmt_site_code_is_valid_locked(functions.count);
    pmt_lock_drop(&pmt_site_lock);
    return is_valid;
}
