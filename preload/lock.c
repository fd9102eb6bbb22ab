/* lock.c: a small lock for state that is touched rarely and briefly (a row of the log, a large block).
 *
 *    owner: 0 nobody -> thread ID -> thread ID | HAS_WAITERS        a waiter that looked 64 times sleeps in the kernel
 *
 * A waiter must not spin on: under SCHED_FIFO it would keep the owner from its processor for ever. A signal handler
 * that comes while its own thread holds the lock is refused (false) instead of waiting for itself. */
#include "core.h"

#include <linux/futex.h>

#include "sys.h"

#include "poison.h"

#define LOOKS 64               /* before it sleeps: most holds are shorter than the way into the kernel and back */
#define HAS_WAITERS 0x40000000 /* above every thread ID (PID_MAX_LIMIT is 2^22) */

__thread int pmt_thread_number;

PMT_SLOW int pmt_thread_id_slow(void)
{
    return pmt_thread_number = (int)pmt_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* How long it sleeps is the owner's matter; a wake-up without cause, or by a signal, leads to another look. */
static int sleep_on(struct pmt_lock *lock, int seen)
{
    int flagged = seen | HAS_WAITERS;
    if (seen == flagged ||
        __atomic_compare_exchange_n(&lock->owner, &seen, flagged, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        pmt_sys(SYS_futex, (long)&lock->owner, FUTEX_WAIT_PRIVATE, flagged, 0, 0, 0);
    return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
}

/* One who has slept leaves the flag set: there may be more who sleep. */
static PMT_SLOW bool take_from(struct pmt_lock *lock, int owner)
{
    int self = pmt_thread_id(), mine = self;
    for (int looks = 0;; looks++) {
        if ((owner & ~HAS_WAITERS) == self)
            return false;
        if (owner == 0) {
            if (__atomic_compare_exchange_n(&lock->owner, &owner, mine, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return true;
        } else if (looks < LOOKS) {
            __builtin_ia32_pause();
            owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
        } else {
            owner = sleep_on(lock, owner);
            mine = self | HAS_WAITERS;
        }
    }
}

/* True: held by the caller now. False: the caller's thread holds it already, further down its stack. */
bool pmt_lock_take(struct pmt_lock *lock)
{
    int nobody = 0;
    return PMT_LIKELY(__atomic_compare_exchange_n(&lock->owner, &nobody, pmt_thread_id(), false, __ATOMIC_ACQUIRE,
                                                  __ATOMIC_RELAXED)) ||
           take_from(lock, nobody);
}

/* False: somebody holds it, perhaps the caller's own thread. */
bool pmt_lock_try(struct pmt_lock *lock)
{
    int nobody = 0;
    return __atomic_compare_exchange_n(&lock->owner, &nobody, pmt_thread_id(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void pmt_lock_drop(struct pmt_lock *lock)
{
    if (PMT_UNLIKELY(__atomic_exchange_n(&lock->owner, 0, __ATOMIC_RELEASE) & HAS_WAITERS))
        pmt_sys(SYS_futex, (long)&lock->owner, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

/* Whether the calling thread holds it. */
bool pmt_lock_is_mine(const struct pmt_lock *lock)
{
    return (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) & ~HAS_WAITERS) == pmt_thread_id();
}

/* In a child of fork, where the owner may be a thread that is no more. */
void pmt_lock_reset(struct pmt_lock *lock)
{
    lock->owner = 0;
}
