/* gate.c: what opens it, and that its rings come and go without leaving anything. Without perf events, what is left. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has_rings;

/* Rings of perf events that are mapped into this process. */
static int count_rings(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        count += strstr(line, "[perf_event]") != NULL;
    fclose(maps);
    return count;
}

/* Asks until the gate is closed, which it is but for a millisecond's worth of clock. */
static void close_gate(void)
{
    for (int i = 0; i < 1000 && pmt_gate_has_moved(); i++)
        ;
}

static int find_out(void **state)
{
    (void)state;
    pmt_gate_has_moved();
    has_rings = count_rings() > 0;
    if (!has_rings)
        print_message("perf events are not allowed here: what needs them is skipped\n");
    pmt_gate_stop();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pmt_gate_stop();
    unsetenv("PMT_TEST_GATE");
    return 0;
}

static void a_touch_opens_it_once(void **state)
{
    int open = 0;
    (void)state;
    close_gate();
    for (int i = 0; i < 100; i++) {
        pmt_gate_touch();
        assert_true(pmt_gate_has_moved());
        open += pmt_gate_has_moved();
    }
    assert_in_range(open, 0, 50); /* but for the clock */
}

static void a_page_fault_opens_it(void **state)
{
    enum { PAGES = 100 };
    (void)state;
    if (!has_rings)
        skip();
    volatile char *memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PAGES; i++) {
        close_gate();
        memory[i * 4096] = 1;
        assert_true(pmt_gate_has_moved());
    }
    munmap((void *)(uintptr_t)memory, PAGES * 4096);
}

static void a_millisecond_opens_it(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        close_gate();
        for (clock_t end = clock() + CLOCKS_PER_SEC / 400; clock() < end;)
            ;
        bool has_moved = false;
        for (int events = 0; events < 32; events++)
            has_moved |= pmt_gate_has_moved();
        assert_true(has_moved);
    }
}

static void *see_an_event(void *rings)
{
    pmt_gate_has_moved();
    *(int *)rings = count_rings();
    pmt_gate_thread_ends();
    return NULL;
}

static void rings_go_when_it_stops(void **state)
{
    int first = 0;
    (void)state;
    if (!has_rings)
        skip();
    for (int i = 0; i < 5; i++) {
        pmt_gate_has_moved();
        first = first ? first : count_rings();
        assert_int_equal(count_rings(), first);
        pmt_gate_stop();
        assert_int_equal(count_rings(), 0);
    }
}

/* Of each thread: opened at its first event, gone with it; a pair from before a stop goes when there is a new one. */
static void rings_of_threads_go_with_them(void **state)
{
    (void)state;
    if (!has_rings)
        skip();
    setenv("PMT_TEST_GATE", "threads", 1);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        int rings = 0;
        pmt_gate_has_moved();
        assert_int_equal(count_rings(), 2);
        pthread_create(&thread, NULL, see_an_event, &rings);
        pthread_join(thread, NULL);
        assert_int_equal(rings, 4);
        assert_int_equal(count_rings(), 2);
        pmt_gate_stop();
        assert_int_equal(count_rings(), 0);
    }
}

static pthread_barrier_t barrier;

static void *see_events_before_and_after_a_stop(void *rings)
{
    pmt_gate_has_moved();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    pmt_gate_has_moved();
    *(int *)rings = count_rings();
    pmt_gate_thread_ends();
    return NULL;
}

static void a_stop_leaves_no_rings_to_another_thread(void **state)
{
    pthread_t thread;
    int rings = 0;
    (void)state;
    if (!has_rings)
        skip();
    setenv("PMT_TEST_GATE", "threads", 1);
    pmt_gate_has_moved();
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, see_events_before_and_after_a_stop, &rings);
    pthread_barrier_wait(&barrier);
    pmt_gate_stop();
    pmt_gate_has_moved();
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    assert_int_equal(rings, 4);
    assert_int_equal(count_rings(), 2);
}

/* The child has other memory where the parent's rings are. */
static void a_child_leaves_the_addresses_of_its_parents_rings_alone(void **state)
{
    (void)state;
    setenv("PMT_TEST_GATE", "threads", 1);
    pmt_gate_has_moved();
    pid_t child = fork();
    if (child == 0) {
        unsigned char *memory[64];
        for (size_t i = 0; i < COUNT_OF(memory); i++) {
            memory[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memory[i][0] = (unsigned char)i;
        }
        pmt_gate_after_fork();
        pmt_gate_has_moved();
        pmt_gate_thread_ends();
        for (size_t i = 0; i < COUNT_OF(memory); i++)
            if (memory[i][0] != i)
                _exit(1);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void without_perf_events_the_counter_is_its_clock(void **state)
{
    setenv("PMT_TEST_GATE", "forbidden", 1);
    a_touch_opens_it_once(state);
    assert_int_equal(count_rings(), 0);
    a_millisecond_opens_it(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_touch_opens_it_once, stop),
        cmocka_unit_test_teardown(a_page_fault_opens_it, stop),
        cmocka_unit_test_teardown(a_millisecond_opens_it, stop),
        cmocka_unit_test_teardown(rings_go_when_it_stops, stop),
        cmocka_unit_test_teardown(rings_of_threads_go_with_them, stop),
        cmocka_unit_test_teardown(a_stop_leaves_no_rings_to_another_thread, stop),
        cmocka_unit_test_teardown(a_child_leaves_the_addresses_of_its_parents_rings_alone, stop),
        cmocka_unit_test_teardown(without_perf_events_the_counter_is_its_clock, stop),
    };
    return cmocka_run_group_tests(tests, find_out, NULL);
}
