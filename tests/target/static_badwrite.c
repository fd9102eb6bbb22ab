/* static_badwrite HOW SIZE REPORT command...: runs the command with a disk that fails under its event logs and
 * captures.
 *
 *   the command: write, pwrite ... -> seccomp filter -> notification -> badwrite decides -> answer
 *
 * HOW is `short` (every other write takes only half), `EINTR` (every other write is interrupted), or `EIO`, `ENOSPC`,
 * `EDQUOT`: every write fails once the file has SIZE bytes. Only files named *.log and *.pmt are touched. The answers
 * are the kernel's own as the command sees them, so it works however the writes are made. REPORT receives the number of
 * writes that were spoilt, by which a test knows that it tested something. Ends as the command ends. Linked statically,
 * so that nothing is preloaded into it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct failure {
    const char *name;
    int error; /* 0: a short write */
    int is_from_size;
} failures[] = {
    {"short", 0, 0}, {"EINTR", EINTR, 0}, {"EIO", EIO, 1}, {"ENOSPC", ENOSPC, 1}, {"EDQUOT", EDQUOT, 1},
};

static const struct failure *failure;
static long from_size, seen, spoilt;

static const struct failure *find_failure(const char *name)
{
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (strcmp(failures[i].name, name) == 0)
            return &failures[i];
    return NULL;
}

/* In the command's process: from here on every write asks the listener that this returns. */
static int install_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Passes a descriptor through a socket: sends `fd`, or receives one if it is -1. */
static int pass_descriptor(int through, int fd)
{
    char byte = 0;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (fd < 0) {
        if (recvmsg(through, &message, MSG_CMSG_CLOEXEC) != 1 || !(header = CMSG_FIRSTHDR(&message)))
            return -1;
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        return fd;
    }
    *header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(through, &message, 0) == 1 ? 0 : -1;
}

static int is_of_pmt(const char *link)
{
    char path[4096];
    ssize_t length = readlink(link, path, sizeof path);
    const char *end = path + length - 4;
    return length > 4 && (memcmp(end, ".log", 4) == 0 || memcmp(end, ".pmt", 4) == 0);
}

/* Writes the first half of what was asked, as a kernel would that ran out of space on the way. */
static long write_half(const struct seccomp_notif *request, const char *link)
{
    char memory[64], data[65536];
    size_t length = request->data.args[2] / 2;
    if (length > sizeof data)
        length = sizeof data;
    snprintf(memory, sizeof memory, "/proc/%u/mem", request->pid);
    int from = open(memory, O_RDONLY | O_CLOEXEC), to = open(link, O_WRONLY | O_CLOEXEC);
    long result = -1;
    if (from >= 0 && to >= 0 && pread(from, data, length, (off_t)request->data.args[1]) == (ssize_t)length)
        result = pwrite(to, data, length, (off_t)request->data.args[3]);
    close(from);
    close(to);
    return result;
}

static void answer(const struct seccomp_notif *request, struct seccomp_notif_resp *response)
{
    char link[64];
    struct stat status;
    snprintf(link, sizeof link, "/proc/%u/fd/%d", request->pid, (int)request->data.args[0]);
    response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (!is_of_pmt(link) || stat(link, &status) != 0)
        return;
    int is_due = failure->is_from_size ? status.st_size >= from_size : seen++ % 2 == 1;
    if (!is_due)
        return;
    if (failure->error == 0) {
        if (request->data.nr != SYS_pwrite64 || request->data.args[2] < 2)
            return;
        response->val = write_half(request, link);
        if (response->val < 0)
            return;
    } else {
        response->error = -failure->error;
    }
    response->flags = 0;
    spoilt++;
}

/* Answers until no process is left that has the filter. */
static void serve(int listener)
{
    struct pollfd waiting = {listener, POLLIN, 0};
    while (poll(&waiting, 1, -1) >= 0 && !(waiting.revents & POLLHUP)) {
        struct seccomp_notif request;
        struct seccomp_notif_resp response;
        memset(&request, 0, sizeof request);
        memset(&response, 0, sizeof response);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
            continue; /* the caller was killed meanwhile */
        response.id = request.id;
        answer(&request, &response);
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

int main(int argc, char **argv)
{
    int sockets[2], status = 0;
    if (argc < 5 || !(failure = find_failure(argv[1])) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return 125;
    from_size = atol(argv[2]);
    pid_t child = fork();
    if (child == 0) {
        if (pass_descriptor(sockets[0], install_filter()) == 0)
            execv(argv[4], argv + 4);
        _exit(125);
    }
    close(sockets[0]);
    int listener = pass_descriptor(sockets[1], -1);
    if (listener >= 0)
        serve(listener);
    waitpid(child, &status, 0);
    FILE *report = fopen(argv[3], "w");
    if (report) {
        fprintf(report, "%ld\n", spoilt);
        fclose(report);
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
