/* static_fillfds soft|hard LIMIT SPARE command...: runs the command with RLIMIT_NOFILE at LIMIT (`soft`: it could be
 * raised again) and all but SPARE descriptors in use. Linked statically, so that nothing is preloaded into it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc < 5 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 125;
    int last = 2, spare = atoi(argv[3]);
    limit.rlim_cur = (rlim_t)atoi(argv[2]);
    if (strcmp(argv[1], "hard") == 0)
        limit.rlim_max = limit.rlim_cur;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;)
        last = fd;
    while (spare-- > 0)
        close(last--);
    execv(argv[4], argv + 4);
    perror(argv[4]);
    return 127;
}
