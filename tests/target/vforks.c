/* vforks: vfork whose child allocates in the parent's memory, vfork + exec, and posix_spawn, 100 times each. */
#define _GNU_SOURCE
#include <spawn.h>
#include <sys/wait.h>

#include "witness.h"

static int vfork_and(const volatile int exec)
{
    int status = -1;
    pid_t child = vfork();
    if (child == 0) {
        free(malloc(100));
        void *volatile kept = malloc(100); /* the parent's heap: stays allocated */
        (void)kept;
        if (exec)
            execl("/bin/true", "true", (char *)NULL);
        _exit(exec ? 127 : 0);
    }
    waitpid(child, &status, 0);
    return status;
}

static int spawn(void)
{
    int status = -1;
    pid_t child;
    char *argv[] = {(char[]){"true"}, NULL};
    if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) != 0)
        return -1;
    waitpid(child, &status, 0);
    return status;
}

int main(void)
{
    int bad = 0;
    for (int i = 0; i < 100; i++)
        bad += (vfork_and(0) != 0) + (vfork_and(1) != 0) + (spawn() != 0);
    printf("%d of 300 children failed\n", bad);
    witness("end");
    return bad != 0;
}
