/* site.h: who holds the memory: a tree of call stacks, and counters for each place in it that allocated.
 *
 *    code object -> function: file, name, first line
 *    stack       -> node: function and line, below the node of its caller        node 0: no Python frame
 *    node, label, owner -> site: bytes and blocks allocated and freed so far
 *
 *    block -> shadow.h: its site's ID -> site                                     at its free
 *
 * Functions, nodes, labels and strings are only ever added (under pmt_site_lock) and read without a lock: an ID is
 * given out when its record is complete. When a table is full, PMT_SITE_OTHER takes what comes, and it is counted.
 *
 * Counters come in two banks: `held` is changed under the GIL of the main interpreter, with plain additions; `free`, by
 * everyone else, with atomic ones. What is allocated outside Python has site 0 and needs no counters: it is the tallies
 * (count.c) less all sites.
 *
 * Invariants, for every site: live = allocated - freed over both banks; the live bytes of all sites with site 0 are
 * those of the tallies. Live at the peak: a bank whose epoch is older than pmt_peak_epoch has not changed since the
 * peak. */
#ifndef PMT_SITE_H
#define PMT_SITE_H

#include "core.h"
#include "format.h"

#pragma GCC visibility push(hidden)

struct pmt_site_bank {
    struct pmt_net sums[PMT_FLOWS];
    int64_t temporary_blocks;
    int64_t peak_bytes; /* live when the peak of `epoch` was reached */
    uint64_t epoch;
};
struct pmt_site {
    struct pmt_site_bank held;
    uint32_t node;
    uint32_t label_owner; /* label ID << 1 | owner */
};

#define PMT_SITES_MAX (1u << 19)
#define PMT_NODES_MAX (1u << 20)
#define PMT_FUNCTIONS_MAX (1u << 17)
#define PMT_LABELS_MAX (1u << 16)
#define PMT_STRINGS_MAX (32u << 20) /* bytes */

extern struct pmt_lock pmt_site_lock;

/* ---- finding and entering; any thread. All return an ID. When a table is full, and in a signal handler that comes
 * while its thread is entering something: PMT_NO_STRING (as for size 0), PMT_NO_FUNCTION, the parent node (as for
 * PMT_NO_FUNCTION), no label, PMT_SITE_OTHER. */
uint32_t pmt_site_string(const char *bytes, size_t size);
uint32_t pmt_site_function(uint32_t file, uint32_t name, int32_t first_line);
uint32_t pmt_site_node(uint32_t parent, uint32_t function, int32_t line);
uint32_t pmt_site_label(uint32_t name); /* labels are numbered from 1; 0: none */
size_t pmt_site_get_label(uint32_t label, char *name, size_t room);
uint32_t pmt_site_find(uint32_t node, uint32_t label, enum pmt_owner owner);

/* ---- site_code.c: code objects that are alive: which function each is. The caller forgets one before its address can
 * be another's. */
uint32_t pmt_site_code_function(const void *code);
bool pmt_site_code_enter(const void *code, uint32_t function);
void pmt_site_code_forget(const void *code);

/* ---- counters. The site's ID is in the block's entry of the shadow table. */
#define PMT_SITE_CHUNK_BITS 10
extern void *pmt_site_chunks[PMT_SITES_MAX >> PMT_SITE_CHUNK_BITS];                     /* of struct pmt_site */
extern struct pmt_site_bank *pmt_site_free_banks[PMT_SITES_MAX >> PMT_SITE_CHUNK_BITS]; /* made with the chunk */

static inline struct pmt_site *pmt_site_at(uint32_t id)
{
    return (struct pmt_site *)pmt_site_chunks[id >> PMT_SITE_CHUNK_BITS] + (id & ((1u << PMT_SITE_CHUNK_BITS) - 1));
}

static inline struct pmt_site_bank *pmt_site_free_bank(uint32_t id)
{
    return pmt_site_free_banks[id >> PMT_SITE_CHUNK_BITS] + (id & ((1u << PMT_SITE_CHUNK_BITS) - 1));
}

/* A byte for 8 sites; bits: the streams that do not know yet what they hold. Set by whoever changes a counter, after
 * the change, and always, even if it seems to be set: else a stream that is just being written could miss the change.
 */
#define PMT_SITE_TOUCHED 3
extern uint8_t pmt_site_touched[PMT_SITES_MAX >> 3];

static inline void pmt_site_touch(uint32_t id)
{
    __atomic_store_n(&pmt_site_touched[id >> 3], PMT_SITE_TOUCHED, __ATOMIC_RELEASE);
}

extern __thread uint32_t pmt_site_label_mine; /* the label that this thread's allocations carry */

/* ---- for capture.c: whole tables. Counts are read first, then records below them are complete. */
struct pmt_site_counts {
    uint32_t functions, nodes, sites, strings;                     /* strings: bytes */
    uint64_t lost_functions, lost_nodes, lost_sites, lost_strings; /* lost_strings: labels too */
};
struct pmt_site_counts pmt_site_count(void);
void pmt_site_get_function(uint32_t id, struct pmt_record_function *record);
void pmt_site_get_node(uint32_t id, struct pmt_record_node *record);
/* Everything but the sequence. Site 0's figures are the caller's to find: the totals less all others. */
void pmt_site_get(uint32_t id, struct pmt_record_site *record);
/* Whether any of sites 8 * group to 8 * group + 7 was changed or made since the last call for the same `side` (0 or 1,
 * the stream's). They are read after that: a change that comes meanwhile counts for the next call. `count`: of the
 * sites that are going to be read. A group that has room for more is not done with: new ones may be there already. */
bool pmt_site_take_touched(uint32_t group, uint32_t count, int side);
/* The bytes at this offset of the stream of strings that lie together in memory: returns their number, 0 at the end. */
size_t pmt_site_get_strings(uint32_t offset, const char **bytes);

/* ---- life.c, tests */
void pmt_site_after_fork(void);
bool pmt_site_is_valid(void);
bool pmt_site_code_is_valid_locked(uint32_t functions);
size_t pmt_site_string_copy(uint32_t id, char *bytes, size_t room);
bool pmt_site_string_is_valid_locked(void);
bool pmt_site_string_is_at_locked(uint32_t id);
extern struct pmt_table pmt_site_strings;

#pragma GCC visibility pop

#endif
