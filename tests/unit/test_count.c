/* count.c: the sums over threads that come and go, and the call that work is hung on. */
#include "unit.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 20000

static void check_total(int64_t want_bytes, int64_t want_blocks)
{
    struct pmt_net total = pmt_count_total(PMT_OWNER_NATIVE);
    assert_int_equal(total.bytes, want_bytes);
    assert_int_equal(total.blocks, want_blocks);
}

static void count(int64_t bytes, int64_t blocks)
{
    enum pmt_flow flow = bytes < 0 ? PMT_FREED : PMT_ALLOCATED;
    pmt_count(PMT_OWNER_NATIVE, flow, bytes < 0 ? -bytes : bytes, bytes < 0 ? -blocks : blocks);
}

static void one_thread_adds_up(void **state)
{
    (void)state;
    check_total(0, 0);
    count(64, 1);
    count(INT64_C(1) << 40, 1);
    check_total((INT64_C(1) << 40) + 64, 2);
    count(-(INT64_C(1) << 40), -1);
    count(-64, -1);
    check_total(0, 0);
}

static void owners_are_counted_apart(void **state)
{
    (void)state;
    count(64, 1);
    pmt_count(PMT_OWNER_PYTHON, PMT_ALLOCATED, 1000, 3);
    struct pmt_net python = pmt_count_total(PMT_OWNER_PYTHON);
    assert_int_equal(python.bytes, 1000);
    assert_int_equal(python.blocks, 3);
    check_total(64, 1);
    pmt_count(PMT_OWNER_PYTHON, PMT_FREED, 1000, 3);
    count(-64, -1);
    check_total(0, 0);
}

static void *add_many(void *argument)
{
    int64_t mine = (int64_t)(uintptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        count(mine, 1);
        if (i % 3)
            count(-mine, -1);
    }
    return NULL;
}

static void run_threads(size_t count, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)(i + 1)), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void threads_that_ended_are_counted(void **state)
{
    int64_t kept = (ROUNDS + 2) / 3, sum = THREADS * (THREADS + 1) / 2;
    (void)state;
    run_threads(THREADS, add_many);
    check_total(kept * sum, kept * THREADS);
    count(-kept * sum, -kept * THREADS); /* freed by another thread */
    check_total(0, 0);
}

/* Reading while others add: every total is one that could have been, and the last is exact. */
static void totals_can_be_read_meanwhile(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, add_many, (void *)1), 0);
    for (int i = 0; i < 2000; i++) {
        struct pmt_net total = pmt_count_total(PMT_OWNER_NATIVE);
        assert_in_range(total.bytes, 0, ROUNDS);
        assert_in_range(total.blocks, 0, ROUNDS);
    }
    pthread_join(thread, NULL);
    check_total((ROUNDS + 2) / 3, (ROUNDS + 2) / 3);
    count(-(ROUNDS + 2) / 3, -(ROUNDS + 2) / 3);
}

static struct pmt_tally *seen[500];

static void *note_tally(void *argument)
{
    count(1, 1);
    seen[(uintptr_t)argument] = pmt_tally_mine;
    return NULL;
}

static void short_threads_share_tallies(void **state)
{
    size_t distinct = 0;
    (void)state;
    for (uintptr_t i = 0; i < COUNT_OF(seen); i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, note_tally, (void *)i), 0);
        pthread_join(thread, NULL);
        assert_non_null(seen[i]);
        assert_ptr_not_equal(seen[i], pmt_tally_mine);
        size_t k = 0;
        while (k < i && seen[k] != seen[i])
            k++;
        distinct += k == i;
    }
    assert_int_equal(distinct, 1);
    check_total(COUNT_OF(seen), COUNT_OF(seen));
    count(-(int64_t)COUNT_OF(seen), -(int64_t)COUNT_OF(seen));
}

#define MANY 150 /* more threads at once than a chunk of tallies holds */

static pthread_barrier_t all_there;

static void *count_and_wait(void *argument)
{
    count(10, 1);
    seen[(uintptr_t)argument] = pmt_tally_mine;
    pthread_barrier_wait(&all_there);
    return NULL;
}

static void every_thread_has_a_tally_of_its_own(void **state)
{
    pthread_t threads[MANY];
    (void)state;
    pthread_barrier_init(&all_there, NULL, MANY);
    for (uintptr_t i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_and_wait, (void *)i), 0);
    for (size_t i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_there);
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(seen[i]);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(seen[k], seen[i]);
    }
    check_total(10 * MANY, MANY);
    count(-10 * MANY, -MANY);
}

static pthread_key_t late_key;

static void count_late(void *rounds)
{
    count(7, 1);
    if ((uintptr_t)rounds > 1)
        pthread_setspecific(late_key, (void *)((uintptr_t)rounds - 1));
}

static void *end_late(void *argument)
{
    (void)argument;
    count(7, 1);
    pthread_setspecific(late_key, (void *)3);
    return NULL;
}

/* Destructors of thread-specific data run in several rounds, after ours too. */
static void calls_of_late_destructors_are_counted(void **state)
{
    (void)state;
    pthread_key_create(&late_key, count_late);
    run_threads(THREADS, end_late);
    check_total(4 * 7 * THREADS, 4 * THREADS);
    count(-4 * 7 * THREADS, -4 * THREADS);
    pthread_key_delete(late_key);
}

static int calls;

static void note_call(void)
{
    calls++;
    count(5, 1); /* work may allocate */
}

static void work_is_done_in_the_next_call_once(void **state)
{
    (void)state;
    calls = 0;
    pmt_count_when_next_called(note_call);
    assert_int_equal(calls, 0);
    count(1, 1);
    assert_int_equal(calls, 1);
    count(1, 1);
    assert_int_equal(calls, 1);
    check_total(7, 3);
    pmt_count_when_next_called(note_call);
    pmt_count_when_next_called(note_call);
    count(-12, -4);
    assert_int_equal(calls, 2);
    check_total(0, 0);
}

static void a_child_keeps_the_sums_and_goes_on(void **state)
{
    (void)state;
    count(100, 2);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pmt_count_after_fork();
        count(-40, -1);
        struct pmt_net total = pmt_count_total(PMT_OWNER_NATIVE);
        _exit(total.bytes == 60 && total.blocks == 1 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_total(100, 2);
    count(-100, -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_adds_up),
        cmocka_unit_test(owners_are_counted_apart),
        cmocka_unit_test(threads_that_ended_are_counted),
        cmocka_unit_test(totals_can_be_read_meanwhile),
        cmocka_unit_test(short_threads_share_tallies),
        cmocka_unit_test(every_thread_has_a_tally_of_its_own),
        cmocka_unit_test(calls_of_late_destructors_are_counted),
        cmocka_unit_test(work_is_done_in_the_next_call_once),
        cmocka_unit_test(a_child_keeps_the_sums_and_goes_on),
    };
    pmt_count_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
