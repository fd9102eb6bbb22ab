/* alive.c: whether the process that wrote a capture still runs, from /proc (PMT_PROC_ROOT) alone. A process ID is used
 * again sooner or later, but only by a process that starts after the first one ended. */
#include "read.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLACK_SECONDS = 2 }; /* the time of the boot is in whole seconds */

static bool __attribute__((format(printf, 3, 4))) read_proc(char *content, size_t size, const char *format, ...)
{
    char name[128], path[4096];
    const char *root = getenv("PMT_PROC_ROOT");
    va_list values;
    va_start(values, format);
    vsnprintf(name, sizeof name, format, values);
    va_end(values);
    snprintf(path, sizeof path, "%s/%s", root ? root : "/proc", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t done = 0;
    for (ssize_t got; done < size - 1 && (got = read(fd, content + done, size - 1 - done)) > 0;)
        done += (size_t)got;
    content[done] = '\0';
    close(fd);
    return done > 0;
}

/* Unix time of the boot in seconds; 0 if it is not known. */
static int64_t boot_time(void)
{
    size_t size = 1 << 20; /* a line for each of many processors comes first */
    char *content = malloc(size);
    char *line = content && read_proc(content, size, "stat") ? strstr(content, "\nbtime ") : NULL;
    int64_t time = line ? strtoll(line + 7, NULL, 10) : 0;
    free(content);
    return time;
}

static bool is_same_boot(struct text boot)
{
    char here[64];
    if (boot.size == 0 || !read_proc(here, sizeof here, "sys/kernel/random/boot_id"))
        return true; /* not known to be another */
    here[strcspn(here, "\n")] = '\0';
    return text_equal(boot, text_of(here));
}

/* `boot`: the boot_id of the machine, or "" if the capture does not tell. */
bool process_is_alive(int pid, int64_t start_unix_ns, struct text boot)
{
    char stat[4096], state = 'X';
    uint64_t ticks = 0;
    if (pid <= 0 || !is_same_boot(boot) || !read_proc(stat, sizeof stat, "%d/stat", pid))
        return false;
    char *fields = strrchr(stat, ')'); /* the name before it may hold anything */
    if (!fields ||
        sscanf(fields, ") %c %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %" SCNu64, &state,
               &ticks) != 2)
        return false;
    int64_t started = boot_time() + (int64_t)(ticks / (uint64_t)sysconf(_SC_CLK_TCK));
    return state != 'Z' && state != 'X' && started <= start_unix_ns / 1000000000 + SLACK_SECONDS;
}
