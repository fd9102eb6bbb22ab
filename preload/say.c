/* say.c: the library's only words to people: lines "pmt: ..." on stderr.
 *
 * Descriptor 2 is written to only while it is the very file it was at the start: a program started with it closed gives
 * the number to a file of its own, and a daemon points it elsewhere. Many programs (ls, sort) close it before they end;
 * so the process that is to print the summary keeps a copy, which its children do not. Write errors are nobody's
 * business, and must not become a signal: SIGPIPE and SIGXFSZ are held off, and taken back if this write raised them.
 */
#include "core.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sys.h"

#include "poison.h"

static bool has_stderr;
static dev_t stderr_device;
static ino_t stderr_inode;

void pmt_say_start(void)
{
    struct stat st;
    has_stderr = pmt_sys_fstat(2, &st) == 0;
    if (has_stderr) {
        stderr_device = st.st_dev;
        stderr_inode = st.st_ino;
    }
}

static struct pmt_kept copy = PMT_KEPT_NONE;

/* Keeps a copy of stderr. */
void pmt_say_keep(void)
{
    if (!has_stderr)
        return;
    int fd = (int)pmt_sys(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 3, 0, 0, 0);
    bool is_lasting = false;
    fd = fd < 0 ? fd : pmt_keep_up(fd, &is_lasting);
    if (fd >= 0)
        copy = (struct pmt_kept){.fd = fd, .is_lasting = is_lasting, .device = stderr_device, .inode = stderr_inode};
}

void pmt_say_after_fork(void)
{
    pmt_keep_close(&copy);
}

static bool is_stderr_ours(void)
{
    struct stat st;
    return has_stderr && pmt_sys_fstat(2, &st) == 0 && st.st_dev == stderr_device && st.st_ino == stderr_inode;
}

bool pmt_say_is_terminal(void)
{
    char termios[64];
    return is_stderr_ours() && pmt_sys(SYS_ioctl, 2, TCGETS, (long)termios, 0, 0, 0) == 0;
}

#define SIGNAL_BIT(n) (1ULL << ((n)-1))

/* write(2) that raises no signal; the rest of a short write is tried once more per progress made. */
static void write_quietly(int fd, const char *bytes, size_t size)
{
    uint64_t held = SIGNAL_BIT(SIGPIPE) | SIGNAL_BIT(SIGXFSZ), before = 0, pending = 0;
    struct timespec none = {0, 0};
    long wrote = 0;
    pmt_sys(SYS_rt_sigprocmask, SIG_BLOCK, (long)&held, (long)&before, 8, 0, 0);
    pmt_sys(SYS_rt_sigpending, (long)&pending, 8, 0, 0, 0, 0);
    while (size > 0 && (wrote = pmt_sys_write(fd, bytes, size)) > 0) {
        bytes += wrote;
        size -= (size_t)wrote;
    }
    uint64_t raised = held & ~pending;
    if ((wrote == -EPIPE || wrote == -EFBIG) && raised)
        pmt_sys(SYS_rt_sigtimedwait, (long)&raised, 0, (long)&none, 8, 0, 0);
    pmt_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
}

/* A whole line, its newline included. */
void pmt_say_line(const char *line, size_t size)
{
    if (is_stderr_ours())
        write_quietly(2, line, size);
    else if (pmt_keep_is_ours(&copy))
        write_quietly(copy.fd, line, size);
}

/* Says the line if pmt_config.verbose is at least `level`. */
void pmt_say(int64_t level, const char *format, ...)
{
    if (pmt_config.verbose < level)
        return;
    char line[2048];
    struct pmt_text text;
    va_list values;
    pmt_text_init(&text, line, sizeof line - 1);
    pmt_text_string(&text, "pmt: ");
    va_start(values, format);
    pmt_text_values(&text, format, &values);
    va_end(values);
    *text.at++ = '\n';
    pmt_say_line(line, (size_t)(text.at - line));
}
