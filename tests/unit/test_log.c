/* log.c against EVENT-LOG.md: rows rendered here by its printf formats, rules applied here by its pseudo code, on given
 * RSS readings. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define EVENTS 400
#define ROW "%-12zu +%-6ld %-12.6f %-8s %-79s #%4d %-32s %12zu %12ld"

/* ---- places, as pyhooks/ would give them */
struct place {
    const char *file, *function;
    int holders;
};

static void put_file(struct pmt_text *text, const void *place)
{
    const char *name = ((const struct place *)place)->file;
    pmt_text_name(text, name, strlen(name));
}

static void put_function(struct pmt_text *text, const void *place)
{
    const char *name = ((const struct place *)place)->function;
    pmt_text_name(text, name, strlen(name));
}

static int line_of(const void *place, int64_t position)
{
    (void)place;
    return (int)position;
}

static void hold(void *place)
{
    ((struct place *)place)->holders++;
}

static void release(void *place)
{
    ((struct place *)place)->holders--;
}

static const struct pmt_namer namer = {put_file, put_function, line_of, hold, release, NULL};
static char long_name[5001];
static struct place places[] = {{"app.py", "main", 0},
                                {"/usr/lib/python3/dist-packages/a.py", "функция", 0},
                                {"", "<module>", 0},
                                {long_name, "f", 0}};

/* ---- a directory for each test, RSS readings from a file */
static char scratch[] = "/tmp/pmt-unit-log-XXXXXX";
static char path[PMT_PATH_SIZE + 64];
static int64_t readings[EVENTS];

static int make_scratch(void **state)
{
    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    pmt_pid = getpid();
    pmt_start_unix_ns = 1763633730000000000; /* 251120_101530 */
    pmt_config_load(NULL, NULL);
    pmt_log_start(&namer);
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

static int start_afresh(void **state)
{
    static int number;
    (void)state;
    pmt_log_after_fork();
    pmt_output_has_directory = false;
    snprintf(pmt_directory, sizeof pmt_directory, "%s/%d/deep", scratch, ++number);
    snprintf(path, sizeof path, "%s/251120_101530_%d.log", pmt_directory, pmt_pid);
    pmt_config.threshold = 0;
    pmt_config.log_max = 256 << 20;
    pmt_config.verbose = PMT_VERBOSE_SILENT;
    return 0;
}

static void use_readings(const int64_t *values, size_t count)
{
    char replay[PMT_PATH_SIZE];
    snprintf(replay, sizeof replay, "%s/readings", scratch);
    FILE *file = fopen(replay, "w");
    assert_non_null(file);
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%jd\n", (intmax_t)values[i]);
    fclose(file);
    pmt_rss_start(NULL, replay);
}

/* Steps of -3 to 3 pages, mostly none. */
static void use_random_readings(uint64_t seed)
{
    int64_t rss = 5000 * PAGE;
    for (size_t i = 0; i < EVENTS; i++) {
        uint64_t random = next_random(&seed);
        rss += random % 3 ? 0 : ((int64_t)(random >> 8) % 7 - 3) * PAGE;
        readings[i] = rss;
    }
    use_readings(readings, EVENTS);
}

/* The event number i of every test: of varying kind, place and thread. */
static struct pmt_event event_at(size_t i)
{
    struct pmt_event event = {
        .what = (enum pmt_what)(i * 7 % 5), .position = (int64_t)(i * 37 % 2000), .place = &places[i % 3]};
    if (event.what >= PMT_C_CALL)
        event.c_name = i % 2 ? "append" : "len";
    event.thread = i % 11 == 3 ? 4711 : 0;
    return event;
}

static void log_one(const struct pmt_event *event)
{
    pmt_log_event(event->what, event->thread, event->place, event->position, event->c_name);
}

static void log_events(size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        struct pmt_event event = event_at(i);
        log_one(&event);
    }
}

/* ---- the model */
static char expected[1 << 20], got[1 << 20];
static size_t expected_size;

static void expect(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void expect(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    expected_size += (size_t)vsnprintf(expected + expected_size, sizeof expected - expected_size, format, values);
    va_end(values);
    assert_true(expected_size < sizeof expected);
}

static void expect_header(void)
{
    expected_size = 0;
    expect("      %-12s %-6s  %-12s %-8s %-79s #%4s %-32s %12s %12s\n", "Event", "dEvent", "Clock", "What", "File",
           "line", "Function", "RSS", "dRSS");
}

static void expect_row(const char *label, size_t n, size_t last_logged)
{
    static const char *const names[] = {"CALL", "RETURN", "C_CALL", "C_RETURN", "C_EXCEPT"};
    struct pmt_event event = event_at(n);
    const struct place *place = event.place;
    expect("%s" ROW, label, n, (long)(n - last_logged), 0.0, names[event.what], *place->file ? place->file : "-",
           (int)event.position, event.c_name ? event.c_name : place->function, (size_t)readings[n],
           (long)(readings[n] - (n ? readings[n - 1] : 0)));
    expect(event.thread ? "  thread=%d\n" : "\n", event.thread);
}

/* EVENT-LOG.md, "Rules". Returns the number of rows. */
static uint64_t expect_log(size_t count, int64_t threshold)
{
    size_t last_logged = 0;
    int64_t logged_rss = 0;
    uint64_t rows = 0;
    expect_header();
    for (size_t n = 0; n < count; n++) {
        int64_t before = n == 0 ? 0 : threshold > 1 ? logged_rss : readings[n - 1];
        if (n > 0 && llabs(readings[n] - before) < threshold * PAGE)
            continue;
        if (n - last_logged > 1) {
            expect_row("PREV: ", n - 1, last_logged);
            rows++;
        }
        expect_row("NEXT: ", n, last_logged);
        last_logged = n;
        logged_rss = readings[n];
        rows++;
    }
    return rows;
}

/* Reads the log; the clock of every row is checked to be a time not before the last, and set to 0. */
static size_t read_log(void)
{
    int fd = open(path, O_RDONLY);
    double last = 0;
    assert_true(fd >= 0);
    ssize_t size = read(fd, got, sizeof got - 1);
    close(fd);
    assert_true(size >= 0);
    got[size] = '\0';
    for (char *line = strchr(got, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        double clock = -1;
        assert_int_equal(sscanf(line, "%*s %*u +%*u %lf", &clock), 1);
        assert_true(clock >= last && clock < 1000);
        last = clock;
        memcpy(strchr(line, '+') + 8, "0.000000    ", 12);
    }
    return (size_t)size;
}

static void check_log(void)
{
    assert_int_equal(read_log(), expected_size);
    assert_string_equal(got, expected);
}

static void rows_follow_the_rules(void **state)
{
    static const int64_t thresholds[] = {0, 1, 2, 3, 10};
    uint64_t rows, lost;
    for (size_t i = 0; i < COUNT_OF(thresholds) * 4; i++) {
        start_afresh(state);
        pmt_config.threshold = thresholds[i / 4];
        use_random_readings(i + 1);
        log_events(0, EVENTS);
        pmt_log_finish();
        uint64_t want = expect_log(EVENTS, pmt_config.threshold);
        check_log();
        assert_string_equal(pmt_log_file(&rows, &lost), path);
        assert_int_equal(rows, want);
        assert_int_equal(lost, 0);
    }
}

static void the_file_is_whole_after_every_event(void **state)
{
    (void)state;
    use_random_readings(99);
    for (size_t i = 0; i < 50; i++) {
        log_events(i, i + 1);
        expect_log(i + 1, 0);
        check_log();
    }
}

static void only_the_previous_place_is_held(void **state)
{
    int holders = 0;
    (void)state;
    use_random_readings(7);
    log_events(0, EVENTS);
    for (size_t i = 0; i < COUNT_OF(places); i++)
        holders += places[i].holders;
    assert_int_equal(holders, 1);
}

static void the_file_is_private_and_never_another(void **state)
{
    struct stat st;
    (void)state;
    use_random_readings(5);
    log_events(0, 3);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    pmt_log_after_fork(); /* a process of the same second and number */
    log_events(0, 1);
    snprintf(path, sizeof path, "%s/251120_101530_%d-1.log", pmt_directory, pmt_pid);
    assert_int_equal(stat(path, &st), 0);
}

static void a_name_longer_than_any_buffer_is_written_whole(void **state)
{
    struct pmt_event event = {.what = PMT_CALL, .position = 1, .place = &places[3]};
    (void)state;
    readings[0] = 10 * PAGE;
    use_readings(readings, 1);
    log_one(&event);
    expect_header();
    expect("NEXT: " ROW "\n", (size_t)0, 0L, 0.0, "CALL", long_name, 1, "f", (size_t)(10 * PAGE), 10L * PAGE);
    check_log();
}

static void a_closed_descriptor_is_opened_again(void **state)
{
    (void)state;
    use_random_readings(11);
    log_events(0, 10);
    closefrom(3);
    log_events(10, 20);
    expect_log(20, 0);
    check_log();
}

static void a_descriptor_taken_over_is_not_written_to(void **state)
{
    char other[PMT_PATH_SIZE];
    struct stat st;
    (void)state;
    use_random_readings(12);
    log_events(0, 10);
    snprintf(other, sizeof other, "%s/other", scratch);
    int fd = open(other, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int number = 64; number < 5000; number++)
        if (fcntl(number, F_GETFD) != -1)
            dup2(fd, number);
    log_events(10, 20);
    expect_log(20, 0);
    check_log();
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    closefrom(3);
}

static void past_the_size_limit_rows_are_counted(void **state)
{
    uint64_t rows, lost;
    (void)state;
    pmt_config.log_max = 8192;
    use_random_readings(13);
    log_events(0, EVENTS);
    pmt_log_finish();
    assert_true(read_log() <= 8192);
    assert_non_null(pmt_log_file(&rows, &lost));
    assert_true(rows > 10);
    assert_int_equal(rows + lost, EVENTS);
    const char *limit = strstr(got, "MSG:  "), *end = limit ? strstr(limit + 1, "MSG:  ") : NULL;
    assert_non_null(limit);
    assert_non_null(strstr(limit, "PMT_LOG_MAX"));
    assert_non_null(end);
    char number[24];
    snprintf(number, sizeof number, "# %ju ", (uintmax_t)lost);
    assert_non_null(strstr(end, number));
    *strchr(got, 'M') = '\0'; /* before the first message: the rows as ever */
    expect_log(rows, 0);
    assert_memory_equal(got, expected, expected_size);
}

static void past_the_systems_file_size_rows_are_lost_and_counted(void **state)
{
    struct rlimit before, small;
    uint64_t rows, lost;
    (void)state;
    use_random_readings(14);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){5000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small); /* SIGXFSZ would end this test */
    log_events(0, 100);
    pmt_log_finish();
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(read_log() <= 5000);
    assert_non_null(pmt_log_file(&rows, &lost));
    assert_int_equal(rows + lost, 100);
    expect_log(rows, 0);
    assert_memory_equal(got, expected, expected_size);
}

static void a_directory_that_cannot_be_made_is_no_log(void **state)
{
    uint64_t rows, lost;
    (void)state;
    pmt_output_has_directory = false;
    snprintf(pmt_directory, sizeof pmt_directory, "/dev/null/x");
    use_random_readings(15);
    log_events(0, 10);
    pmt_log_finish();
    assert_null(pmt_log_file(&rows, &lost));
    assert_int_equal(rows, 0);
}

static void a_child_writes_a_file_of_its_own(void **state)
{
    struct stat before, after;
    int status = -1;
    (void)state;
    use_random_readings(16);
    log_events(0, 10);
    assert_int_equal(stat(path, &before), 0);
    pid_t child = fork();
    if (child == 0) {
        pmt_pid = getpid();
        pmt_rss_forget(); /* as life.c does: the rings of the gate are not mapped here */
        pmt_log_after_fork();
        use_random_readings(16);
        log_events(0, 5);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    snprintf(path, sizeof path, "%s/251120_101530_%d.log", pmt_directory, (int)child);
    expect_log(5, 0);
    check_log();
}

#define AFRESH(test) cmocka_unit_test_setup(test, start_afresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AFRESH(rows_follow_the_rules),
        AFRESH(the_file_is_whole_after_every_event),
        AFRESH(only_the_previous_place_is_held),
        AFRESH(the_file_is_private_and_never_another),
        AFRESH(a_name_longer_than_any_buffer_is_written_whole),
        AFRESH(a_closed_descriptor_is_opened_again),
        AFRESH(a_descriptor_taken_over_is_not_written_to),
        AFRESH(past_the_size_limit_rows_are_counted),
        AFRESH(past_the_systems_file_size_rows_are_lost_and_counted),
        AFRESH(a_directory_that_cannot_be_made_is_no_log),
        AFRESH(a_child_writes_a_file_of_its_own),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
