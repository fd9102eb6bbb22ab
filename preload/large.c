/* large.c: blocks of 128 KiB and more, in a small hash table instead of the table beside the heap (shadow.h).
 *
 * Such a block usually has a mapping of its own (glibc's M_MMAP_THRESHOLD), far from others: an entry beside it would
 * make a page of ours resident for every block, and show in the RSS that is measured. There are few of them, and each
 * costs a system call and page faults anyway, so that a lock is nothing. Open addressing, at most half full; an entry
 * that is taken out is closed up by moving later ones back. Protected by pmt_large_lock.
 * A signal handler may jump out of any of this (life.c): an entry is whole before it has its address, and a table grows
 * with signals held off. */
#include "shadow.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

struct large {
    uintptr_t address; /* 0: free */
    size_t size;
    uint32_t owner;
};

struct pmt_lock pmt_large_lock;
size_t pmt_large_count; /* atomic, so that it can be asked without the lock */
static struct large first_table[128], *table = first_table;
static size_t room = 128; /* a power of two */

static size_t home_of(uintptr_t address)
{
    return (size_t)((address >> 4) * 0x9e3779b97f4a7c15u >> 20) & (room - 1);
}

static struct large *find_locked(uintptr_t address)
{
    size_t at = home_of(address);
    while (table[at].address && table[at].address != address)
        at = (at + 1) & (room - 1);
    return &table[at];
}

static bool grow_locked(void)
{
    struct large *old = table;
    size_t old_room = room, fresh_room = room * 2;
    struct large *fresh = pmt_sys_pages(fresh_room * sizeof *fresh);
    uint64_t signals;
    if (!fresh)
        return false;
    pmt_sys_hold_signals(&signals);
    table = fresh;
    room = fresh_room;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].address)
            *find_locked(old[i].address) = old[i];
    if (old != first_table)
        pmt_sys(SYS_munmap, (long)old, (long)(old_room * sizeof *old), 0, 0, 0, 0);
    pmt_sys_release_signals(&signals);
    return true;
}

/* Makes the first table resident now, rather than with the first large block, whose growth it would seem to be. */
void pmt_large_start(void)
{
    for (size_t i = 0; i < sizeof first_table / sizeof *first_table; i++)
        ((volatile struct large *)first_table)[i].owner = 0;
}

/* As pmt_shadow_set(). */
PMT_SLOW bool pmt_large_set(const void *block, size_t size, uint32_t owner)
{
    pmt_gate_touch();
    if (!pmt_lock_take(&pmt_large_lock))
        return false;
    bool has_room = pmt_large_count * 2 < room || grow_locked();
    if (has_room) {
        struct large *entry = find_locked((uintptr_t)block);
        struct pmt_block stale = {entry->size, entry->owner, entry->address != 0};
        entry->size = size;
        entry->owner = owner;
        __atomic_store_n(&entry->address, (uintptr_t)block, __ATOMIC_RELEASE);
        if (stale.is_known)
            pmt_shadow_count_off(&stale);
        else
            __atomic_fetch_add(&pmt_large_count, 1, __ATOMIC_RELAXED);
    }
    pmt_lock_drop(&pmt_large_lock);
    return has_room;
}

/* Frees an entry; those after it that would no longer be found move back. */
static void close_up_locked(size_t hole)
{
    for (size_t at = (hole + 1) & (room - 1); table[at].address; at = (at + 1) & (room - 1)) {
        size_t distance = (at - home_of(table[at].address)) & (room - 1);
        if (distance < ((at - hole) & (room - 1)))
            continue;
        table[hole] = table[at];
        hole = at;
    }
    table[hole].address = 0;
}

/* As pmt_shadow_take(). */
PMT_SLOW struct pmt_block pmt_large_take(const void *block)
{
    struct pmt_block known = {0, 0, false};
    if (!pmt_lock_take(&pmt_large_lock))
        return known;
    struct large *entry = find_locked((uintptr_t)block);
    if (entry->address) {
        pmt_gate_touch();
        known = (struct pmt_block){entry->size, entry->owner, true};
        close_up_locked((size_t)(entry - table));
        __atomic_fetch_sub(&pmt_large_count, 1, __ATOMIC_RELAXED);
    }
    pmt_lock_drop(&pmt_large_lock);
    return known;
}
