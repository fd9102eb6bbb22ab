/* library.c: where libpmt.so is, seen from this tool: beside it (build tree), or in the lib directory of its prefix. */
#include "tool.h"

#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool take_first(const char *pattern, char *path, size_t size)
{
    glob_t found;
    bool is_found = glob(pattern, 0, NULL, &found) == 0 && strlen(found.gl_pathv[0]) < size;
    if (is_found)
        strcpy(path, found.gl_pathv[0]);
    globfree(&found);
    return is_found;
}

/* A directory's name as a pattern that matches it alone. */
static void quote_pattern(const char *name, char *out)
{
    for (; *name; name++) {
        if (strchr("*?[\\", *name))
            *out++ = '\\';
        *out++ = *name;
    }
    *out = '\0';
}

/* The same places in the same order as pmt-exec. */
bool library_find(char *path, size_t size)
{
    static const char *const places[] = {"libpmt.so", "../lib/libpmt.so", "../lib/*-linux-*/libpmt.so",
                                         "../lib64/libpmt.so"};
    char own[PATH_MAX], pattern[2 * PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        return false;
    own[length] = '\0';
    own[strrchr(own, '/') + 1 - own] = '\0';
    quote_pattern(own, pattern);
    size_t used = strlen(pattern);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char found[PATH_MAX];
        strcpy(pattern + used, places[i]);
        if (take_first(pattern, found, sizeof found) && realpath(found, own) && strlen(own) < size) {
            strcpy(path, own);
            return true;
        }
    }
    return false;
}
