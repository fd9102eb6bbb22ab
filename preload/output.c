/* output.c: a file of ours in PMT_DIR: its name, its descriptor, writes that harm nobody.
 *
 *    YYMMDD_HHMMSS_PID[-N]  .log  logfile.c        the files of a process have the same stem: the first of them takes
 *                           .pmt  streams.c        a number N under which there is neither
 *
 * State of a file is protected by the lock of its user; the choice of the stem, by pmt_log_lock. */
#include "core.h"

#include "sys.h"

#include "poison.h"

#define COLLISIONS_MAX 9999

static const char *const extensions[] = {[PMT_OUTPUT_LOG] = ".log", [PMT_OUTPUT_CAPTURE] = ".pmt"};
static int stem = -1; /* N of the stem of this process; -1: not chosen yet. Protected by pmt_log_lock. */

static bool is_made[2]; /* by kind: this process has the file */
static int reported;    /* the error that was said last */

/* mkdir -p. An error shows when the file is opened. */
static void make_directories(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        pmt_sys(SYS_mkdirat, AT_FDCWD, (long)path, 0777, 0, 0, 0);
        *at = end;
        if (end == '\0')
            return;
    }
}

/* Once in a process and its children: a directory that the program has removed since is not made again. */
bool pmt_output_has_directory;

static bool put_path(struct pmt_output *output, int number, enum pmt_output_kind kind)
{
    char stamp[14];
    struct pmt_text path;
    pmt_utc_stamp(stamp, pmt_start_unix_ns / 1000000000);
    pmt_text_init(&path, output->path, sizeof output->path);
    pmt_text_format(&path, "%s/%s_%d", pmt_directory, stamp, pmt_pid);
    if (number)
        pmt_text_format(&path, "-%d", number);
    pmt_text_string(&path, extensions[kind]);
    bool is_whole = !path.is_cut;
    pmt_text_end(&path);
    return is_whole;
}

/* Whether the stem is that of another process, or of another program in this one. */
static bool is_foreign(struct pmt_output *output, int number, enum pmt_output_kind kind)
{
    enum pmt_output_kind other = kind == PMT_OUTPUT_LOG ? PMT_OUTPUT_CAPTURE : PMT_OUTPUT_LOG;
    return number != stem && put_path(output, number, other) &&
           pmt_sys(SYS_faccessat, AT_FDCWD, (long)output->path, 0, 0, 0, 0) == 0;
}

/* Makes the file under the first free name, and keeps it open. 0 or -errno. The caller holds pmt_log_lock. */
int pmt_output_create(struct pmt_output *output, enum pmt_output_kind kind)
{
    int error = -EEXIST;
    if (!pmt_directory_is_default && !pmt_output_has_directory)
        make_directories(pmt_directory);
    pmt_output_has_directory = true;
    for (int number = stem < 0 ? 0 : stem; error == -EEXIST && number <= COLLISIONS_MAX; number++) {
        if (is_foreign(output, number, kind))
            continue;
        if (!put_path(output, number, kind))
            return -ENAMETOOLONG;
        error = pmt_keep_open(&output->kept, output->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
        if (error == 0 && stem < 0)
            stem = number;
    }
    if (error == 0)
        is_made[kind] = true;
    return error;
}

/* The program may have closed our descriptor, or put a file of its own under its number. 0 or -errno. */
int pmt_output_ensure(struct pmt_output *output)
{
    if (pmt_keep_is_ours(&output->kept))
        return 0;
    struct pmt_kept again = {.fd = -1, .uses = output->kept.uses, .is_modest = output->kept.is_modest};
    int error = pmt_keep_open(&again, output->path, O_RDWR | O_NOFOLLOW);
    if (error < 0)
        return error;
    if (again.device != output->kept.device || again.inode != output->kept.inode) {
        pmt_keep_close(&again);
        return -EBADF;
    }
    output->kept = again;
    return 0;
}

/* Whether the file may be `size` bytes long. A write beyond RLIMIT_FSIZE would raise SIGXFSZ, so it is not tried. */
bool pmt_output_may_grow(uint64_t size)
{
    struct rlimit limit;
    return pmt_sys_getrlimit(RLIMIT_FSIZE, &limit) != 0 || size <= limit.rlim_cur;
}

/* All of `bytes` at `at`, or -errno. The caller has ensured that the descriptor is ours. */
int pmt_output_write(struct pmt_output *output, const void *bytes, size_t size, int64_t at)
{
    const char *from = bytes;
    if (!pmt_output_may_grow((uint64_t)at + size))
        return -EFBIG;
    while (size > 0) {
        long wrote = pmt_sys_pwrite(output->kept.fd, from, size, at);
        if (wrote == -EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? (int)wrote : -EIO;
        from += wrote;
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

/* A file that could not even take its beginning. */
void pmt_output_remove(struct pmt_output *output, enum pmt_output_kind kind)
{
    is_made[kind] = false;
    pmt_keep_close(&output->kept);
    pmt_sys(SYS_unlinkat, AT_FDCWD, (long)output->path, 0, 0, 0, 0);
}

/* Says that a file could not be made; once, if there is none of the other kind either: it is the directory then. */
void pmt_output_report(enum pmt_output_kind kind, int error)
{
    if (is_made[kind == PMT_OUTPUT_LOG ? PMT_OUTPUT_CAPTURE : PMT_OUTPUT_LOG])
        pmt_say(PMT_VERBOSE_PROBLEMS, "cannot write the %s: %s, in %s",
                kind == PMT_OUTPUT_LOG ? "event log" : "capture", pmt_error_name(error), pmt_directory);
    else if (reported != error)
        pmt_say(PMT_VERBOSE_PROBLEMS, "cannot write files: %s, in %s", pmt_error_name(error), pmt_directory);
    reported = error;
}

/* In a child of fork: the file is the parent's. */
void pmt_output_forget(struct pmt_output *output)
{
    pmt_keep_close(&output->kept);
    output->path[0] = '\0';
    stem = -1;
    is_made[PMT_OUTPUT_LOG] = is_made[PMT_OUTPUT_CAPTURE] = false;
    reported = 0;
}
