/* perf.c: how libpmt.so will notice here that RSS has moved. It does what preload/gate.c does, and says what came of
 * it. */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf.h"

/* The first bytes of a file as a string, "" if it cannot be read. */
static void read_start(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[got < 0 ? 0 : got] = '\0';
}

/* 0, or the error; *is_mapping says whether it was the ring's. */
static int try_event(uint64_t what, int cpu, bool *is_mapping)
{
    struct perf_event_attr attributes = pmt_perf_attributes(what, cpu);
    long page = sysconf(_SC_PAGESIZE);
    int fd = (int)syscall(SYS_perf_event_open, &attributes, 0, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    *is_mapping = fd >= 0;
    if (fd < 0)
        return errno;
    void *ring = mmap(NULL, (size_t)(2 * page), PROT_READ, MAP_SHARED, fd, 0);
    int error = ring == MAP_FAILED ? errno : 0;
    if (ring != MAP_FAILED)
        munmap(ring, (size_t)(2 * page));
    close(fd);
    return error;
}

static int try_pair(int cpu, bool *is_mapping)
{
    int error = try_event(PERF_COUNT_SW_PAGE_FAULTS, cpu, is_mapping);
    return error ? error : try_event(PERF_COUNT_SW_TASK_CLOCK, cpu, is_mapping);
}

static int try_processors(int count)
{
    bool is_mapping;
    int error = 0;
    for (int cpu = 0; cpu < count && !error; cpu++)
        error = try_pair(cpu, &is_mapping);
    return error;
}

/* Processors that may be numbered 0 to the result less one; 0 if that is unknown. */
static int count_processors(void)
{
    char text[256], *at;
    read_start("/sys/devices/system/cpu/possible", text, sizeof text);
    for (at = text + strcspn(text, "\n"); at > text && at[-1] >= '0' && at[-1] <= '9'; at--)
        ;
    return *at >= '0' && *at <= '9' ? atoi(at) + 1 : 0;
}

/* Why there are no rings, with the setting of the kernel that decides it. */
static void explain(struct perf_state *state, int error, bool is_mapping)
{
    const char *setting = is_mapping ? "perf_event_mlock_kb" : "perf_event_paranoid";
    char path[64], value[32];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", setting);
    read_start(path, value, sizeof value);
    value[strcspn(value, "\n")] = '\0';
    if (error == ENOSYS || !*value)
        snprintf(state->why, sizeof state->why, "the kernel has none");
    else
        snprintf(state->why, sizeof state->why, "%s (%s is %s)", strerror(error), setting, value);
}

void perf_examine(struct perf_state *state)
{
    char status[4096];
    bool is_mapping = false;
    int processors = count_processors(), error;
    *state = (struct perf_state){.words = PMT_PERF_FORBIDDEN};
    read_start("/proc/self/status", status, sizeof status);
    if (!strstr(status, "\nSeccomp:\t0\n")) {
        snprintf(state->why, sizeof state->why, "a system call filter (seccomp) is in force");
        return;
    }
    state->is_allowed = true;
    if (processors > 0 && processors <= PMT_PERF_PROCESSORS_MAX && try_processors(processors) == 0) {
        state->words = PMT_PERF_PER_PROCESSOR;
        snprintf(state->why, sizeof state->why, "page faults of all threads show at once");
    } else if ((error = try_pair(-1, &is_mapping)) == 0) {
        state->words = PMT_PERF_PER_THREAD;
        snprintf(state->why, sizeof state->why,
                 "page faults of a thread show at its own events at once, at those of others within 1 ms");
    } else {
        state->is_allowed = false;
        explain(state, error, is_mapping);
    }
}
