/* account.c: the rare half of account.h. */
#include "account.h"

#include "poison.h"

/* The first change of a bank since the highest total: what it held then is what it holds now. Of several threads that
 * come to a free bank one notes it; another's block may be in it or not, which is within the error of a peak. */
void pmt_account_settle(struct pmt_site_bank *bank, uint64_t epoch)
{
    uint64_t before = __atomic_load_n(&bank->epoch, __ATOMIC_RELAXED);
    int64_t live = __atomic_load_n(&bank->sums[PMT_ALLOCATED].bytes, __ATOMIC_RELAXED) -
                   __atomic_load_n(&bank->sums[PMT_FREED].bytes, __ATOMIC_RELAXED);
    if (before < epoch &&
        __atomic_compare_exchange_n(&bank->epoch, &before, epoch, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        __atomic_store_n(&bank->peak_bytes, live, __ATOMIC_RELAXED);
}

/* The total, when the thread has no tally: its first call, or its last ones. */
static void move_total_slow(int64_t bytes, bool is_held)
{
    if (pmt_tally_mine || is_held)
        pmt_account_move_total(pmt_tally_mine, bytes, is_held);
    else
        __atomic_fetch_add(&pmt_peak_others, bytes, __ATOMIC_RELAXED);
}

PMT_SLOW void pmt_account_in_slow(size_t size, enum pmt_owner owner, struct pmt_here here)
{
    pmt_count(owner, PMT_ALLOCATED, (int64_t)size, 1);
    if (here.site)
        pmt_account_site(here.site, size, PMT_ALLOCATED, here.is_held);
    move_total_slow((int64_t)size, here.is_held);
}

/* Counts off a block; also one whose free nobody showed us. */
PMT_SLOW void pmt_account_off(const struct pmt_block *block, bool is_held)
{
    uint32_t site = block->what & PMT_SHADOW_SITE;
    pmt_count(pmt_block_owner(block), PMT_FREED, (int64_t)block->size, 1);
    if (site)
        pmt_account_site(site, block->size, PMT_FREED, is_held);
    move_total_slow(-(int64_t)block->size, is_held);
}

/* The block could not be resized and is what it was: takes pmt_account_gone() back. */
PMT_SLOW void pmt_account_back(const void *block, const struct pmt_block *gone, bool is_held)
{
    uint32_t site = gone->what & PMT_SHADOW_SITE;
    if (!gone->is_known || !pmt_shadow_set(block, gone->size, gone->what))
        return;
    pmt_count(pmt_block_owner(gone), PMT_FREED, -(int64_t)gone->size, -1);
    if (site) {
        struct pmt_site_bank *bank = is_held ? &pmt_site_at(site)->held : pmt_site_free_bank(site);
        __atomic_fetch_sub(&bank->sums[PMT_FREED].bytes, (int64_t)gone->size, __ATOMIC_RELAXED);
        __atomic_fetch_sub(&bank->sums[PMT_FREED].blocks, 1, __ATOMIC_RELAXED);
    }
    move_total_slow((int64_t)gone->size, is_held);
}
