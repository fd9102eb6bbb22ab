/* sys.h: system calls without libc. They leave errno alone, cannot be interposed by the host's other libraries, take no
 * cancellation point and work before libc is ready. Result: >= 0, or -errno. */
#ifndef PMT_SYS_H
#define PMT_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#if !defined(__x86_64__)
#error "libpmt.so is written for x86-64 Linux (sys.h and notice.c hold the machine-dependent lines)"
#endif

static inline long pmt_sys(long nr, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline int pmt_sys_open(const char *path, int flags, int mode)
{
    return (int)pmt_sys(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

static inline int pmt_sys_close(int fd)
{
    return (int)pmt_sys(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline int pmt_sys_fstat(int fd, struct stat *st)
{
    return (int)pmt_sys(SYS_fstat, fd, (long)st, 0, 0, 0, 0);
}

static inline long pmt_sys_pread(int fd, void *bytes, size_t size, int64_t at)
{
    return pmt_sys(SYS_pread64, fd, (long)bytes, (long)size, at, 0, 0);
}

static inline long pmt_sys_pwrite(int fd, const void *bytes, size_t size, int64_t at)
{
    return pmt_sys(SYS_pwrite64, fd, (long)bytes, (long)size, at, 0, 0);
}

static inline long pmt_sys_write(int fd, const void *bytes, size_t size)
{
    return pmt_sys(SYS_write, fd, (long)bytes, (long)size, 0, 0, 0);
}

static inline int pmt_sys_getrlimit(int resource, struct rlimit *limit)
{
    return (int)pmt_sys(SYS_prlimit64, 0, resource, 0, (long)limit, 0, 0);
}

/* Anonymous private memory, zeroed; NULL when there is none. */
static inline void *pmt_sys_pages(size_t size)
{
    long at = pmt_sys(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)at;
}

static inline int pmt_sys_getpid(void)
{
    return (int)pmt_sys(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* Nanoseconds; the clocks of the vdso leave errno alone. */
static inline int64_t pmt_sys_clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* All signals held off between these two; the kernel's mask is 8 bytes. */
static inline void pmt_sys_hold_signals(uint64_t *before)
{
    uint64_t all = ~0ULL;
    pmt_sys(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)before, 8, 0, 0);
}

static inline void pmt_sys_release_signals(const uint64_t *before)
{
    pmt_sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)before, 0, 8, 0, 0);
}

#endif
