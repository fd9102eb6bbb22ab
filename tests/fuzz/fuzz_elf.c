/* fuzz_elf.c: what `pmt doctor` reads of ELF files, on any bytes. As a libFuzzer target it is built like fuzz_log.c;
 * else it replays a corpus (replay.h). */
#include "tool.h"

#include <string.h>
#include <sys/mman.h>

#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_file elf;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        give_up("no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (elf_file_read(path, &elf) != 0)
        give_up("a file that can be opened is read");
    if (elf.is_elf != (size >= 20 && memcmp(data, "\177ELF", 4) == 0))
        give_up("what starts with the four bytes of ELF is one");
    if (strnlen(elf.interpreter, sizeof elf.interpreter) == sizeof elf.interpreter ||
        strnlen(elf.python_needed, sizeof elf.python_needed) == sizeof elf.python_needed)
        give_up("names end");
    close(fd);
    return 0;
}
