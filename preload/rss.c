/* rss.c: resident bytes of this process.
 *
 *    gate.c: moved? -- no --> the last reading
 *                   -- yes -> /proc/self/statm, kept open -> pread -> second number (pages) x page size
 *
 * Format of statm and status: proc(5). */
#include "core.h"

#include <string.h>
#include <unistd.h>

#include "sys.h"

#include "poison.h"

int64_t pmt_page_size = 4096;

static struct pmt_kept statm = PMT_KEPT_NONE; /* Protected by pmt_log_lock. */
static char statm_path[PMT_PATH_SIZE], status_path[PMT_PATH_SIZE];

/* Readings given by a test in place of the real ones: text, one number of bytes a line. */
static const char *replay, *replay_end;
static int64_t replay_last;
static bool is_verified;

static void load_replay(const char *path)
{
    struct stat st;
    int fd = pmt_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (pmt_sys_fstat(fd, &st) == 0 && st.st_size > 0) {
        char *text = pmt_sys_pages((size_t)st.st_size);
        long got = text ? pmt_sys_pread(fd, text, (size_t)st.st_size, 0) : 0;
        replay = text;
        replay_end = text + (got > 0 ? got : 0);
    }
    pmt_sys_close(fd);
}

static int64_t highest; /* of all readings */

static int64_t parse_number(const char **at, const char *end)
{
    int64_t value = 0;
    while (*at < end && (**at < '0' || **at > '9'))
        ++*at;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        value = value * 10 + (**at - '0');
    return value;
}

static int64_t next_replayed(void)
{
    while (replay < replay_end && *replay == '\n')
        replay++;
    if (replay < replay_end)
        replay_last = parse_number(&replay, replay_end);
    return replay_last;
}

void pmt_rss_start(const char *proc_root, const char *replay_path)
{
    struct pmt_text text;
    pmt_page_size = sysconf(_SC_PAGESIZE);
    pmt_text_init(&text, statm_path, sizeof statm_path);
    pmt_text_format(&text, "%s/self/statm", proc_root ? proc_root : "/proc");
    pmt_text_end(&text);
    pmt_text_init(&text, status_path, sizeof status_path);
    pmt_text_format(&text, "%s/self/status", proc_root ? proc_root : "/proc");
    pmt_text_end(&text);
    if (replay_path)
        load_replay(replay_path);
    const char *gate = pmt_config_find(environ, "PMT_TEST_GATE");
    is_verified = gate && strncmp(gate, "verify", 6) == 0;
}

/* In a child of fork: the descriptor shows the parent. */
void pmt_rss_forget(void)
{
    pmt_keep_close(&statm);
    highest = 0;
    pmt_gate_after_fork();
}

static int64_t read_statm(void)
{
    char text[128];
    if (PMT_UNLIKELY(!pmt_keep_is_ours(&statm))) {
        int error = pmt_keep_open(&statm, statm_path, O_RDONLY);
        if (error < 0)
            return error;
    }
    long got = pmt_sys_pread(statm.fd, text, sizeof text, 0);
    pmt_keep_done(&statm);
    if (got <= 0)
        return got < 0 ? got : -EIO;
    const char *at = text;
    parse_number(&at, text + got);
    int64_t bytes = parse_number(&at, text + got) * pmt_page_size;
    highest = bytes > highest ? bytes : highest;
    return bytes;
}

/* The file is about to be out of reach. The caller holds pmt_log_lock. */
void pmt_rss_pin(void)
{
    if (pmt_keep_is_ours(&statm) || pmt_keep_open(&statm, statm_path, O_RDONLY) == 0)
        pmt_keep_pin(&statm);
}

/* ---- the test mode PMT_TEST_GATE=verify: RSS is read at every event, to see what the gate misses and for how long */

struct moment {
    int64_t cpu_ns, ns; /* of the process; of the world. Both are at least what any one thread has used */
};

static struct {
    uint64_t asked, opened; /* events; those with the gate open */
    uint64_t stale, own; /* those with a closed gate and another RSS; of these, after a page fault of the same thread */
    struct moment fresh; /* when RSS was last right */
    int64_t latest_ns;   /* for how long, at most, it was not */
} verified;
static __thread int64_t faults_before;
static __thread uint64_t opened_before;

static struct moment moment_now(void)
{
    return (struct moment){pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID), pmt_sys_clock_ns(CLOCK_MONOTONIC)};
}

/* Whether the thread has had page faults since its last event, and nobody has read RSS since. */
static bool has_own_fault(void)
{
    struct rusage usage;
    pmt_sys(SYS_getrusage, RUSAGE_THREAD, (long)&usage, 0, 0, 0, 0);
    int64_t faults = usage.ru_minflt + usage.ru_majflt;
    bool has_one = faults != faults_before && opened_before == verified.opened;
    faults_before = faults;
    opened_before = verified.opened;
    return has_one;
}

/* The part of the stack that the kernel is to write to below: such a page fault is not one that the gate shows. */
static PMT_SLOW void touch_stack(void)
{
    char room[4096];
    __asm__ volatile("movb $0, %0" : "=m"(room[0]));
}

/* The gate is asked once more, between two looks at the clock: the thread may have had to wait since it was asked. */
static PMT_SLOW bool verify(bool has_moved, int64_t known)
{
    touch_stack();
    struct moment asked = moment_now();
    has_moved |= pmt_gate_has_moved();
    verified.asked++;
    verified.opened += has_moved;
    bool is_own = has_own_fault();
    if (has_moved || read_statm() == known) {
        verified.fresh = moment_now();
        return has_moved;
    }
    int64_t late_cpu_ns = asked.cpu_ns - verified.fresh.cpu_ns, late_ns = asked.ns - verified.fresh.ns;
    late_ns = late_ns < late_cpu_ns ? late_ns : late_cpu_ns;
    verified.latest_ns = late_ns > verified.latest_ns ? late_ns : verified.latest_ns;
    verified.stale++;
    verified.own += is_own;
    return false;
}

void pmt_rss_report(void)
{
    if (is_verified)
        pmt_say(PMT_VERBOSE_PROBLEMS, "gate: %lu events, %lu reads, %lu stale, %lu of them own, latest %ld us",
                verified.asked, verified.opened, verified.stale, verified.own, verified.latest_ns / 1000);
}

/* ---- reading */

static int64_t last_reading; /* Protected by pmt_log_lock. */

/* Whether a test wants to be asked at every event. */
bool pmt_rss_is_tested(void)
{
    return replay || is_verified;
}

/* Resident bytes at this event, or -errno; `has_moved` is what the gate said. The caller holds pmt_log_lock. */
int64_t pmt_rss_now(bool has_moved)
{
    if (PMT_UNLIKELY(replay != NULL))
        return next_replayed();
    if (PMT_UNLIKELY(is_verified))
        has_moved = verify(has_moved, last_reading);
    if (PMT_UNLIKELY(has_moved))
        last_reading = read_statm();
    return last_reading;
}

/* Resident bytes now, whatever the gate says, for callers who hold no lock. */
int64_t pmt_rss_read(void)
{
    if (!pmt_lock_take(&pmt_log_lock))
        return -EAGAIN;
    int64_t bytes = read_statm();
    pmt_lock_drop(&pmt_log_lock);
    return bytes;
}

/* The highest resident bytes so far, or -errno: VmHWM, or a reading of ours that was higher, since the kernel counts
 * VmHWM less exactly than statm. */
int64_t pmt_rss_peak(void)
{
    static char text[4096]; /* Protected by pmt_log_lock; the end may come on a small signal stack. */
    if (!pmt_lock_take(&pmt_log_lock))
        return -EAGAIN;
    int64_t peak = pmt_read_file(status_path, text, sizeof text);
    const char *line = peak > 0 ? strstr(text, "VmHWM:") : NULL;
    if (line)
        peak = parse_number(&line, text + peak) * 1024;
    else if (peak >= 0)
        peak = -ENOENT;
    pmt_lock_drop(&pmt_log_lock);
    return peak < 0 ? peak : peak > highest ? peak : highest;
}
