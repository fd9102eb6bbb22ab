/* shadow.h: what is known of every live block, beside the heap, never in it.
 *
 *    address  ->  root[address / 64 MiB]  ->  leaf: 4 bytes for every 16 bytes of heap
 *
 *    block of up to 16 bytes   | START owner size code site |          the size in 5 bits of its first entry
 *    below 128 KiB             | START owner 17   code site | size |   its second granule is its own
 *    larger                    in the hash table of large.c
 *
 * `site` is where it was allocated (site.h); `code` marks a code object of Python's that has a name in the tables.
 *
 * No lock and no hash: an entry belongs to the block, and the block to whoever allocates or frees it. A leaf is 16 MiB
 * of address space, of which only the pages beside used heap are ever resident. A
 * block that is not aligned to 16 bytes (the 8-byte class of some allocators) cannot be described: two could start in
 * one granule. */
#ifndef PMT_SHADOW_H
#define PMT_SHADOW_H

#include "core.h"

#pragma GCC visibility push(hidden)

#define PMT_SHADOW_ADDRESS_BITS 47
#define PMT_SHADOW_LEAF_BITS 26
#define PMT_SHADOW_GRANULE_BITS 4
#define PMT_SHADOW_START 0x80000000u
#define PMT_SHADOW_PYTHON 0x40000000u
#define PMT_SHADOW_SIZE_SHIFT 25
#define PMT_SHADOW_CODE 0x01000000u
#define PMT_SHADOW_SITE 0x00ffffffu
#define PMT_SHADOW_SIZE_MASK 31u
enum { PMT_SHADOW_SIZE_SMALL_MAX = 16, PMT_SHADOW_SIZE_SECOND = 17 };
#define PMT_SHADOW_LARGE ((size_t)128 << 10)

extern uint32_t *pmt_shadow_root[(size_t)1 << (PMT_SHADOW_ADDRESS_BITS - PMT_SHADOW_LEAF_BITS)];
uint32_t *pmt_shadow_new_leaf(uintptr_t address);
void pmt_shadow_release(uintptr_t start, size_t size);
void pmt_shadow_forget_stale(const uint32_t *entry);
bool pmt_shadow_mark(const void *block, uint32_t mark);

/* What is left of a block that was taken out: enough to count it off, or to enter it again. */
struct pmt_block {
    size_t size;
    uint32_t what; /* PMT_SHADOW_PYTHON, _CODE, and the site's ID */
    bool is_known;
};

static inline enum pmt_owner pmt_block_owner(const struct pmt_block *block)
{
    return block->what & PMT_SHADOW_PYTHON ? PMT_OWNER_PYTHON : PMT_OWNER_NATIVE;
}

/* large.c */
extern size_t pmt_large_count;
bool pmt_large_set(const void *block, size_t size, uint32_t what);
bool pmt_large_mark(const void *block, uint32_t mark);
struct pmt_block pmt_large_take(const void *block);

static inline bool pmt_shadow_is_aligned(const void *block)
{
    return ((uintptr_t)block & (((uintptr_t)1 << PMT_SHADOW_GRANULE_BITS) - 1)) == 0;
}

/* The entry of the granule at `block`; NULL if there is no leaf yet. */
static inline uint32_t *pmt_shadow_entry(const void *block)
{
    uintptr_t address = (uintptr_t)block;
    if (PMT_UNLIKELY(address >> PMT_SHADOW_ADDRESS_BITS))
        return NULL;
    uint32_t *leaf = __atomic_load_n(&pmt_shadow_root[address >> PMT_SHADOW_LEAF_BITS], __ATOMIC_ACQUIRE);
    uintptr_t within = address & (((uintptr_t)1 << PMT_SHADOW_LEAF_BITS) - 1);
    return PMT_LIKELY(leaf != NULL) ? leaf + (within >> PMT_SHADOW_GRANULE_BITS) : NULL;
}

static inline size_t pmt_shadow_size(const uint32_t *entry)
{
    uint32_t code = *entry >> PMT_SHADOW_SIZE_SHIFT & PMT_SHADOW_SIZE_MASK;
    return code <= PMT_SHADOW_SIZE_SMALL_MAX ? code : entry[1];
}

static inline uint32_t pmt_shadow_what(const uint32_t *entry)
{
    return *entry & (PMT_SHADOW_PYTHON | PMT_SHADOW_CODE | PMT_SHADOW_SITE);
}

/* Writes a block's first entry. What was there is read in the same instruction: to read first would make a fresh page
 * fault twice. */
static inline void pmt_shadow_write(uint32_t *entry, uint32_t value)
{
    uint32_t before = value;
#ifdef __SANITIZE_THREAD__
    before = __atomic_exchange_n(entry, value, __ATOMIC_RELAXED);
#else
    __asm__("xaddl %0, %1" : "+r"(before), "+m"(*entry));
#endif
    if (PMT_LIKELY(!before))
        return;
    *entry = before;
    if (before & PMT_SHADOW_START)
        pmt_shadow_forget_stale(entry);
    *entry = value;
}

/* Enters an aligned block of `size` requested bytes. False: it cannot be entered, and will be unknown when it is freed.
 * A mark that is still there is of a block whose free nobody showed us; its bytes are taken off. */
static inline bool pmt_shadow_set(const void *block, size_t size, uint32_t what)
{
    if (PMT_UNLIKELY(size >= PMT_SHADOW_LARGE))
        return pmt_large_set(block, size, what);
    uint32_t *entry = pmt_shadow_entry(block);
    if (PMT_UNLIKELY(!entry && !(entry = pmt_shadow_new_leaf((uintptr_t)block))))
        return false;
    if (size <= PMT_SHADOW_SIZE_SMALL_MAX) {
        pmt_shadow_write(entry, PMT_SHADOW_START | what | (uint32_t)size << PMT_SHADOW_SIZE_SHIFT);
        return true;
    }
    pmt_shadow_write(entry, PMT_SHADOW_START | what | (uint32_t)PMT_SHADOW_SIZE_SECOND << PMT_SHADOW_SIZE_SHIFT);
    entry[1] = (uint32_t)size;
    return true;
}

/* Takes a block out, before it is freed: afterwards its address may be another thread's. */
static inline struct pmt_block pmt_shadow_take(const void *block)
{
    uint32_t *entry = pmt_shadow_entry(block);
    if (PMT_UNLIKELY(!entry || !(*entry & PMT_SHADOW_START))) {
        if (__atomic_load_n(&pmt_large_count, __ATOMIC_RELAXED))
            return pmt_large_take(block);
        return (struct pmt_block){0, 0, false};
    }
    struct pmt_block known = {pmt_shadow_size(entry), pmt_shadow_what(entry), true};
    *entry = 0;
    return known;
}

#pragma GCC visibility pop

#endif
