/* witness.h: what FAULTS.md asks of every case, as a file that must be the same with and without pmt.
 *
 * witness("name") writes witness-name into $WITNESS_DIR: the numbers of newly opened descriptors, the environment
 * without documented names, the number of threads, signal handlers and masks, and errno after calls that succeed.
 * tests/fault/programs/witness.py writes the same for Python programs. */
#ifndef PMT_TESTS_WITNESS_H
#define PMT_TESTS_WITNESS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WITNESS_ERRNO 1234 /* no call sets it */

extern char **environ;

static void witness_descriptors(FILE *out)
{
    int fds[4];
    fprintf(out, "new descriptors:");
    for (int i = 0; i < 4; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fprintf(out, " %d", fds[i]);
    }
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    fprintf(out, "\n");
}

static void witness_environment(FILE *out)
{
    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "PMT_", 4) != 0)
            fprintf(out, "environment: %s\n", *entry);
}

static void witness_threads(FILE *out)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));)
        count += task->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    fprintf(out, "threads: %d\n", count);
}

static void witness_signals(FILE *out)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0 || strncmp(line, "SigCgt", 6) == 0)
            fputs(line, out);
    if (status)
        fclose(status);
}

static void witness_errno(FILE *out)
{
    errno = WITNESS_ERRNO;
    void *block = malloc(100);
    fprintf(out, "errno after malloc: %d\n", errno);
    errno = WITNESS_ERRNO;
    block = realloc(block, 100000);
    fprintf(out, "errno after realloc: %d\n", errno);
    errno = WITNESS_ERRNO;
    free(block);
    fprintf(out, "errno after free: %d\n", errno);
    errno = WITNESS_ERRNO;
    block = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fprintf(out, "errno after mmap: %d\n", errno);
    munmap(block, 8192);
    fprintf(out, "errno after munmap: %d\n", errno);
}

static void witness(const char *name)
{
    char path[4096];
    const char *directory = getenv("WITNESS_DIR");
    snprintf(path, sizeof path, "%s/witness-%s", directory ? directory : ".", name);
    FILE *out = fopen(path, "we");
    if (!out)
        return;
    witness_descriptors(out);
    witness_environment(out);
    witness_threads(out);
    witness_signals(out);
    witness_errno(out);
    fclose(out);
}

#endif
