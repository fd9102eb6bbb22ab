/* keep.c: descriptors that the library keeps over a long time.
 *
 * The application must not meet them: they are moved above its limit, or else far above the numbers it is given and
 * kept only when they are used a thousand times (a program that looks at every number sees those). They close on exec,
 * and are checked before every use to be the file they were, because closerange(3, ...) and dup2() over them happen.
 * One that is gone is not closed again: its number may be the application's by now. */
#include "core.h"

#include "sys.h"

#include "poison.h"

/* The kernel's table of descriptors grows with the highest number, and is copied at fork: so numbers above the soft
 * limit are used only if that is this low, and else none above HIGHEST_BELOW. */
#define HIGHEST 32768
#define HIGHEST_BELOW 4096
#define TRIES 64
#define USES_MIN 1000
#define FEW 1024

/* The same open file under the highest free number below `top`, or -errno. */
static int move_below(int fd, int top)
{
    int high = -EMFILE;
    for (int number = top - 1; high < 0 && number > top - TRIES && number > fd; number--)
        high = (int)pmt_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, number, 0, 0, 0);
    return high;
}

/* Moves an open file to a number that the application is not given: above its soft limit, which is raised for that
 * moment (the hard one too, if that is as low and we may); else as high as there is one. The new number, or -EMFILE if
 * there is none; `fd` is closed. */
int pmt_keep_up(int fd, bool *is_lasting)
{
    struct rlimit limit;
    int high = -EMFILE;
    bool is_known = pmt_sys_getrlimit(RLIMIT_NOFILE, &limit) == 0;
    if (is_known && limit.rlim_cur <= HIGHEST) {
        rlim_t top = limit.rlim_cur + TRIES;
        struct rlimit raised = {top, limit.rlim_max > top ? limit.rlim_max : top};
        if (pmt_sys(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&raised, 0, 0, 0) == 0) {
            high = move_below(fd, (int)top);
            pmt_sys(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&limit, 0, 0, 0);
        }
    }
    *is_lasting = high >= 0;
    if (high < 0) {
        high = move_below(fd, is_known && limit.rlim_cur < HIGHEST_BELOW ? (int)limit.rlim_cur : HIGHEST_BELOW);
        *is_lasting |= is_known && limit.rlim_cur < FEW; /* where they may run out, to have one is better */
    }
    pmt_sys_close(fd);
    return high == -EINVAL ? -EMFILE : high;
}

/* Whether it is one of few that the application may have. */
static bool is_scarce(int fd)
{
    struct rlimit limit;
    return pmt_sys_getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FEW && (rlim_t)fd < limit.rlim_cur;
}

/* Opens `path` (O_CLOEXEC is added, mode 0600 if created) and keeps it. 0 or -errno. */
int pmt_keep_open(struct pmt_kept *kept, const char *path, int flags)
{
    struct stat st;
    bool is_lasting = false;
    kept->fd = -1;
    int fd = pmt_sys_open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    bool is_made = fd >= 0 && flags & O_EXCL;
    if (fd >= 0)
        fd = pmt_keep_up(fd, &is_lasting);
    if (fd == -EMFILE && is_made)
        pmt_sys(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
    if (fd < 0)
        return fd;
    int error = pmt_sys_fstat(fd, &st);
    if (error < 0) {
        pmt_sys_close(fd);
        return error;
    }
    kept->fd = fd;
    kept->is_lasting = is_lasting && !(kept->is_modest && is_scarce(fd));
    kept->device = st.st_dev;
    kept->inode = st.st_ino;
    return 0;
}

bool pmt_keep_is_ours(const struct pmt_kept *kept)
{
    struct stat st;
    return kept->fd >= 0 && pmt_sys_fstat(kept->fd, &st) == 0 && st.st_dev == kept->device && st.st_ino == kept->inode;
}

/* Keeps it from now on, if it is open: its path is about to mean something else. */
void pmt_keep_pin(struct pmt_kept *kept)
{
    kept->uses = USES_MIN;
    kept->is_modest = false;
}

/* After a use. One that the application can see is closed again, until it is used so often that this would cost; the
 * caller opens it anew. */
void pmt_keep_done(struct pmt_kept *kept)
{
    if (!kept->is_lasting && (kept->uses < USES_MIN || (kept->is_modest && is_scarce(kept->fd)))) {
        kept->uses++;
        pmt_keep_close(kept);
    }
}

void pmt_keep_close(struct pmt_kept *kept)
{
    if (pmt_keep_is_ours(kept))
        pmt_sys_close(kept->fd);
    kept->fd = -1;
}

/* Up to size - 1 bytes of a file, NUL-terminated. Their number, or -errno. */
int pmt_read_file(const char *path, char *buffer, size_t size)
{
    int fd = pmt_sys_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    long got = 0, sum = 0;
    while (sum < (long)size - 1 && (got = pmt_sys_pread(fd, buffer + sum, size - 1 - (size_t)sum, sum)) > 0)
        sum += got;
    pmt_sys_close(fd);
    buffer[sum] = '\0';
    return got < 0 ? (int)got : (int)sum;
}
