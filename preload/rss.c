/* rss.c: resident bytes of this process.
 *
 *    /proc/self/statm, kept open -> pread -> second number (pages) x page size
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
}

/* In a child of fork: the descriptor shows the parent. */
void pmt_rss_forget(void)
{
    pmt_keep_close(&statm);
    highest = 0;
}

/* Resident bytes now, or -errno. The caller holds pmt_log_lock. */
int64_t pmt_rss_now(void)
{
    char text[128];
    if (PMT_UNLIKELY(replay != NULL))
        return next_replayed();
    if (PMT_UNLIKELY(!pmt_keep_is_ours(&statm))) {
        int error = pmt_keep_open(&statm, statm_path, O_RDONLY);
        if (error < 0)
            return error;
    }
    long got = pmt_sys_pread(statm.fd, text, sizeof text, 0);
    if (got <= 0)
        return got < 0 ? got : -EIO;
    const char *at = text;
    parse_number(&at, text + got);
    int64_t bytes = parse_number(&at, text + got) * pmt_page_size;
    highest = bytes > highest ? bytes : highest;
    return bytes;
}

/* The same, for callers who hold no lock. */
int64_t pmt_rss_read(void)
{
    if (!pmt_lock_take(&pmt_log_lock))
        return -EAGAIN;
    int64_t bytes = pmt_rss_now();
    pmt_lock_drop(&pmt_log_lock);
    return bytes;
}

/* The highest resident bytes so far, or -errno: VmHWM, or a reading of ours that was higher, since the kernel counts
 * VmHWM less exactly than statm. */
int64_t pmt_rss_peak(void)
{
    char text[4096];
    int got = pmt_read_file(status_path, text, sizeof text);
    if (got < 0)
        return got;
    const char *line = strstr(text, "VmHWM:");
    if (!line)
        return -ENOENT;
    int64_t peak = parse_number(&line, text + got) * 1024;
    return peak > highest ? peak : highest;
}
