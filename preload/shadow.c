/* shadow.c: the rare half of shadow.h: new leaves, and marks that nobody took away. */
#include "account.h"

#include "sys.h"

#include "poison.h"

#define LEAF_BYTES (((size_t)1 << (PMT_SHADOW_LEAF_BITS - PMT_SHADOW_GRANULE_BITS)) * sizeof(uint32_t))

/* Leaves are made by whoever comes first and never go. Atomic. */
uint32_t *pmt_shadow_root[(size_t)1 << (PMT_SHADOW_ADDRESS_BITS - PMT_SHADOW_LEAF_BITS)];

/* A leaf is as good as zero-filled; 16 bytes more, since the last block's size may be in entries past its end. Huge
 * pages would make all of it resident. */
PMT_SLOW uint32_t *pmt_shadow_new_leaf(uintptr_t address)
{
    if (address >> PMT_SHADOW_ADDRESS_BITS)
        return NULL;
    uint32_t **slot = &pmt_shadow_root[address >> PMT_SHADOW_LEAF_BITS], *nobody = NULL;
    size_t size = LEAF_BYTES + (size_t)pmt_page_size;
    uint32_t *leaf = pmt_sys_pages(size);
    if (!leaf)
        return NULL;
    pmt_sys(SYS_madvise, (long)leaf, (long)size, MADV_NOHUGEPAGE, 0, 0, 0);
    if (!__atomic_compare_exchange_n(slot, &nobody, leaf, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        pmt_sys(SYS_munmap, (long)leaf, (long)size, 0, 0, 0, 0);
    return pmt_shadow_entry((const void *)address);
}

PMT_SLOW void pmt_shadow_forget_stale(const uint32_t *entry)
{
    struct pmt_block stale = {pmt_shadow_size(entry), pmt_shadow_what(entry), true};
    pmt_account_off(&stale, pmt_python_has_gil());
}

/* Marks a live block. False: it is not known. The caller sees to it that it stays alive. */
PMT_SLOW bool pmt_shadow_mark(const void *block, uint32_t mark)
{
    uint32_t *entry = pmt_shadow_is_aligned(block) ? pmt_shadow_entry(block) : NULL;
    if (!entry || !(*entry & PMT_SHADOW_START))
        return pmt_large_mark(block, mark);
    *entry |= mark;
    return true;
}

/* A range of heap is unmapped: the table beside it goes too, where it is whole pages. The blocks in it are gone. */
PMT_SLOW void pmt_shadow_release(uintptr_t start, size_t size)
{
    uintptr_t leaf_size = (uintptr_t)1 << PMT_SHADOW_LEAF_BITS, end = start + size;
    uintptr_t page = (uintptr_t)pmt_page_size, bytes_per_entry = ((uintptr_t)1 << PMT_SHADOW_GRANULE_BITS) / 4;
    while (start < end && !(start >> PMT_SHADOW_ADDRESS_BITS)) {
        uintptr_t next = (start | (leaf_size - 1)) + 1, stop = next < end ? next : end;
        uint32_t *leaf = pmt_shadow_root[start >> PMT_SHADOW_LEAF_BITS];
        uintptr_t low = (uintptr_t)leaf + (start & (leaf_size - 1)) / bytes_per_entry;
        uintptr_t high = (uintptr_t)leaf + (stop - (next - leaf_size)) / bytes_per_entry;
        low = (low + page - 1) & ~(page - 1);
        high &= ~(page - 1);
        if (leaf && low < high)
            pmt_sys(SYS_madvise, (long)low, (long)(high - low), MADV_DONTNEED, 0, 0, 0);
        start = stop;
    }
}
