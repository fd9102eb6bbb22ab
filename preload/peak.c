/* peak.c: the highest total of live bytes, and the moment of it.
 *
 *    under the GIL             -> pmt_peak_held     plain additions, each compared with the highest so far
 *    a thread without the GIL  -> its tally: unfolded, when it leaves [least, most] -> pmt_peak_others
 *
 * Only growth can make a new peak: a thread that is alone, in a program without Python, tells of its movement when it
 * has used up what is missing to the highest. One thread with Python tells at once. So both are exact. Of several, each
 * tells after 64 KiB, and the peak may be wrong by that for each. At every new peak the epoch advances; what a site
 * held then is known without a copy: see site.h. */
#include "core.h"

#include "sys.h"

#include "poison.h"

#define FOLD_BYTES 65536

int64_t pmt_peak_held;    /* Protected by the GIL of the main interpreter; anyone reads. */
int64_t pmt_peak_others;  /* atomic */
int64_t pmt_peak_highest; /* atomic; under the GIL stored, by others raised */
uint64_t pmt_peak_epoch;

static int64_t stamped_bytes, stamped_ns; /* atomic: the highest that was last looked at, and when */
static bool has_python;

/* Raises the highest total to `total`. Not under the GIL: somebody there may store a lower one at the same moment, and
 * compares again at its next allocation. */
static void raise_highest(int64_t total)
{
    int64_t highest = __atomic_load_n(&pmt_peak_highest, __ATOMIC_RELAXED);
    while (total > highest)
        if (__atomic_compare_exchange_n(&pmt_peak_highest, &highest, total, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            __atomic_fetch_add(&pmt_peak_epoch, 1, __ATOMIC_RELAXED);
            return;
        }
}

static bool is_alone(void)
{
    return __atomic_load_n(&pmt_count_most_threads, __ATOMIC_RELAXED) <= 1;
}

/* The tally's thread is not the only one any more. It may be looking at its limits at this moment. */
void pmt_peak_narrow(struct pmt_tally *tally)
{
    __atomic_store_n(&tally->most, FOLD_BYTES, __ATOMIC_RELAXED);
    __atomic_store_n(&tally->least, -FOLD_BYTES, __ATOMIC_RELAXED);
}

/* The thread's movement becomes part of the total. */
void pmt_peak_fold(struct pmt_tally *mine)
{
    int64_t moved = mine->unfolded;
    pmt_add_own(&mine->unfolded, -moved);
    int64_t others = __atomic_add_fetch(&pmt_peak_others, moved, __ATOMIC_RELAXED);
    int64_t total = others + __atomic_load_n(&pmt_peak_held, __ATOMIC_RELAXED);
    raise_highest(total);
    if (is_alone()) {
        int64_t missing = __atomic_load_n(&pmt_peak_highest, __ATOMIC_RELAXED) - total;
        __atomic_store_n(&mine->most, has_python ? 0 : missing, __ATOMIC_RELAXED);
        __atomic_store_n(&mine->least, has_python ? 0 : INT64_MIN / 2, __ATOMIC_RELAXED);
    }
    if (!is_alone())
        pmt_peak_narrow(mine);
}

static void fold_mine(void)
{
    struct pmt_tally *mine = pmt_count_mine();
    if (mine)
        pmt_peak_fold(mine);
}

/* Before anything is counted under a GIL. What is added there is compared with the total at once, so all that this
 * thread has not told of must be in it. */
void pmt_peak_expect_python(void)
{
    has_python = true;
    fold_mine();
}

/* The caller is about to start a thread, which cannot know what a thread alone has kept to itself. */
void pmt_peak_expect_threads(void)
{
    int one = 1;
    if (__atomic_compare_exchange_n(&pmt_count_most_threads, &one, 2, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        fold_mine();
}

/* Now and then: notes when the highest total was reached. */
void pmt_peak_stamp(void)
{
    int64_t highest = __atomic_load_n(&pmt_peak_highest, __ATOMIC_RELAXED);
    if (highest == __atomic_load_n(&stamped_bytes, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&stamped_bytes, highest, __ATOMIC_RELAXED);
    __atomic_store_n(&stamped_ns, pmt_sys_clock_ns(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
}

struct pmt_peak pmt_peak_now(void)
{
    int threads = __atomic_load_n(&pmt_count_most_threads, __ATOMIC_RELAXED);
    pmt_peak_stamp();
    return (struct pmt_peak){__atomic_load_n(&pmt_peak_highest, __ATOMIC_RELAXED),
                             __atomic_load_n(&stamped_ns, __ATOMIC_RELAXED),
                             threads > 1 ? (int64_t)threads * FOLD_BYTES : 0};
}
