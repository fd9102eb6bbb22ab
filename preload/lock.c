/* lock.c: a small lock for state that is touched rarely and briefly (a row of the log, a mapped region).
 *
 * It is never held while calling out, so a waiter waits for a few hundred instructions of another thread. A signal
 * handler that comes while its own thread holds the lock is refused (false) instead of waiting for itself. */
#include "core.h"

#include "sys.h"

#include "poison.h"

__thread int pmt_thread_number;

PMT_SLOW int pmt_thread_id_slow(void)
{
    return pmt_thread_number = (int)pmt_sys(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* True: held by the caller now. False: the caller's thread holds it already, further down its stack. */
bool pmt_lock_take(struct pmt_lock *lock)
{
    int self = pmt_thread_id();
    for (int tries = 0;; tries++) {
        int nobody = 0;
        if (__atomic_compare_exchange_n(&lock->owner, &nobody, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
        if (nobody == self)
            return false;
        if (tries >= 64)
            pmt_sys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        else
            __builtin_ia32_pause();
    }
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
    __atomic_store_n(&lock->owner, 0, __ATOMIC_RELEASE);
}

/* In a child of fork, where the owner may be a thread that is no more. */
void pmt_lock_reset(struct pmt_lock *lock)
{
    lock->owner = 0;
}
