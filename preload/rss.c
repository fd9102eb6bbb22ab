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

/* The root of the file system is about to change. The caller holds pmt_log_lock. */
void pmt_rss_pin(void)
{
    if (pmt_keep_is_ours(&statm) || pmt_keep_open(&statm, statm_path, O_RDONLY) == 0)
        pmt_keep_pin(&statm);
}

/* ---- the test mode PMT_TEST_GATE=verify: RSS is read at every event, to see what the gate misses and for how long */

static struct {
    uint64_t asked, opened, stale; /* events; those with the gate open; those with a closed gate and another RSS */
    int64_t stale_since_ns, latest_ns;
} verified;

static void end_stale(void)
{
    int64_t late = verified.stale_since_ns ? pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - verified.stale_since_ns : 0;
    verified.latest_ns = late > verified.latest_ns ? late : verified.latest_ns;
    verified.stale_since_ns = 0;
}

static PMT_SLOW void verify_closed(int64_t known)
{
    if (read_statm() == known) {
        verified.stale_since_ns = 0;
        return;
    }
    verified.stale++;
    if (!verified.stale_since_ns)
        verified.stale_since_ns = pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void pmt_rss_report(void)
{
    if (is_verified)
        pmt_say(PMT_VERBOSE_PROBLEMS, "gate: %lu events, %lu reads, %lu stale, latest %ld us of CPU", verified.asked,
                verified.opened, verified.stale, verified.latest_ns / 1000);
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
    if (PMT_UNLIKELY(is_verified)) {
        verified.asked++;
        verified.opened += has_moved;
        if (has_moved)
            end_stale();
        else
            verify_closed(last_reading);
    }
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
