/* table.c: the rare half of table.h: entering, and the memory for it.
 *
 * Memory that cannot be had is a full table for the time being; it is asked for again, but not each time: under a limit
 * of address space (ulimit -v) every allocation of the program would cost a system call that fails. */
#include "table.h"

#include <string.h>

#include "site.h"
#include "sys.h"

#include "poison.h"

#define FIRST_BITS 10 /* of an index: one page */
#define TRIES_BETWEEN 1024

static bool is_short;        /* the last mapping failed. Protected by pmt_site_lock, as the next */
static unsigned turned_away; /* since then */

/* Zeroed pages; NULL: none, or too soon to ask again. Huge pages would make all of them resident. */
void *pmt_table_pages_locked(size_t size)
{
    if (is_short && ++turned_away < TRIES_BETWEEN)
        return NULL;
    void *pages = pmt_sys_pages(size);
    if (pages)
        pmt_sys(SYS_madvise, (long)pages, (long)size, MADV_NOHUGEPAGE, 0, 0, 0);
    is_short = !pages;
    turned_away = 0;
    return pages;
}

/* Gives the memory back but not the addresses: somebody may still be reading, and finds zeros. */
void pmt_table_retire_locked(void *pages, size_t size)
{
    if (size)
        pmt_sys(SYS_madvise, (long)pages, (long)size, MADV_DONTNEED, 0, 0, 0);
}

/* ---- the index; at most half full */

static uint32_t *free_slot(uintptr_t index, uint64_t hash)
{
    uint32_t *slots = pmt_table_array(index);
    size_t at = pmt_table_home(index, hash);
    while (slots[at])
        at = (at + 1) & (pmt_table_room(index) - 1);
    return &slots[at];
}

static bool grow_index_locked(struct pmt_table *table)
{
    uintptr_t old = table->index;
    uint32_t *old_slots = pmt_table_array(old);
    unsigned bits = old ? (unsigned)(old & PMT_TABLE_BITS_MASK) + 1 : FIRST_BITS;
    uint32_t *slots = pmt_table_pages_locked(sizeof *slots << bits);
    if (!slots)
        return false;
    uintptr_t fresh = pmt_table_pack(slots, bits);
    for (size_t i = 0; i < pmt_table_room(old); i++)
        if (old_slots[i])
            *free_slot(fresh, table->hash(old_slots[i] - 1)) = old_slots[i];
    __atomic_store_n(&table->index, fresh, __ATOMIC_RELEASE);
    pmt_table_retire_locked(old_slots, pmt_table_room(old) * sizeof *slots);
    return true;
}

/* ---- entering */

static bool make_chunk_locked(const struct pmt_table *table, uint32_t chunk)
{
    if (!table->chunks[chunk])
        table->chunks[chunk] = pmt_table_pages_locked((size_t)table->record_size << table->chunk_bits);
    return table->chunks[chunk] != NULL;
}

/* Room for `size` more IDs, and for one key. */
static bool make_room_locked(struct pmt_table *table, uint32_t size)
{
    uint32_t first = table->count;
    if (size > table->limit - first)
        return false;
    for (uint32_t chunk = first >> table->chunk_bits; chunk <= (first + size - 1) >> table->chunk_bits; chunk++)
        if (!make_chunk_locked(table, chunk))
            return false;
    if (((size_t)table->used + 1) * 2 > pmt_table_room(table->index) && !grow_index_locked(table))
        return false;
    return !table->prepare_locked || table->prepare_locked(first);
}

/* The slot comes before the count: who sees the highest count that there can be, sees the slots of all. */
static uint32_t enter_locked(struct pmt_table *table, uint64_t hash, const void *key)
{
    uint32_t id = table->count, size = table->size ? table->size(key) : 1;
    if (!make_room_locked(table, size))
        return PMT_TABLE_NONE;
    if (table->write_locked)
        table->write_locked(id, key);
    else
        memcpy(pmt_table_at(table, id), key, table->record_size);
    __atomic_store_n(free_slot(table->index, hash), id + 1, __ATOMIC_RELEASE);
    table->used++;
    __atomic_store_n(&table->count, id + size, __ATOMIC_RELEASE);
    return id;
}

/* ID of the record with this key, which was not found a moment ago. PMT_TABLE_NONE: it has no room (a full table takes
 * no lock to say so), or the thread is entering something already, below a signal handler. Counted. */
PMT_SLOW uint32_t pmt_table_enter(struct pmt_table *table, uint64_t hash, pmt_table_same *is_same, const void *key)
{
    uint32_t id = PMT_TABLE_NONE;
    if (pmt_table_count(table) == table->limit)
        id = pmt_table_find(table, hash, is_same, key);
    else if (pmt_lock_take(&pmt_site_lock)) {
        id = pmt_table_find(table, hash, is_same, key);
        if (id == PMT_TABLE_NONE)
            id = enter_locked(table, hash, key);
        pmt_lock_drop(&pmt_site_lock);
    }
    if (id == PMT_TABLE_NONE)
        __atomic_fetch_add(&table->lost, 1, __ATOMIC_RELAXED);
    return id;
}

/* ---- for tests */

/* Whether the slot of every key is where a search comes by. `first`: the lowest ID that has a slot. */
bool pmt_table_is_valid_locked(const struct pmt_table *table, uint32_t first)
{
    size_t room = pmt_table_room(table->index), used = 0;
    const uint32_t *slots = pmt_table_array(table->index);
    for (size_t i = 0; i < room; i++) {
        uint32_t id = slots[i] - 1;
        if (!slots[i])
            continue;
        used++;
        if (id < first || id >= table->count)
            return false;
        for (size_t at = pmt_table_home(table->index, table->hash(id)); at != i; at = (at + 1) & (room - 1))
            if (!slots[at] || slots[at] == slots[i])
                return false;
    }
    return used == table->used && used * 2 <= room && table->count <= table->limit;
}
