/* logfile.c: the file of the event log: its name, and rows that are in it whole or not at all.
 *
 *    pmt_logfile_begin -> text, of any size -> 16 KiB at a time -> pwrite behind the last whole row -> pmt_logfile_end
 *                                                                      a failure cuts the file back to there
 *
 * State is protected by pmt_log_lock. */
#include "core.h"

#include "sys.h"

#include "poison.h"

#define COLLISIONS_MAX 9999

static struct {
    struct pmt_kept kept;
    char path[PMT_PATH_SIZE];
    int64_t size; /* bytes of whole rows */
} file = {.kept = PMT_KEPT_NONE};

static char row_buffer[16384];
static int64_t row_start; /* where in the file the buffer's first byte goes */
static int64_t row_limit; /* size that the file may not pass */
static int row_error;

/* All of `bytes` at `at`, or -errno. A write over RLIMIT_FSIZE would raise SIGXFSZ, so it is not tried. */
static int write_at(const char *bytes, size_t size, int64_t at)
{
    struct rlimit limit;
    if (pmt_sys_getrlimit(RLIMIT_FSIZE, &limit) == 0 && (uint64_t)at + size > limit.rlim_cur)
        return -EFBIG;
    while (size > 0) {
        long wrote = pmt_sys_pwrite(file.kept.fd, bytes, size, at);
        if (wrote == -EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? (int)wrote : -EIO;
        bytes += wrote;
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

/* The program may have closed our descriptor, or put a file of its own under its number. */
static int ensure_ours(void)
{
    if (pmt_keep_is_ours(&file.kept))
        return 0;
    struct pmt_kept again = PMT_KEPT_NONE;
    int error = pmt_keep_open(&again, file.path, O_RDWR | O_NOFOLLOW);
    if (error < 0)
        return error;
    again.uses = file.kept.uses;
    if (again.device != file.kept.device || again.inode != file.kept.inode) {
        pmt_keep_close(&again);
        return -EBADF;
    }
    file.kept = again;
    return 0;
}

static bool flush_rows(struct pmt_text *text)
{
    size_t size = (size_t)(text->at - text->start);
    if (row_error == 0 && row_start + (int64_t)size > row_limit)
        row_error = -EOVERFLOW;
    if (row_error == 0)
        row_error = write_at(text->start, size, row_start);
    row_start += (int64_t)size;
    text->at = text->start;
    return row_error == 0;
}

/* Ends what pmt_logfile_begin() began. Either all of it is in the file, or none. */
int pmt_logfile_end(struct pmt_text *text)
{
    if (!text->is_cut)
        flush_rows(text);
    if (row_error == 0)
        file.size = row_start;
    else if (row_start > file.size && pmt_keep_is_ours(&file.kept))
        pmt_sys(SYS_ftruncate, file.kept.fd, file.size, 0, 0, 0, 0);
    pmt_keep_done(&file.kept);
    return row_error;
}

void pmt_logfile_begin(struct pmt_text *text, int64_t size_limit)
{
    pmt_text_init(text, row_buffer, sizeof row_buffer);
    text->flush = flush_rows;
    row_start = file.size;
    row_limit = size_limit;
    row_error = ensure_ours();
}

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
bool pmt_logfile_has_directory;

/* The first free name of YYMMDD_HHMMSS_PID[-N].log. */
int pmt_logfile_create(void)
{
    char stamp[14];
    int error = -EEXIST;
    pmt_utc_stamp(stamp, pmt_start_unix);
    if (!pmt_directory_is_default && !pmt_logfile_has_directory)
        make_directories(pmt_directory);
    pmt_logfile_has_directory = true;
    for (int collision = 0; error == -EEXIST && collision <= COLLISIONS_MAX; collision++) {
        struct pmt_text path;
        pmt_text_init(&path, file.path, sizeof file.path);
        pmt_text_format(&path, "%s/%s_%d", pmt_directory, stamp, pmt_pid);
        if (collision)
            pmt_text_format(&path, "-%d", collision);
        pmt_text_string(&path, ".log");
        if (path.is_cut)
            return -ENAMETOOLONG;
        pmt_text_end(&path);
        error = pmt_keep_open(&file.kept, file.path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
    }
    return error;
}

/* A file that could not even take its header. */
void pmt_logfile_remove(void)
{
    pmt_keep_close(&file.kept);
    pmt_sys(SYS_unlinkat, AT_FDCWD, (long)file.path, 0, 0, 0, 0);
}

/* In a child of fork: the file is the parent's. */
void pmt_logfile_forget(void)
{
    pmt_keep_close(&file.kept);
    file.path[0] = '\0';
    file.size = 0;
}

const char *pmt_logfile_path(void)
{
    return file.path;
}

/* Bytes of whole rows. */
int64_t pmt_logfile_size(void)
{
    return file.size;
}

/* The root of the file system is about to change. */
void pmt_logfile_pin(void)
{
    if (file.size > 0 && ensure_ours() == 0)
        pmt_keep_pin(&file.kept);
}
