/* table.h: records that are only ever added, are numbered, and are found by their key without a lock.
 *
 *    key --hash--> index: slots of ID + 1 --> chunks[ID >> chunk_bits] --> record
 *
 * A record is written first, then its slot, then the count. The index grows by copying: the larger one is published
 * whole, and the old one is emptied but stays mapped, for readers that are still in it. These, and those that come too
 * early, find nothing; whoever finds nothing looks again under the lock before it enters anything.
 *
 * Protected by pmt_site_lock, except what is said to be atomic. */
#ifndef PMT_TABLE_H
#define PMT_TABLE_H

#include "core.h"

#pragma GCC visibility push(hidden)

#define PMT_TABLE_NONE 0xffffffffu

struct pmt_table {
    uint32_t limit; /* of IDs */
    uint32_t record_size, chunk_bits;
    void **chunks;
    uint64_t (*hash)(uint32_t id);                      /* of the key of a record that is entered */
    void (*write_locked)(uint32_t id, const void *key); /* NULL: the key is the record */
    uint32_t (*size)(const void *key);                  /* NULL: 1. So many IDs are taken */
    bool (*prepare_locked)(uint32_t id);                /* NULL, or whether there is room for what else belongs to it */
    uint32_t count;                                     /* atomic: the IDs below it are complete */
    uint32_t used;                                      /* slots of the index */
    uintptr_t index; /* atomic: address of the slots | log2 of their number; 0: none yet */
    uint64_t lost;   /* atomic: how often something could not be entered */
};

typedef bool pmt_table_same(uint32_t id, const void *key);

void *pmt_table_pages_locked(size_t size);
void pmt_table_retire_locked(void *pages, size_t size);
uint32_t pmt_table_enter(struct pmt_table *table, uint64_t hash, pmt_table_same *is_same, const void *key);
bool pmt_table_is_valid_locked(const struct pmt_table *table, uint32_t first);

/* An array and its size in one word, so that both are published at once; arrays are whole pages. */
#define PMT_TABLE_BITS_MASK ((uintptr_t)63)

static inline uintptr_t pmt_table_pack(const void *array, unsigned bits)
{
    return (uintptr_t)array | bits;
}

static inline void *pmt_table_array(uintptr_t packed)
{
    return (void *)(packed & ~PMT_TABLE_BITS_MASK);
}

static inline size_t pmt_table_home(uintptr_t packed, uint64_t hash)
{
    return (size_t)(hash >> (64 - (packed & PMT_TABLE_BITS_MASK)));
}

static inline size_t pmt_table_room(uintptr_t packed)
{
    return packed ? (size_t)1 << (packed & PMT_TABLE_BITS_MASK) : 0;
}

static inline void *pmt_table_at(const struct pmt_table *table, uint32_t id)
{
    uint32_t within = id & ((1u << table->chunk_bits) - 1);
    return (char *)table->chunks[id >> table->chunk_bits] + (size_t)within * table->record_size;
}

static inline uint32_t pmt_table_count(const struct pmt_table *table)
{
    return __atomic_load_n(&table->count, __ATOMIC_ACQUIRE);
}

/* Numbers of three kinds into 64 well-mixed bits, of which the highest count. */
static inline uint64_t pmt_table_hash(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t hash = a * 0x9e3779b97f4a7c15u ^ b * 0xc2b2ae3d27d4eb4fu ^ c * 0x165667b19e3779f9u;
    return (hash ^ hash >> 32) * 0xd6e8feb86659fd93u;
}

/* Any thread, no lock. PMT_TABLE_NONE: not entered, or only just now. */
PMT_HOT uint32_t pmt_table_find(const struct pmt_table *table, uint64_t hash, pmt_table_same *is_same, const void *key)
{
    uintptr_t index = __atomic_load_n(&table->index, __ATOMIC_ACQUIRE);
    if (PMT_UNLIKELY(!index))
        return PMT_TABLE_NONE;
    const uint32_t *slots = pmt_table_array(index);
    for (size_t at = pmt_table_home(index, hash);; at = (at + 1) & (pmt_table_room(index) - 1)) {
        uint32_t slot = __atomic_load_n(&slots[at], __ATOMIC_ACQUIRE);
        if (PMT_UNLIKELY(!slot))
            return PMT_TABLE_NONE;
        if (PMT_LIKELY(is_same(slot - 1, key)))
            return slot - 1;
    }
}

#pragma GCC visibility pop

#endif
