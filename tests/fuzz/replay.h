/* replay.h: makes a program of a libFuzzer target, which includes it: it runs each file of a folder as it is, cut at
 * every byte, and with every byte changed in turn. A failure ends the program; what that finds is most with sanitizers.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Noreturn void give_up(const char *what)
{
    dprintf(STDERR_FILENO, "fuzz target: %s\n", what);
    abort();
}

#ifndef LIBFUZZER

static void replay_changed(uint8_t *data, size_t size)
{
    static const uint8_t values[] = {0, ' ', '#', '9', '\n', 0xff};
    for (size_t cut = 0; cut <= size; cut++)
        LLVMFuzzerTestOneInput(data, cut);
    for (size_t at = 0; at < size; at++) {
        uint8_t kept = data[at];
        data[at] = values[at % sizeof values];
        LLVMFuzzerTestOneInput(data, size);
        data[at] = (uint8_t)(kept ^ (1u << at % 8));
        LLVMFuzzerTestOneInput(data, size);
        data[at] = kept;
    }
}

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    static uint8_t data[1 << 16];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    if (!file || fclose(file) != 0)
        give_up("a file of the corpus cannot be read");
    replay_changed(data, size);
    printf("PASS %s\n", name);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    DIR *folder = opendir(argc == 2 ? argv[1] : "");
    if (!folder)
        give_up("give the folder of the corpus");
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.' ? replay_file(argv[1], entry->d_name) : 0;
    closedir(folder);
    printf("%d passed, 0 failed, 0 skipped\n", count); /* a failure has ended the program */
    return count ? 0 : 1;
}

#endif

#endif
