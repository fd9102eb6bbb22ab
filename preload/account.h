/* account.h: what it takes when a block comes or goes: its entry in the table of blocks, its thread's tally, its site's
 * counters, the highest total. The same for malloc (hook.c) and for Python's allocators (pyhooks/domains.c).
 *
 * Who holds the GIL of the main interpreter changes sites and the total with plain additions, everyone else with atomic
 * ones, in another bank. */
#ifndef PMT_ACCOUNT_H
#define PMT_ACCOUNT_H

#include "shadow.h"
#include "site.h"

#pragma GCC visibility push(hidden)

/* Where an allocation comes from. */
struct pmt_here {
    uint32_t site;
    bool is_held; /* the GIL, by this thread */
};

/* pyhooks/stack.c: the site of an allocation by this thread. has_gil: it holds one; else that is found out. */
struct pmt_here pmt_stack_here(enum pmt_owner owner, bool has_gil);

static inline struct pmt_here pmt_python_here(void)
{
    return PMT_LIKELY(!pmt_python_has_stacks) ? (struct pmt_here){0, false} : pmt_stack_here(PMT_OWNER_NATIVE, false);
}

void pmt_account_settle(struct pmt_site_bank *bank, uint64_t epoch);
void pmt_account_in_slow(size_t size, enum pmt_owner owner, struct pmt_here here);
void pmt_account_off(const struct pmt_block *block, bool is_held);
void pmt_account_back(const void *block, const struct pmt_block *gone, bool is_held);

PMT_HOT void pmt_account_move_total(struct pmt_tally *mine, int64_t bytes, bool is_held)
{
    if (PMT_LIKELY(is_held)) {
        pmt_add_own(&pmt_peak_held, bytes);
        if (bytes < 0)
            return;
        int64_t total =
            __atomic_load_n(&pmt_peak_held, __ATOMIC_RELAXED) + __atomic_load_n(&pmt_peak_others, __ATOMIC_RELAXED);
        if (total > __atomic_load_n(&pmt_peak_highest, __ATOMIC_RELAXED)) {
            __atomic_store_n(&pmt_peak_highest, total, __ATOMIC_RELAXED);
            pmt_add_own((int64_t *)&pmt_peak_epoch, 1);
        }
        return;
    }
    pmt_add_own(&mine->unfolded, bytes);
    if (PMT_UNLIKELY(mine->unfolded > mine->most || mine->unfolded < mine->least))
        pmt_peak_fold(mine);
}

/* Adds to the site's counters; sign 1: allocated, -1: freed. */
PMT_HOT void pmt_account_site(uint32_t site, size_t size, enum pmt_flow flow, bool is_held)
{
    uint64_t epoch = __atomic_load_n(&pmt_peak_epoch, __ATOMIC_RELAXED);
    if (PMT_LIKELY(is_held)) {
        struct pmt_site_bank *bank = &pmt_site_at(site)->held;
        if (bank->epoch != epoch)
            pmt_account_settle(bank, epoch);
        pmt_add_own(&bank->sums[flow].bytes, (int64_t)size);
        pmt_add_own(&bank->sums[flow].blocks, 1);
    } else {
        struct pmt_site_bank *bank = pmt_site_free_bank(site);
        if (__atomic_load_n(&bank->epoch, __ATOMIC_RELAXED) != epoch)
            pmt_account_settle(bank, epoch);
        __atomic_fetch_add(&bank->sums[flow].bytes, (int64_t)size, __ATOMIC_RELAXED);
        __atomic_fetch_add(&bank->sums[flow].blocks, 1, __ATOMIC_RELAXED);
    }
    pmt_site_touch(site);
}

/* The figures of a block of this thread, whose tally is at hand. */
PMT_HOT void pmt_account_in(struct pmt_tally *mine, size_t size, enum pmt_owner owner, struct pmt_here here)
{
    pmt_add_own(&mine->sums[owner][PMT_ALLOCATED].bytes, (int64_t)size);
    pmt_add_own(&mine->sums[owner][PMT_ALLOCATED].blocks, 1);
    if (PMT_LIKELY(here.site))
        pmt_account_site(here.site, size, PMT_ALLOCATED, here.is_held);
    pmt_account_move_total(mine, (int64_t)size, here.is_held);
}

/* Enters a block; `is_fresh`: not one that was resized. */
PMT_HOT void pmt_account_new(const void *block, size_t size, enum pmt_owner owner, struct pmt_here here, bool is_fresh)
{
    struct pmt_tally *mine = pmt_tally_mine;
    if (PMT_UNLIKELY(!pmt_shadow_set(block, size, here.site | (owner == PMT_OWNER_PYTHON ? PMT_SHADOW_PYTHON : 0))))
        return;
    if (PMT_UNLIKELY(!mine)) {
        pmt_account_in_slow(size, owner, here);
        return;
    }
    pmt_account_in(mine, size, owner, here);
    if (is_fresh) {
        mine->latest = block;
        if (PMT_UNLIKELY(--mine->countdown < 0))
            pmt_count_due(mine);
    }
}

/* Whether the thread holds the GIL: known, or still to be found out. */
enum pmt_gil { PMT_GIL_HELD, PMT_GIL_ASK };

PMT_HOT void pmt_account_temporary(struct pmt_tally *mine, const struct pmt_block *gone, bool is_held)
{
    uint32_t site = gone->what & PMT_SHADOW_SITE;
    pmt_add_own(&mine->temporary_blocks[pmt_block_owner(gone)], 1);
    if (site)
        pmt_site_touch(site);
    if (site && is_held)
        pmt_add_own(&pmt_site_at(site)->held.temporary_blocks, 1);
    else if (site)
        __atomic_fetch_add(&pmt_site_free_bank(site)->temporary_blocks, 1, __ATOMIC_RELAXED);
}

PMT_HOT void pmt_account_out(struct pmt_tally *mine, const struct pmt_block *gone, bool is_held)
{
    uint32_t site = gone->what & PMT_SHADOW_SITE;
    struct pmt_net *sum = &mine->sums[pmt_block_owner(gone)][PMT_FREED];
    pmt_add_own(&sum->bytes, (int64_t)gone->size);
    pmt_add_own(&sum->blocks, 1);
    if (PMT_LIKELY(site))
        pmt_account_site(site, gone->size, PMT_FREED, is_held);
    pmt_account_move_total(mine, -(int64_t)gone->size, is_held);
}

/* Takes a block out; `is_freed`: it is not resized. */
PMT_HOT struct pmt_block pmt_account_gone(const void *block, enum pmt_gil gil, bool is_freed)
{
    struct pmt_tally *mine = pmt_tally_mine;
    struct pmt_block gone = pmt_shadow_take(block);
    if (PMT_UNLIKELY(!gone.is_known))
        return gone;
    bool is_held = gil == PMT_GIL_HELD || pmt_python_has_gil();
    if (PMT_UNLIKELY(!mine)) {
        pmt_account_off(&gone, is_held);
        return gone;
    }
    pmt_account_out(mine, &gone, is_held);
    if (mine->latest == block) { /* one that is resized is the latest no more: its address may become another's */
        mine->latest = NULL;
        if (is_freed)
            pmt_account_temporary(mine, &gone, is_held);
    }
    return gone;
}

#pragma GCC visibility pop

#endif
