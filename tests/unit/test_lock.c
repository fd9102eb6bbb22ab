/* lock.c: one owner at a time, a second take by the same thread is refused, a waiter sleeps, a fork starts afresh. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

static struct pmt_lock lock;
static int64_t protected_sum; /* Protected by lock. */

static void *add_under_lock(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20000; i++) {
        if (!pmt_lock_take(&lock))
            return argument;
        protected_sum++;
        pmt_lock_drop(&lock);
    }
    return NULL;
}

static void one_thread_at_a_time(void **state)
{
    pthread_t threads[4];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_under_lock, &lock), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *refused = NULL;
        pthread_join(threads[i], &refused);
        assert_null(refused);
    }
    assert_int_equal(protected_sum, 20000 * COUNT_OF(threads));
}

static void the_owner_is_refused_a_second_time(void **state)
{
    (void)state;
    assert_true(pmt_lock_take(&lock));
    assert_false(pmt_lock_take(&lock));
    pmt_lock_drop(&lock);
    assert_true(pmt_lock_take(&lock));
    pmt_lock_drop(&lock);
}

static int64_t cpu_ns_of_thread(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* On the processor of the owner, and before it where that is allowed: what it uses there the owner does not get. */
static void *wait_urgently(void *cpu_ns)
{
    int64_t before = cpu_ns_of_thread();
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    if (pmt_lock_take(&lock))
        pmt_lock_drop(&lock);
    *(int64_t *)cpu_ns = cpu_ns_of_thread() - before;
    return NULL;
}

static void a_waiter_leaves_the_processor_to_the_owner(void **state)
{
    pthread_t threads[3];
    int64_t cpu_ns[COUNT_OF(threads)], start = cpu_ns_of_thread();
    cpu_set_t all, one;
    (void)state;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    assert_true(pmt_lock_take(&lock));
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_urgently, &cpu_ns[i]), 0);
    while (cpu_ns_of_thread() - start < 50000000)
        assert_true(pmt_lock_is_mine(&lock));
    pmt_lock_drop(&lock);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_in_range(cpu_ns[i], 0, 10000000);
    }
    sched_setaffinity(0, sizeof all, &all);
    assert_false(pmt_lock_is_mine(&lock));
}

static void a_lock_of_a_gone_owner_can_be_reset(void **state)
{
    struct pmt_lock orphan = {.owner = 1};
    (void)state;
    pmt_lock_reset(&orphan);
    assert_true(pmt_lock_take(&orphan));
}

static void *try_lock(void *argument)
{
    return pmt_lock_try(&lock) ? argument : NULL;
}

static void who_tries_does_not_wait(void **state)
{
    pthread_t thread;
    void *got = NULL;
    (void)state;
    assert_true(pmt_lock_try(&lock));
    assert_false(pmt_lock_try(&lock));
    assert_int_equal(pthread_create(&thread, NULL, try_lock, &lock), 0);
    pthread_join(thread, &got);
    assert_null(got);
    pmt_lock_drop(&lock);
    assert_int_equal(pthread_create(&thread, NULL, try_lock, &lock), 0);
    pthread_join(thread, &got);
    assert_non_null(got);
    pmt_lock_reset(&lock);
}

static void *note_thread_id(void *argument)
{
    *(int *)argument = pmt_thread_id();
    return NULL;
}

static void threads_have_ids_of_their_own(void **state)
{
    pthread_t thread;
    int other = 0, mine = pmt_thread_id();
    (void)state;
    pthread_create(&thread, NULL, note_thread_id, &other);
    pthread_join(thread, NULL);
    assert_true(mine > 0 && other > 0 && mine != other);
    pmt_thread_number = 0; /* as in a child of fork */
    assert_int_equal(pmt_thread_id(), mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time),
        cmocka_unit_test(the_owner_is_refused_a_second_time),
        cmocka_unit_test(a_waiter_leaves_the_processor_to_the_owner),
        cmocka_unit_test(a_lock_of_a_gone_owner_can_be_reset),
        cmocka_unit_test(who_tries_does_not_wait),
        cmocka_unit_test(threads_have_ids_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
