/* capture.c and what it writes through, against FORMAT.md: files are read here by its letter, and compared with a model
 * that keeps every figure the slow way. The tables are the real ones. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account.h"
#include "capture.h"
#include "capture_model.h"
#include "capture_reader.h"

/* ---- a directory for each test */
static char scratch[] = "/tmp/pmt-unit-capture-XXXXXX";
static int directory_number;

static int make_scratch(void **state)
{
    (void)state;
    pmt_pid = getpid();
    pmt_start_unix_ns = 1763633730000000000; /* 251120_101530 */
    pmt_heap = PMT_HEAP_EXACT;
    pmt_rss_start(NULL, NULL);
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

static void configure(const char *snapshot)
{
    static char variable[100];
    static char all[] = "PMT_ALL=1", quiet[] = "PMT_VERBOSE=0";
    char *environment[] = {all, quiet, variable, NULL};
    snprintf(variable, sizeof variable, "PMT_SNAPSHOT=%s", snapshot);
    pmt_config_load(environment, NULL);
    pmt_capture_start(true);
}

static int start_afresh(void **state)
{
    (void)state;
    configure("peak");
    pmt_output_has_directory = false;
    snprintf(pmt_directory, sizeof pmt_directory, "%s/%d/deep", scratch, ++directory_number);
    pmt_site_after_fork();
    pmt_log_after_fork();
    pmt_capture_after_fork();
    return 0;
}

/* A tick, due or not. */
static void tick(void)
{
    pmt_capture_final_reading(); /* without --snapshot exit, nothing more */
}

static void check_model(void)
{
    check_sums();
    assert_int_equal(file.state.owners[1].live_bytes, model_live);
    assert_int_equal(file.state.peak_bytes, model_peak);
    for (uint32_t id = PMT_SITE_FIRST; id < count_sites(); id++) {
        const struct pmt_record_site *record = site_in_file(id);
        assert_int_equal(record->live_bytes, model[id].live);
        assert_int_equal(record->live_blocks, model[id].blocks);
        assert_int_equal(record->total_bytes, model[id].total);
        assert_int_equal(record->total_blocks, model[id].total_blocks);
        assert_int_equal(record->temporary_blocks, model[id].temporary);
        assert_int_equal(peak_of(record), model[id].at_peak);
    }
}

/* ---- what is written */

static void every_tick_is_the_model(void **state)
{
    (void)state;
    for (int round = 0; round < 120; round++) {
        work(round < 60 ? 40 : 5000, round % 3 ? 30 : 3000);
        if (round % 7 == 3) /* down from a peak, so that sites that are not touched have another figure at it */
            release_all(2);
        for (size_t block = 0; block < 100 && round % 7 == 5; block++) /* and up to another at a few others */
            allocate(block, make_site((uint32_t)(6000 + block % 3)), (uint32_t)(60000 + round * 500));
        tick();
        assert_true(load_file(pmt_capture_file()));
        assert_true(file.state.sequence > (uint64_t)round); /* some came when they were due */
        check_model();
    }
    assert_true(count_sites() > 2000); /* several extents */
    assert_int_equal(file.state.lengths[PMT_STREAM_SITES_A + PMT_STREAM_SITES_B - file.state.sites_stream], 0);
}

static void the_state_before_stays_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        work(3000, 500);
        tick();
        assert_true(load_file(pmt_capture_file()));
        uint64_t sequence = file.state.sequence;
        check_model();
        uint32_t count = count_sites(), stream = file.state.sites_stream;
        unsigned char *before = malloc(count * sizeof(struct pmt_record_site));
        memcpy(before, file.streams[stream], count * sizeof(struct pmt_record_site));
        work(3000, 500);
        tick();
        assert_true(load_file(pmt_capture_file()));
        if (file.state.sequence != sequence + 1) { /* one came when it was due */
            free(before);
            continue;
        }
        const struct pmt_capture_state *old = state_in((int)(sequence % 2));
        assert_non_null(old);
        assert_int_equal(old->sequence, sequence);
        load_streams(old);
        assert_memory_equal(before, file.streams[stream], count * sizeof(struct pmt_record_site));
        check_sums();
        free(before);
    }
}

static void sites_have_their_names(void **state)
{
    (void)state;
    uint32_t id = make_site(4321), size;
    allocate(1, id, 100);
    tick();
    assert_true(load_file(pmt_capture_file()));
    const struct pmt_record_node *nodes = (const void *)file.streams[PMT_STREAM_NODES];
    const struct pmt_record_function *functions = (const void *)file.streams[PMT_STREAM_FUNCTIONS];
    const struct pmt_record_node *node = &nodes[site_in_file(id)->node];
    const char *name = string_at(functions[node->function].name, &size);
    assert_memory_equal(name, "function_4321", 13);
    assert_int_equal(size, 13);
    assert_int_equal(node->line, 4321);
    assert_int_equal(nodes[node->parent].line, 7);
    assert_int_equal(nodes[node->parent].parent, PMT_NODE_ROOT);
    release(1);
}

static const char *meta(void)
{
    file.streams[PMT_STREAM_META][file.state.lengths[PMT_STREAM_META]] = '\0';
    return (const char *)file.streams[PMT_STREAM_META];
}

static void meta_tells_the_process(void **state)
{
    static const char arguments[] = "python\0a\nb\\c\0";
    (void)state;
    memcpy(pmt_arguments, arguments, sizeof arguments);
    pmt_arguments_size = sizeof arguments - 1;
    tick();
    pmt_capture_warn("of something");
    tick();
    assert_true(load_file(pmt_capture_file()));
    assert_non_null(strstr(meta(), "version=" PMT_VERSION "\nargv=python\nargv=a\\nb\\\\c\n"));
    assert_non_null(strstr(meta(), "\nheap=exact\n"));
    assert_non_null(strstr(meta(), "\nsites=exact\n"));
    assert_non_null(strstr(meta(), "\noption=PMT_ALL=1\n"));
    assert_null(strstr(meta(), "option=PMT_SITES"));
    assert_string_equal(strstr(meta(), "warning="), "warning=of something\n");
    assert_null(strstr(meta(), "python="));
    struct stat st;
    stat(pmt_capture_file(), &st);
    assert_int_equal(st.st_mode & 0777, 0600);
    pmt_arguments_size = 0;
}

/* ---- marks */

static void marks_are_written_and_bounded(void **state)
{
    (void)state;
    pmt_capture_mark(PMT_MARK_POINT, "first", 5, 1234);
    tick();
    for (int i = 1; i < 65536 + 10; i++)
        pmt_capture_mark(PMT_MARK_LABEL_BEGIN, "label", 5, i);
    tick();
    pmt_capture_mark(PMT_MARK_POINT, "late", 4, 1);
    tick();
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(file.state.lengths[PMT_STREAM_MARKS], 65536 * sizeof(struct pmt_record_mark));
    assert_int_equal(file.state.lost_marks, 11);
    const struct pmt_record_mark *marks = (const void *)file.streams[PMT_STREAM_MARKS];
    uint32_t size;
    assert_memory_equal(string_at(marks[0].name, &size), "first", 5);
    assert_int_equal(marks[0].memory, 1234);
    assert_int_equal(marks[0].thread, 0);
    for (int i = 1; i < 65536; i++)
        assert_true(marks[i].memory == i && marks[i].kind == PMT_MARK_LABEL_BEGIN &&
                    marks[i].time_ns >= marks[i - 1].time_ns);
}

/* ---- snapshots */

static void a_process_ends_with_a_snapshot(void **state)
{
    (void)state;
    configure("peak,exit");
    work(1000, 1000);
    pmt_capture_final_reading();
    int64_t live = model_live;
    work(1000, 1000);
    pmt_capture_end(3);
    assert_true(load_file(pmt_capture_file()));
    check_model();
    assert_int_equal(file.state.ended, PMT_ENDED_EXIT);
    assert_int_equal(file.state.exit_status, 3);
    const struct pmt_record_snapshot *snapshot;
    next_snapshot(next_snapshot(0, &snapshot), &snapshot); /* behind that of the fork */
    assert_int_equal(file.state.exit_snapshot, 2);
    assert_int_equal(snapshot->kind, PMT_SNAPSHOT_EXIT);
    assert_int_equal(snapshot->live_bytes[1], live);
    assert_int_equal(count_snapshots(PMT_SNAPSHOT_EXIT), 1);
    assert_int_equal(file.size % PMT_EXTENT_SIZE, PMT_CAPTURE_HEADER_SIZE); /* cut to what is used */
}

static void a_failed_exec_goes_on(void **state)
{
    (void)state;
    pmt_capture_exec();
    assert_null(pmt_capture_file()); /* a child of fork that has written nothing */
    tick();
    pmt_capture_exec();
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(file.state.ended, PMT_ENDED_EXEC);
    assert_int_equal(file.state.exit_snapshot, 0);
    work(100, 100);
    tick();
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(file.state.ended, PMT_ENDED_RUNNING);
    check_model();
}

static void growth_takes_snapshots(void **state)
{
    (void)state;
    configure("+64K,80%");
    release_all(1);
    pmt_capture_after_fork(); /* with nothing inherited */
    for (size_t block = 0; block < 80 * 70; block++) {
        allocate(block, make_site((uint32_t)block % 50), 1000);
        if (block % 70 == 0)
            tick();
    }
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(count_snapshots(PMT_SNAPSHOT_GROWTH), 64);
    assert_true(file.state.lost_snapshots > 5);
}

static void a_child_of_fork_says_what_it_inherited(void **state)
{
    (void)state;
    work(1000, 3000);
    tick();
    char parent[PMT_PATH_SIZE];
    snprintf(parent, sizeof parent, "%s", pmt_capture_file());
    assert_true(load_file(parent));
    int64_t live = model_live;
    pmt_pid++;
    pmt_site_after_fork();
    pmt_capture_after_fork();
    pmt_pid--; /* which the system would say */
    assert_null(pmt_capture_file());
    work(1000, 3000);
    tick();
    assert_string_not_equal(pmt_capture_file(), parent);
    assert_true(load_file(pmt_capture_file()));
    check_model();
    assert_int_equal(file.state.sequence, 1);
    assert_int_equal(file.state.inherited_bytes, live);
    assert_int_equal(count_snapshots(PMT_SNAPSHOT_FORK), 1);
    const struct pmt_record_snapshot *snapshot;
    next_snapshot(0, &snapshot);
    assert_int_equal(snapshot->live_bytes[1], live);
    tick(); /* the other stream of sites knows nothing yet either */
    assert_true(load_file(pmt_capture_file()));
    check_model();
}

/* ---- when */

static void ticks_come_when_they_are_due(void **state)
{
    (void)state;
    pmt_capture_tick();
    assert_null(pmt_capture_file());
    usleep(30000);
    pmt_capture_tick(); /* nothing has moved */
    assert_null(pmt_capture_file());
    pmt_tally_mine->countdown = 100; /* no allocation below looks at the clock */
    for (size_t block = 0; block < 20; block++)
        allocate(block, make_site(1), 120000);
    usleep(20000);
    pmt_capture_tick();
    assert_non_null(pmt_capture_file());
    for (int i = 0; i < 1000; i++)
        pmt_capture_tick();
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(file.state.sequence, 1);
    for (int i = 0; i < 100 && file.state.sequence == 1; i++) { /* later than 100 ms, if the first took long */
        usleep(110000);
        pmt_capture_tick();
        assert_true(load_file(pmt_capture_file()));
    }
    assert_int_equal(file.state.sequence, 2);
    check_model();
}

static void tick_in_handler(int number)
{
    (void)number;
    pmt_capture_tick();
}

static void a_small_stack_takes_no_tick(void **state)
{
    static char stack[16384];
    stack_t ours = {.ss_sp = stack, .ss_size = sizeof stack}, before;
    struct sigaction on_stack = {.sa_handler = tick_in_handler, .sa_flags = SA_ONSTACK}, off = {.sa_handler = SIG_DFL};
    (void)state;
    sigaltstack(&ours, &before);
    sigaction(SIGUSR1, &on_stack, NULL);
    usleep(200000);
    raise(SIGUSR1);
    assert_null(pmt_capture_file());
    pmt_capture_tick();
    assert_non_null(pmt_capture_file());
    sigaction(SIGUSR1, &off, NULL);
    sigaltstack(&before, NULL);
}

/* ---- what may happen to a file */

static void the_log_and_the_capture_share_a_stem(void **state)
{
    static char path[4 * PMT_PATH_SIZE];
    struct pmt_output log = {.kept = PMT_KEPT_NONE};
    (void)state;
    snprintf(path, sizeof path, "mkdir -p %s; : > %s/251120_101530_%d.log; : > %s/251120_101530_%d-1.pmt",
             pmt_directory, pmt_directory, pmt_pid, pmt_directory, pmt_pid);
    assert_int_equal(system(path), 0);
    tick();
    snprintf(path, sizeof path, "%s/251120_101530_%d-2.pmt", pmt_directory, pmt_pid);
    assert_string_equal(pmt_capture_file(), path);
    assert_int_equal(pmt_output_create(&log, PMT_OUTPUT_LOG), 0);
    snprintf(path, sizeof path, "%s/251120_101530_%d-2.log", pmt_directory, pmt_pid);
    assert_string_equal(log.path, path);
    pmt_keep_close(&log.kept);
}

static void a_closed_descriptor_is_opened_again(void **state)
{
    (void)state;
    work(500, 500);
    tick();
    int mine = open(scratch, O_RDONLY | O_DIRECTORY), victim = dup(mine);
    for (int fd = victim + 1; fd < 40000; fd++)
        close(fd);
    work(500, 500);
    tick();
    assert_true(load_file(pmt_capture_file()));
    assert_int_equal(file.state.sequence, 2);
    check_model();
    close(victim);
    close(mine);
}

static void a_file_of_others_is_not_written_to(void **state)
{
    char path[PMT_PATH_SIZE], other[PMT_PATH_SIZE + 8], line[100] = "";
    (void)state;
    tick();
    snprintf(path, sizeof path, "%s", pmt_capture_file());
    snprintf(other, sizeof other, "%s.old", path);
    assert_int_equal(rename(path, other), 0);
    FILE *fresh = fopen(path, "w");
    fputs("mine", fresh);
    fclose(fresh);
    for (int fd = 3; fd < 40000; fd++)
        close(fd);
    work(500, 500);
    tick();
    fresh = fopen(path, "r");
    assert_non_null(fgets(line, sizeof line, fresh));
    assert_string_equal(line, "mine");
    fclose(fresh);
    assert_true(load_file(other));
    assert_int_equal(file.state.sequence, 1);
}

/* The limit is met while the file is made, or later; its default action would end this process. */
static void the_file_size_limit_is_kept(void **state)
{
    struct rlimit before, limit;
    (void)state;
    getrlimit(RLIMIT_FSIZE, &before);
    for (rlim_t size = 1000; size < 4000000; size = size * 5 / 4) {
        limit = (struct rlimit){size, before.rlim_max};
        start_afresh(NULL);
        setrlimit(RLIMIT_FSIZE, &limit);
        for (int round = 0; round < 12; round++) {
            work(5000, 1000);
            tick();
        }
        setrlimit(RLIMIT_FSIZE, &before);
        if (!pmt_capture_file())
            continue;
        assert_true(load_file(pmt_capture_file()));
        assert_true(file.size <= size);
        check_sums();
    }
    check_model(); /* the last one had room */
}

/* ---- threads */

#define THREADS 4

/* Without a GIL: the sites' other bank. */
static void *allocate_for_a_while(void *argument)
{
    size_t first = (size_t)(uintptr_t)argument * 1000;
    for (int round = 0; round < 200; round++) {
        for (size_t i = first; i < first + 1000; i++)
            pmt_account_new((char *)address_of(i) + 32, 24, PMT_OWNER_PYTHON,
                            (struct pmt_here){PMT_SITE_FIRST + i % 100, false}, true);
        for (size_t i = first; i < first + 1000 && round < 199; i++)
            pmt_account_gone((char *)address_of(i) + 32, PMT_GIL_ASK, true);
    }
    return NULL;
}

static void threads_go_on_meanwhile(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    work(500, 2000);
    address_of(0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_for_a_while, (void *)(uintptr_t)i), 0);
    for (int i = 0; i < 300; i++)
        tick();
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    tick();
    assert_true(load_file(pmt_capture_file()));
    int64_t live = 0, total = 0;
    for (uint32_t id = PMT_SITE_FIRST; id < count_sites(); id++) {
        live += site_in_file(id)->live_blocks - model[id].blocks;
        total += (int64_t)site_in_file(id)->total_blocks - model[id].total_blocks;
    }
    assert_int_equal(live, THREADS * 1000);
    assert_int_equal(total, THREADS * 1000 * 200);
    assert_int_equal(site_in_file(0)->live_bytes, 0);
}

/* ---- ends at any moment */

static struct shared {
    uint64_t done; /* ticks */
    char path[PMT_PATH_SIZE];
} * shared;

static void tick_for_ever(void)
{
    pmt_pid = getpid();
    pmt_thread_number = 0;
    pmt_site_after_fork();
    pmt_capture_after_fork();
    for (;;) {
        work(2000, 300);
        tick();
        if (shared->done == 0)
            strcpy(shared->path, pmt_capture_file());
        shared->done++;
    }
}

static void a_kill_leaves_the_last_tick(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int kill_number = 0; kill_number < 100; kill_number++) {
        memset(shared, 0, sizeof *shared);
        pid_t child = fork();
        if (child == 0)
            tick_for_ever();
        while (*(volatile uint64_t *)&shared->done == 0)
            usleep(200);
        usleep((useconds_t)(next_random(&seed) % 2000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_true(load_file(shared->path));
        assert_true(file.state.sequence == shared->done || file.state.sequence == shared->done + 1);
        assert_int_equal(file.state.ended, PMT_ENDED_RUNNING);
        check_sums();
        unlink(shared->path);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, start_afresh)
    const struct CMUnitTest tests[] = {
        TEST(every_tick_is_the_model),
        TEST(the_state_before_stays_whole),
        TEST(sites_have_their_names),
        TEST(meta_tells_the_process),
        TEST(marks_are_written_and_bounded),
        TEST(a_process_ends_with_a_snapshot),
        TEST(a_failed_exec_goes_on),
        TEST(growth_takes_snapshots),
        TEST(a_child_of_fork_says_what_it_inherited),
        TEST(ticks_come_when_they_are_due),
        TEST(a_small_stack_takes_no_tick),
        TEST(the_log_and_the_capture_share_a_stem),
        TEST(a_closed_descriptor_is_opened_again),
        TEST(a_file_of_others_is_not_written_to),
        TEST(the_file_size_limit_is_kept),
        TEST(a_kill_leaves_the_last_tick),
        TEST(threads_go_on_meanwhile), /* last: the model does not know what they did */
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
