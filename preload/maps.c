/* maps.c: what the program itself maps with mmap and mremap, and moves with brk.
 *
 *    regions, sorted, disjoint, not touching:   [start,end) [start,end) ...
 *
 * Bytes are those of the union, so that overlaps (MAP_FIXED), partial unmaps and unmaps of holes are exact; areas that
 * touch are one region. Mappings that libc makes for itself (heaps, thread stacks) do not come here. A removal is
 * entered before its system call and undone if that fails: afterwards another thread may own the addresses already.
 * Signals are held off while the lock is held, since a handler may map memory. */
#include "core.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

struct region {
    uintptr_t start, end;
};

struct table {
    size_t count, room;
    int64_t bytes;
    struct region regions[];
};

static struct pmt_lock pmt_maps_lock;

/* A change is written to `spare`, which then becomes `current`. So the table is whole at every moment, and a fork need
 * not wait for the lock: an allocator that maps memory holds its own lock then, and a fork handler of its may wait for
 * us. */
static struct table empty, *current = &empty, *spare = &empty; /* protected by pmt_maps_lock */
static int64_t break_bytes;                                    /* atomic */

/* Index of the first region that ends at or after `at`. */
static size_t find_region(uintptr_t at)
{
    size_t low = 0, high = current->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (current->regions[middle].end < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t table_bytes(size_t room)
{
    return sizeof(struct table) + room * sizeof(struct region);
}

/* Makes room in `spare` for `count` regions. */
static bool grow_spare(size_t count)
{
    if (count <= spare->room)
        return true;
    size_t room = count < 200 ? 254 : count * 2;
    struct table *fresh = pmt_sys_pages(table_bytes(room));
    if (!fresh)
        return false;
    if (spare != &empty)
        pmt_sys(SYS_munmap, (long)spare, (long)table_bytes(spare->room), 0, 0, 0, 0);
    spare = fresh;
    spare->room = room;
    return true;
}

/* Replaces `old_count` regions at `index` by the `new_count` given; the bytes change by `bytes`. */
static bool splice_regions(size_t index, size_t old_count, const struct region *fresh, size_t new_count, int64_t bytes)
{
    size_t count = current->count - old_count + new_count, after = index + old_count;
    if (!grow_spare(count))
        return false;
    memcpy(spare->regions, current->regions, index * sizeof *fresh);
    memcpy(spare->regions + index, fresh, new_count * sizeof *fresh);
    memcpy(spare->regions + index + new_count, current->regions + after, (current->count - after) * sizeof *fresh);
    spare->count = count;
    spare->bytes = current->bytes + bytes;
    struct table *old = current;
    __atomic_store_n(&current, spare, __ATOMIC_RELEASE);
    spare = old;
    return true;
}

static void add_locked(uintptr_t start, uintptr_t end)
{
    struct region whole = {start, end};
    size_t first = find_region(start), last = first;
    int64_t covered = 0;
    for (; last < current->count && current->regions[last].start <= end; last++) {
        const struct region *region = &current->regions[last];
        covered += (int64_t)(region->end - region->start);
        whole.start = region->start < whole.start ? region->start : whole.start;
        whole.end = region->end > whole.end ? region->end : whole.end;
    }
    splice_regions(first, last - first, &whole, 1, (int64_t)(whole.end - whole.start) - covered);
}

static size_t remove_locked(uintptr_t start, uintptr_t end)
{
    struct region rest[2];
    size_t first = find_region(start + 1), last = first, rests = 0;
    int64_t covered = 0;
    for (; last < current->count && current->regions[last].start < end; last++) {
        const struct region *region = &current->regions[last];
        covered += (int64_t)(region->end - region->start);
        if (region->start < start)
            rest[rests++] = (struct region){region->start, start};
        if (region->end > end)
            rest[rests++] = (struct region){end, region->end};
    }
    for (size_t i = 0; i < rests; i++)
        covered -= (int64_t)(rest[i].end - rest[i].start);
    if (first == last || !splice_regions(first, last - first, rest, rests, -covered))
        return 0;
    return (size_t)covered;
}

static uintptr_t round_up(uintptr_t bytes)
{
    uintptr_t mask = (uintptr_t)pmt_page_size - 1;
    return (bytes + mask) & ~mask;
}

/* The lock, with signals held off. */
struct hold {
    uint64_t signals;
    bool is_taken;
};

static struct hold hold_table(void)
{
    struct hold hold = {0, false};
    pmt_sys_hold_signals(&hold.signals);
    hold.is_taken = pmt_lock_take(&pmt_maps_lock);
    return hold;
}

static void release_table(const struct hold *hold)
{
    if (hold->is_taken)
        pmt_lock_drop(&pmt_maps_lock);
    pmt_sys_release_signals(&hold->signals);
}

/* `size` need not be whole pages. */
void pmt_maps_add(uintptr_t start, size_t size)
{
    if (size == 0)
        return;
    struct hold hold = hold_table();
    add_locked(start, start + round_up(size));
    release_table(&hold);
}

/* In a child of fork: another thread may have been in the middle of a change, which then did not happen here. Of the
 * two tables one is current; the other may be half written, or just being replaced, and is given up. */
void pmt_maps_after_fork(void)
{
    if (pmt_maps_lock.owner != 0)
        spare = &empty;
    pmt_lock_reset(&pmt_maps_lock);
}

/* Bytes that were ours in the range. */
size_t pmt_maps_remove(uintptr_t start, size_t size)
{
    uintptr_t end = start + round_up(size);
    if (end <= start)
        return 0;
    struct hold hold = hold_table();
    size_t removed = remove_locked(start, end);
    release_table(&hold);
    return removed;
}

void pmt_maps_total(int64_t *bytes, int64_t *count)
{
    struct hold hold = hold_table();
    *bytes = current->bytes;
    *count = (int64_t)current->count;
    release_table(&hold);
}

/* brk and sbrk called by the program (libc's own heap moves the break by another way). */
void pmt_maps_moved_break(int64_t bytes)
{
    __atomic_fetch_add(&break_bytes, bytes, __ATOMIC_RELAXED);
}

int64_t pmt_maps_break(void)
{
    return __atomic_load_n(&break_bytes, __ATOMIC_RELAXED);
}
