/* keep.c: descriptors that the library keeps over a long time.
 *
 * The application must not meet them: they are moved far above the numbers it is given, close on exec, and are checked
 * before every use to be the file they were, because closerange(3, ...) and dup2() over them happen. One that is gone
 * is not closed again: its number may be the application's by now. */
#include "core.h"

#include "sys.h"

#include "poison.h"

/* Lowest number to ask for: near the soft limit, but not so high that the kernel's table of descriptors grows large. */
static int high_number(void)
{
    struct rlimit limit;
    if (pmt_sys_getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1000;
    int64_t top = limit.rlim_cur > 4096 ? 4096 : (int64_t)limit.rlim_cur;
    return (int)(top > 64 ? top - 16 : top / 2);
}

/* The same open file under a high number; -EMFILE if none is left. `fd` is closed in either case. */
static int move_up(int fd)
{
    int high = (int)pmt_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, high_number(), 0, 0, 0);
    pmt_sys_close(fd);
    return high == -EINVAL ? -EMFILE : high;
}

/* Opens `path` (O_CLOEXEC is added, mode 0600 if created) and keeps it. 0 or -errno. */
int pmt_keep_open(struct pmt_kept *kept, const char *path, int flags)
{
    struct stat st;
    kept->fd = -1;
    int fd = pmt_sys_open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0)
        fd = move_up(fd);
    if (fd < 0)
        return fd;
    int error = pmt_sys_fstat(fd, &st);
    if (error < 0) {
        pmt_sys_close(fd);
        return error;
    }
    *kept = (struct pmt_kept){.fd = fd, .device = st.st_dev, .inode = st.st_ino};
    return 0;
}

bool pmt_keep_is_ours(const struct pmt_kept *kept)
{
    struct stat st;
    return kept->fd >= 0 && pmt_sys_fstat(kept->fd, &st) == 0 && st.st_dev == kept->device && st.st_ino == kept->inode;
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
    struct pmt_kept file = PMT_KEPT_NONE;
    int error = pmt_keep_open(&file, path, O_RDONLY);
    if (error < 0)
        return error;
    long got = 0, sum = 0;
    while (sum < (long)size - 1 && (got = pmt_sys_pread(file.fd, buffer + sum, size - 1 - (size_t)sum, sum)) > 0)
        sum += got;
    pmt_keep_close(&file);
    buffer[sum] = '\0';
    return got < 0 ? (int)got : (int)sum;
}
