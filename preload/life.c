/* life.c: the library's life in its process.
 *
 *    OFF --constructor--> ON --end of the process--> STOPPED        a forked child starts again at ON, with files of
 * its own
 *
 *    end: main returns, exit -> on_exit handler        quick_exit -> at_quick_exit handler
 *         _exit, _Exit -> notice.c                     signals: no handler; what is written is written
 *
 * The on_exit handler is registered before any other, so it is the last to run. */
#define _GNU_SOURCE
#include "core.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "site.h"
#include "sys.h"

#include "poison.h"

enum pmt_state pmt_state;
int pmt_pid;
int64_t pmt_start_unix_ns, pmt_start_monotonic_ns;
char pmt_directory[PMT_PATH_SIZE];
int pmt_life_quick_exit_status;

/* A page that the kernel zeroes in every child of fork; NULL on kernels before 4.14. */
volatile char *pmt_life_alive;

static bool is_first;    /* the first process of the tree: it alone complains about options and prints the summary */
static bool is_disabled; /* PMT_ENABLE=0: not even a word */
static bool is_ended;
bool pmt_directory_is_default; /* PMT_DIR is ".": file names need no directory before them */
char pmt_arguments[4096];
size_t pmt_arguments_size;
bool pmt_arguments_are_cut;
char pmt_working_directory[PMT_PATH_SIZE];

static struct reading {
    bool is_taken;
    int64_t rss, peak, mapped, regions, moved_break;
    struct pmt_net native, python;
} final;

static void report_option(const char *line)
{
    if (is_first && !is_disabled)
        pmt_say(PMT_VERBOSE_PROBLEMS, "%s", line);
}

/* Absolute path of PMT_DIR: the program may change its directory later. */
static void find_directory(void)
{
    struct pmt_text text;
    char *here = pmt_working_directory;
    long size = pmt_sys(SYS_getcwd, (long)here, sizeof pmt_working_directory, 0, 0, 0, 0);
    const char *dir = pmt_config.dir;
    if (size <= 0 || here[0] != '/') /* it is gone */
        here[0] = '\0';
    pmt_directory_is_default = strcmp(dir, ".") == 0;
    pmt_text_init(&text, pmt_directory, sizeof pmt_directory - 64);
    if (dir[0] != '/' && here[0]) {
        pmt_text_string(&text, strcmp(here, "/") == 0 ? "" : here);
        if (!pmt_directory_is_default)
            pmt_text_format(&text, "/%s", dir);
    } else
        pmt_text_string(&text, dir);
    if (text.total == 0)
        pmt_text_string(&text, "/");
    pmt_text_end(&text);
}

static void keep_arguments(int argc, char **argv)
{
    struct pmt_text text;
    pmt_text_init(&text, pmt_arguments, sizeof pmt_arguments);
    for (int i = 0; i < argc; i++)
        pmt_text_bytes(&text, argv[i], strlen(argv[i]) + 1);
    pmt_arguments_size = (size_t)(text.at - text.start);
    pmt_arguments_are_cut = text.is_cut;
}

/* Adds PMT_ROOT=pid to the environment, so that children know they are not the first. setenv() would allocate. */
static void mark_environment(char **environment)
{
    static char mark[32];
    struct pmt_text text;
    size_t count = 0;
    while (environment[count])
        count++;
    char **marked = pmt_sys_pages((count + 2) * sizeof *marked);
    if (!marked)
        return;
    pmt_text_init(&text, mark, sizeof mark);
    pmt_text_format(&text, "PMT_ROOT=%d", pmt_pid);
    memcpy(marked, environment, count * sizeof *marked);
    marked[count] = (char *)(uintptr_t)pmt_text_end(&text);
    environ = marked;
}

static bool is_root(const char *root)
{
    int64_t pid = 0;
    while (*root >= '0' && *root <= '9')
        pid = pid * 10 + (*root++ - '0');
    return pid == pmt_pid;
}

static void watch_forks(void)
{
    char *page = pmt_sys_pages((size_t)pmt_page_size);
    if (!page || pmt_sys(SYS_madvise, (long)page, pmt_page_size, MADV_WIPEONFORK, 0, 0, 0) < 0)
        return;
    *page = 1;
    pmt_life_alive = page;
}

bool pmt_life_has_other_pid(void)
{
    return pmt_sys_getpid() != pmt_pid;
}

/* ---- fork: all locks are taken before, so that no other thread holds one in the child */

static struct {
    struct pmt_lock *lock;
    bool is_held; /* protected by the lock itself */
} locks[] = {
    {&pmt_points_lock, false}, {&pmt_capture_lock, false}, {&pmt_log_lock, false},
    {&pmt_large_lock, false},  {&pmt_site_lock, false},
};
#define LOCK_COUNT (sizeof locks / sizeof *locks)

static void before_fork(void)
{
    for (size_t i = 0; i < LOCK_COUNT; i++)
        locks[i].is_held = pmt_lock_take(locks[i].lock);
}

static void after_fork_parent(void)
{
    for (size_t i = LOCK_COUNT; i-- > 0;)
        if (locks[i].is_held)
            pmt_lock_drop(locks[i].lock);
}

/* The thread jumps out of what it was doing, which may have been a call of ours that a signal interrupted. What that
 * had half done is one block, or one row, at most. */
void pmt_life_abandon(void)
{
    pmt_inside = 0;
    for (size_t i = 0; i < LOCK_COUNT; i++)
        if (pmt_lock_is_mine(locks[i].lock))
            pmt_lock_drop(locks[i].lock);
}

/* In a child of fork: other threads, their locks and our files are the parent's. */
void pmt_life_child(void)
{
    if (pmt_life_alive)
        *pmt_life_alive = 1;
    pmt_pid = pmt_sys_getpid();
    pmt_start_unix_ns = pmt_sys_clock_ns(CLOCK_REALTIME);
    pmt_start_monotonic_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    is_first = is_ended = false;
    final.is_taken = false;
    pmt_thread_number = 0; /* the thread goes on under another ID */
    for (size_t i = 0; i < LOCK_COUNT; i++)
        pmt_lock_reset(locks[i].lock);
    pmt_maps_after_fork();
    pmt_site_after_fork();
    pmt_say_after_fork();
    pmt_count_after_fork();
    pmt_rss_forget();
    pmt_log_after_fork();
    pmt_capture_after_fork();
    if (!pmt_config.follow && pmt_state == PMT_ON)
        pmt_state = PMT_STOPPED;
}

/* ---- the end */

static struct reading read_now(void)
{
    struct reading now = {.is_taken = true};
    now.native = pmt_count_total(PMT_OWNER_NATIVE);
    now.python = pmt_count_total(PMT_OWNER_PYTHON);
    pmt_maps_total(&now.mapped, &now.regions);
    now.moved_break = pmt_maps_break();
    now.rss = pmt_rss_read();
    now.peak = pmt_rss_peak();
    return now;
}

/* Called when Python has run its atexit handlers and has not yet torn anything down. */
void pmt_life_final_reading(void)
{
    final = read_now();
    pmt_capture_final_reading();
}

static void put_mib_or_unknown(struct pmt_text *text, int64_t bytes)
{
    if (bytes < 0)
        pmt_text_format(text, "unknown (%s)", pmt_error_name((int)bytes));
    else
        pmt_text_mib(text, bytes);
}

/* The arguments, cut where a line would be too long. */
static void put_command(struct pmt_text *text)
{
    char buffer[256];
    struct pmt_text command;
    pmt_text_init(&command, buffer, sizeof buffer - 4);
    for (size_t at = 0, size; at < pmt_arguments_size; at += size + 1) {
        size = strnlen(pmt_arguments + at, pmt_arguments_size - at);
        pmt_text_string(&command, at ? " " : "");
        pmt_text_name(&command, pmt_arguments + at, size);
    }
    pmt_text_bytes(text, buffer, (size_t)(command.at - buffer));
    pmt_text_string(text, command.is_cut ? "..." : "");
}

static void put_process_line(struct pmt_text *text, int status)
{
    const char *python = pmt_python_version();
    pmt_text_string(text, "pmt: ");
    put_command(text);
    pmt_text_format(text, "  pid %d  %s%s  ", pmt_pid, python ? "CPython " : "no Python", python ? python : "");
    pmt_text_seconds(text, pmt_sys_clock_ns(CLOCK_MONOTONIC) - pmt_start_monotonic_ns, 1);
    pmt_text_format(text, " s  exit %d\n", status & 0xff);
}

static void put_count(struct pmt_text *text, int64_t count, const char *noun)
{
    pmt_text_grouped(text, count);
    pmt_text_format(text, " %s%s", noun, count == 1 ? "" : "s");
}

static void put_live(struct pmt_text *text, const char *label, const struct pmt_net *net, const char *noun)
{
    pmt_text_string(text, label);
    pmt_text_mib(text, net->bytes);
    pmt_text_string(text, " (");
    pmt_text_grouped(text, net->bytes);
    pmt_text_string(text, " B in ");
    put_count(text, net->blocks, noun);
    pmt_text_string(text, ")");
}

static void put_memory_lines(struct pmt_text *text)
{
    pmt_text_string(text, "pmt: RSS ");
    put_mib_or_unknown(text, final.rss);
    pmt_text_string(text, " at exit, peak ");
    put_mib_or_unknown(text, final.peak);
    pmt_text_string(text, "\n");
    if (pmt_python_counts()) {
        put_live(text, "pmt: Python live ", &final.python, "block");
        pmt_text_string(text, "\n");
    }
    put_live(text, "pmt: native live ", &final.native, "malloc block");
    pmt_text_string(text, ", mapped ");
    pmt_text_mib(text, final.mapped);
    pmt_text_string(text, " in ");
    put_count(text, final.regions, "region");
    pmt_text_string(text, ", brk ");
    pmt_text_grouped(text, final.moved_break);
    pmt_text_string(text, " B\n");
}

static const char *shown_path(const char *path)
{
    return pmt_directory_is_default ? strrchr(path, '/') + 1 : path;
}

static const char *why_no_log(uint64_t lost)
{
    if (lost)
        return ": the event log could not be written";
    if (pmt_config.events == PMT_EVENTS_OFF)
        return " (--events off)";
    if (!pmt_python_version())
        return ": no Python ran in this process";
    return pmt_log_is_dead() ? ": RSS cannot be read" : ": no Python event came";
}

static void put_rows(struct pmt_text *text, uint64_t rows, uint64_t lost)
{
    pmt_text_string(text, " (");
    put_count(text, (int64_t)rows, "row");
    if (lost) {
        pmt_text_string(text, ", ");
        pmt_text_grouped(text, (int64_t)lost);
        pmt_text_string(text, " more are not in it");
    }
    pmt_text_string(text, ")");
}

static void put_file_line(struct pmt_text *text)
{
    uint64_t rows, lost;
    const char *log = pmt_log_file(&rows, &lost), *capture = pmt_capture_file();
    if (!log && !capture) {
        pmt_text_format(text, "pmt: wrote nothing%s\n", why_no_log(lost));
        return;
    }
    pmt_text_string(text, "pmt: wrote ");
    if (log) {
        pmt_text_string(text, shown_path(log));
        put_rows(text, rows, lost);
    }
    if (capture)
        pmt_text_format(text, "%s%s", log ? ", " : "", shown_path(capture));
    pmt_text_format(text, "     pmt %s %s\n", capture ? "report" : "log", shown_path(capture ? capture : log));
}

static bool wants_summary(void)
{
    return is_first && pmt_config.verbose > PMT_VERBOSE_SILENT &&
           (pmt_config.summary == PMT_SUMMARY_ON || (pmt_config.summary == PMT_SUMMARY_AUTO && pmt_say_is_terminal()));
}

static void print_summary(int status)
{
    static char lines[2 * PMT_PATH_SIZE + 2048]; /* the end may come on a small signal stack */
    struct pmt_text text;
    pmt_text_init(&text, lines, sizeof lines);
    put_process_line(&text, status);
    put_memory_lines(&text);
    put_file_line(&text);
    pmt_say_line(lines, (size_t)(text.at - lines));
}

/* The process ends with `status`. A child of vfork shares this memory and is not the one that ends. */
void pmt_life_end(int status)
{
    if (pmt_state == PMT_OFF || is_ended || pmt_sys_getpid() != pmt_pid)
        return;
    is_ended = true;
    bool is_wanted = wants_summary();
    if (is_wanted && !final.is_taken)
        final = read_now();
    pmt_log_finish();
    pmt_capture_end(status);
    if (is_wanted)
        print_summary(status);
    pmt_state = PMT_STOPPED;
}

/* The process is about to become another program; if that fails, it goes on. */
void pmt_life_exec(void)
{
    if (pmt_state != PMT_ON || pmt_sys_getpid() != pmt_pid)
        return;
    pmt_log_finish();
    pmt_capture_exec();
}

static void end_by_exit(int status, void *unused)
{
    (void)unused;
    pmt_life_end(status);
}

static void end_by_quick_exit(void)
{
    pmt_life_end(pmt_life_quick_exit_status);
}

/* ---- the start */

static void begin(char **environment)
{
    pmt_start_unix_ns = pmt_sys_clock_ns(CLOCK_REALTIME);
    pmt_start_monotonic_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    find_directory();
    pmt_rss_start(pmt_config_find(environment, "PMT_PROC_ROOT"), pmt_config_find(environment, "PMT_TEST_RSS"));
    pmt_count_start();
    pmt_large_start();
    watch_forks();
    pthread_atfork(before_fork, after_fork_parent, pmt_life_child);
    on_exit(end_by_exit, NULL);
    at_quick_exit(end_by_quick_exit);
    pmt_state = PMT_ON;
    if (wants_summary())
        pmt_say_keep();
    struct pmt_elf first;
    if (pmt_real_is_bypassed(&first)) {
        pmt_capture_warn("malloc is another's: its blocks are not counted");
        if (is_first)
            pmt_say(PMT_VERBOSE_PROBLEMS, "malloc is %s: its blocks are not counted",
                    first.path[0] ? first.path : "the program's own");
    }
    pmt_python_start();
    pmt_capture_start(is_first);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **environment)
{
    int error = errno;
    pmt_pid = pmt_sys_getpid();
    const char *root = pmt_config_find(environment, "PMT_ROOT");
    is_first = !root || is_root(root);
    pmt_real_resolve();
    pmt_say_start();
    const char *enable = pmt_config_find(environment, "PMT_ENABLE");
    is_disabled = enable && strcmp(enable, "0") == 0;
    pmt_config_load(environment, report_option);
    if (pmt_config.enable && (pmt_config.follow || is_first)) {
        keep_arguments(argc, argv);
        if (!root)
            mark_environment(environment);
        begin(environment);
    }
    errno = error;
}
