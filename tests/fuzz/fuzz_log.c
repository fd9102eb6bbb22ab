/* fuzz_log.c: `pmt log` on any bytes. Built by clang with -fsanitize=fuzzer it is a libFuzzer target:
 *
 *   clang -g -DLIBFUZZER -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE= -Ipreload -Itools tests/fuzz/fuzz_log.c \
 *         $(ls tools/[!gm]*.c) -DPMT_VERSION='"fuzz"' -o fuzz_log
 *   ./fuzz_log new-corpus tests/fuzz/log
 *
 * Built otherwise it replays a corpus (replay.h). */
#include "tool.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"

/* A log that is accepted ends in one whole JSON object; of one that is refused nothing is printed. */
static void check_output(int status, const char *output, size_t size)
{
    bool is_object = size > 2 && output[0] == '{' && memcmp(output + size - 2, "}\n", 2) == 0;
    if (status == EXIT_GOOD ? !is_object : size != 0)
        give_up("what was printed does not go with the status");
}

static int run_log(const char *path, char **output, size_t *size)
{
    char *words[] = {(char[]){"pmt: log"}, (char[]){"--json"}, strdup(path), NULL};
    FILE *terminal = stdout;
    stdout = open_memstream(output, size);
    optind = 0; /* makes glibc's getopt start afresh */
    int status = cmd_log(3, words);
    fclose(stdout);
    stdout = terminal;
    free(words[2]);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    char path[64], *output = NULL;
    size_t output_size = 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        give_up("no memory file");
    if (!nowhere)
        nowhere = stderr = fopen("/dev/null", "w"); /* complaints; sanitizers write to descriptor 2 */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int status = run_log(path, &output, &output_size);
    check_output(status, output, output_size);
    free(output);
    close(fd);
    return 0;
}
