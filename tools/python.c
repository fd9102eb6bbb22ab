/* python.c: the interpreters of this machine: each python3 on PATH, those of pyenv, and those of PMT_TEST_PYTHONS. None
 * is run: the version is in the name, the kind in the ELF file. */
#include "tool.h"

#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OLDEST_MINOR = 6, NEWEST_MINOR = 15 };

struct interpreters {
    struct interpreter *list;
    size_t count, capacity;
};

/* Copies "3.11" out of "python3.11", "libpython3.11.so.1.0", and "3.13t" of a free-threaded build; false if no version
 * stands there. */
static bool read_version(const char *name, char *version, size_t size)
{
    const char *at = strstr(name, "python");
    size_t length = at ? strspn(at + 6, "0123456789.") : 0;
    while (length > 0 && at[6 + length - 1] == '.')
        length--;
    if (length >= 3 && at[6 + length] == 't')
        length++;
    if (length < 3 || length >= size)
        return false;
    memcpy(version, at + 6, length);
    version[length] = '\0';
    return strchr(version, '.') != NULL;
}

/* "3.11.7" where pyenv has put it: .../versions/3.11.7/bin/python3.11 */
static bool read_folder(const char *path, char *version, size_t size)
{
    const char *at = strstr(path, "/versions/");
    size_t length = at ? strspn(at + 10, "0123456789.") : 0;
    if (length < 3 || length >= size || at[10 + length] != '/')
        return false;
    memcpy(version, at + 10, length);
    version[length] = '\0';
    return true;
}

static bool is_served(const char *version)
{
    int minor = 0;
    return sscanf(version, "3.%d", &minor) == 1 && minor >= OLDEST_MINOR && minor <= NEWEST_MINOR &&
           !strchr(version, 't');
}

/* Fills in all but the path. */
void interpreter_examine(const char *path, struct interpreter *found)
{
    char real[PATH_MAX];
    struct elf_file elf;
    bool is_known = realpath(path, real) && elf_file_read(real, &elf) == 0;
    const char *name = is_known ? strrchr(real, '/') + 1 : "";
    if (!is_known || !elf.is_elf)
        found->kind = is_known ? "script" : "unreadable";
    else if (!elf.is_native)
        found->kind = "foreign";
    else if (*elf.python_needed)
        found->kind = "shared";
    else
        found->kind = elf.exports_python ? "static" : "no Python";
    bool has_version = is_known && (read_folder(real, found->version, sizeof found->version) ||
                                    read_version(name, found->version, sizeof found->version) ||
                                    read_version(elf.python_needed, found->version, sizeof found->version));
    bool is_python = strcmp(found->kind, "shared") == 0 || strcmp(found->kind, "static") == 0;
    found->is_served = has_version && is_python && is_served(found->version);
}

static bool is_same_file(const char *path, const char *other)
{
    char real[PATH_MAX], other_real[PATH_MAX];
    return realpath(path, real) && realpath(other, other_real) && strcmp(real, other_real) == 0;
}

static void add(struct interpreters *all, const char *path)
{
    for (size_t i = 0; i < all->count; i++) {
        if (is_same_file(all->list[i].path, path))
            return;
    }
    all->list = grow(all->list, &all->capacity, all->count + 1, sizeof *all->list);
    struct interpreter *found = &all->list[all->count++];
    memset(found, 0, sizeof *found);
    snprintf(found->path, sizeof found->path, "%s", path);
    interpreter_examine(path, found);
}

/* Each element of a list separated by colons, with `end` behind it, if there is such a program. */
static void add_each(struct interpreters *all, const char *list, const char *end)
{
    while (list && *list) {
        char path[PATH_MAX];
        size_t length = strcspn(list, ":");
        snprintf(path, sizeof path, "%.*s%s", (int)length, list, end);
        if (length && access(path, X_OK) == 0)
            add(all, path);
        list += length + (list[length] == ':');
    }
}

/* NULL: of no version that is served. */
const struct engines *interpreter_engines(const struct interpreter *python)
{
    static const struct {
        int first, last; /* minor versions */
        struct engines engines;
    } rows[] = {
        {6, 11, {"a frame evaluator", "a profile function", "a profile function"}},
        {12, NEWEST_MINOR, {"sys.monitoring", "sys.monitoring", "sys.monitoring"}},
    };
    int minor = 0;
    if (!python->is_served || sscanf(python->version, "3.%d", &minor) != 1)
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (minor >= rows[i].first && minor <= rows[i].last)
            return &rows[i].engines;
    return NULL;
}

/* A new list of interpreters; the caller frees it. */
size_t interpreters_find(struct interpreter **list)
{
    struct interpreters all = {NULL, 0, 0};
    char path[PATH_MAX];
    add_each(&all, getenv("PATH"), "/python3");
    const char *home = getenv("HOME");
    snprintf(path, sizeof path, "%s/.pyenv/versions/*/bin/python3", home ? home : "");
    glob_t found;
    if (home && glob(path, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            add(&all, found.gl_pathv[i]);
        globfree(&found);
    }
    add_each(&all, getenv("PMT_TEST_PYTHONS"), "");
    *list = all.list;
    return all.count;
}
