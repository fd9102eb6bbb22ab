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

struct pmt_lock pmt_maps_lock;

/* Protected by pmt_maps_lock. */
static struct region *regions;
static size_t region_count, region_room;
static int64_t mapped_bytes;
static int64_t break_bytes; /* atomic */

/* Index of the first region that ends at or after `at`. */
static size_t find_region(uintptr_t at)
{
    size_t low = 0, high = region_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (regions[middle].end < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool grow_table(void)
{
    size_t room = region_room ? region_room * 2 : 256;
    struct region *table = pmt_sys_pages(room * sizeof *table);
    if (!table)
        return false;
    if (region_count)
        memcpy(table, regions, region_count * sizeof *table);
    if (regions)
        pmt_sys(SYS_munmap, (long)regions, (long)(region_room * sizeof *table), 0, 0, 0, 0);
    regions = table;
    region_room = room;
    return true;
}

/* Replaces `old_count` regions at `index` by the `new_count` (at most 2) given. */
static bool splice_regions(size_t index, size_t old_count, const struct region *fresh, size_t new_count)
{
    while (region_count - old_count + new_count > region_room)
        if (!grow_table())
            return false;
    memmove(regions + index + new_count, regions + index + old_count,
            (region_count - index - old_count) * sizeof *regions);
    for (size_t i = 0; i < new_count; i++)
        regions[index + i] = fresh[i];
    region_count += new_count - old_count;
    return true;
}

static void add_locked(uintptr_t start, uintptr_t end)
{
    struct region whole = {start, end};
    size_t first = find_region(start), last = first;
    int64_t covered = 0;
    for (; last < region_count && regions[last].start <= end; last++) {
        covered += (int64_t)(regions[last].end - regions[last].start);
        if (regions[last].start < whole.start)
            whole.start = regions[last].start;
        if (regions[last].end > whole.end)
            whole.end = regions[last].end;
    }
    if (splice_regions(first, last - first, &whole, 1))
        mapped_bytes += (int64_t)(whole.end - whole.start) - covered;
}

static size_t remove_locked(uintptr_t start, uintptr_t end)
{
    struct region rest[2];
    size_t first = find_region(start + 1), last = first, rests = 0;
    int64_t covered = 0;
    for (; last < region_count && regions[last].start < end; last++) {
        covered += (int64_t)(regions[last].end - regions[last].start);
        if (regions[last].start < start)
            rest[rests++] = (struct region){regions[last].start, start};
        if (regions[last].end > end)
            rest[rests++] = (struct region){end, regions[last].end};
    }
    for (size_t i = 0; i < rests; i++)
        covered -= (int64_t)(rest[i].end - rest[i].start);
    if (first == last || !splice_regions(first, last - first, rest, rests))
        return 0;
    mapped_bytes -= covered;
    return (size_t)covered;
}

static uintptr_t round_up(uintptr_t bytes)
{
    uintptr_t mask = (uintptr_t)pmt_page_size - 1;
    return (bytes + mask) & ~mask;
}

/* The lock with signals held off. It is refused only between a fork's handlers, which hold it on this very thread. */
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
    *bytes = mapped_bytes;
    *count = (int64_t)region_count;
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
