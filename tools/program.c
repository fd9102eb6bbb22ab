/* program.c: what a command will really run, and whether libpmt.so will be preloaded into it.
 *
 *   name -> PATH -> file -> "#!" interpreter, and what `env` starts, as often as it takes -> ELF file
 *   ELF file: class and machine, loader, set-ID bits and capabilities, own allocator
 *   proof: the program's own loader, asked with --list under LD_PRELOAD, which maps the libraries but starts nothing
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CHAIN_LIMIT = 6, LINE_SIZE = 256, WORDS = 64, LOADER_SECONDS = 5 };

static void __attribute__((format(printf, 3, 4)))
obstruct(struct program *program, bool is_blind, const char *format, ...)
{
    int limit = (int)(sizeof program->obstacles / sizeof *program->obstacles);
    if (program->obstacle_count == limit)
        return;
    va_list values;
    va_start(values, format);
    char *text = program->obstacles[program->obstacle_count++].text;
    vsnprintf(text, sizeof program->obstacles->text, format, values);
    va_end(values);
    program->is_blind = program->is_blind || is_blind;
}

/* ---- from a name to a file */

/* 0 if exec would start this file, else -errno. */
static int check_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -errno;
    return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

/* The file that exec starts for `name`: 0, -ENOENT or -EACCES. */
int program_resolve(const char *name, char *path, size_t size)
{
    if (strchr(name, '/')) {
        snprintf(path, size, "%s", name);
        return check_file(path);
    }
    int result = -ENOENT;
    const char *search = getenv("PATH");
    for (search = search ? search : "/usr/local/bin:/bin:/usr/bin"; *name; search++) {
        int length = (int)strcspn(search, ":");
        snprintf(path, size, "%.*s%s%s", length, search, length ? "/" : "", name);
        int state = check_file(path);
        if (state == 0)
            return 0;
        if (state == -EACCES)
            result = -EACCES;
        search += length;
        if (*search == '\0')
            break;
    }
    snprintf(path, size, "%s", name);
    return result;
}

const char *exec_error(int state)
{
    return state == -EACCES ? "not executable" : "not found";
}

/* ---- from a script to its interpreter */

/* A command line that is being followed: words[0] is what to start. */
struct line {
    char text[LINE_SIZE];      /* a script's first line */
    char split[2 * LINE_SIZE]; /* words of `env -S` */
    const char *words[WORDS];  /* in these, or in the arguments of this tool */
    int count;
};

static char *trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t end = strlen(text); end > 0 && strchr(" \t", text[end - 1]); end--)
        text[end - 1] = '\0';
    return text;
}

/* Makes `line` the interpreter of a script and its one argument, as the kernel does, which looks at 256 bytes. A text
 * without "#!" is run by the shell. False if the file is none of these. */
static bool read_script(const char *path, struct line *line)
{
    char start[LINE_SIZE] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : read(fd, start, sizeof start - 1);
    if (fd >= 0)
        close(fd);
    if (got < 0 || memcmp(start, "\177ELF", 4) == 0)
        return false;
    start[strcspn(start, "\n")] = '\0';
    snprintf(line->text, sizeof line->text, "%s", strncmp(start, "#!", 2) == 0 ? trim(start + 2) : "/bin/sh");
    char *argument = line->text + strcspn(line->text, " \t");
    line->count = *argument ? 2 : 1;
    if (*argument)
        *argument++ = '\0';
    line->words[0] = line->text;
    line->words[1] = trim(argument);
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Replaces word `at`, an option -S of env, by the words that it holds. */
static void split_option(struct line *line, int at)
{
    const char *later[WORDS];
    int rest = at + 1;
    const char *text = line->words[at] + 2;
    if (*text == '\0' && rest < line->count)
        text = line->words[rest++];
    int later_count = line->count - rest;
    memcpy(later, line->words + rest, (size_t)later_count * sizeof *later);
    snprintf(line->split, sizeof line->split, "%s", text);
    line->count = at;
    for (char *word = strtok(line->split, " \t"); word && line->count < WORDS; word = strtok(NULL, " \t"))
        line->words[line->count++] = word;
    for (int i = 0; i < later_count && line->count < WORDS; i++)
        line->words[line->count++] = later[i];
}

/* Index of the word that `env` starts, behind its options and NAME=VALUE words; 0 if it starts nothing. */
static int skip_env(struct line *line, struct program *program)
{
    for (int i = 1; i < line->count; i++) {
        const char *word = line->words[i];
        if (strncmp(word, "-S", 2) == 0)
            split_option(line, i--);
        else if (strcmp(word, "-i") == 0 || strcmp(word, "-") == 0 || strcmp(word, "--ignore-environment") == 0)
            obstruct(program, true, "`env %s` clears the environment, LD_PRELOAD with it", word);
        else if (strcmp(word, "-u") == 0 || strcmp(word, "-C") == 0)
            i++;
        else if (word[0] != '-' && !strchr(word, '='))
            return i;
    }
    return 0;
}

static void add_link(struct program *program, const char *name)
{
    size_t used = strlen(program->chain);
    snprintf(program->chain + used, sizeof program->chain - used, "%s%s", used ? " -> " : "", name);
}

/* One step from program->path: true if it leads on to another file. */
static bool follow(struct program *program, struct line *line)
{
    char path[PATH_MAX];
    int state;
    if (read_script(program->path, line)) {
        snprintf(path, sizeof path, "%s", line->words[0]);
        state = check_file(path);
    } else if (strcmp(base_name(program->path), "env") == 0) {
        int next = skip_env(line, program);
        if (next == 0)
            return false;
        line->count -= next;
        memmove(line->words, line->words + next, (size_t)line->count * sizeof *line->words);
        state = program_resolve(line->words[0], path, sizeof path);
    } else {
        return false;
    }
    add_link(program, path);
    if (state != 0)
        obstruct(program, true, "%s, which has to run it, is %s", path, exec_error(state));
    snprintf(program->path, sizeof program->path, "%s", path);
    return state == 0;
}

/* ---- from the file to the verdict */

/* In secure mode the loader ignores LD_PRELOAD: when exec changes the IDs or adds capabilities. */
static void check_privileges(struct program *program)
{
    struct stat st;
    struct statvfs mount;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || stat(program->path, &st) != 0 ||
        statvfs(program->path, &mount) != 0 || (mount.f_flag & ST_NOSUID))
        return;
    bool is_setuid = (st.st_mode & S_ISUID) && st.st_uid != getuid();
    bool is_setgid = (st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid();
    if (is_setuid || is_setgid)
        obstruct(program, true, "it is set%s: the loader ignores LD_PRELOAD", is_setuid ? "uid" : "gid");
    else if (getuid() != 0 && getxattr(program->path, "security.capability", NULL, 0) > 0)
        obstruct(program, true, "it has file capabilities: the loader ignores LD_PRELOAD");
}

/* Only a file that calls itself a loader is started. */
static bool is_loader(const char *path)
{
    const char *name = base_name(path);
    return strncmp(name, "ld", 2) == 0 && strstr(name, ".so") && check_file(path) == 0;
}

static pid_t start_loader(const struct program *program, const char *library, int out)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    setenv("LD_PRELOAD", library, 1);
    unsetenv("LD_DEBUG");
    alarm(LOADER_SECONDS);
    execl(program->elf.interpreter, program->elf.interpreter, "--list", program->path, (char *)NULL);
    _exit(127);
}

/* Everything that the loader says, cut at `size`; false if it could not be asked. */
static bool ask_loader(const struct program *program, const char *library, char *said, size_t size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = start_loader(program, library, ends[1]);
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 0;
    do {
        used += (size_t)got;
        got = read(ends[0], said + used, size - 1 - used);
    } while (pid > 0 && used < size - 1 && (got > 0 || (got < 0 && errno == EINTR)));
    said[used] = '\0';
    close(ends[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && (WIFEXITED(status) ? WEXITSTATUS(status) != 127 : WTERMSIG(status) == SIGPIPE);
}

/* Looks for a line of the loader that starts with the library's path. */
static bool is_listed(const char *said, const char *library)
{
    size_t length = strlen(library);
    for (const char *at = said; (at = strstr(at, library)); at += length) {
        bool is_start = at == said || strchr("\n\t ", at[-1]);
        if (is_start && (strncmp(at + length, " (0x", 4) == 0 || strncmp(at + length, " =>", 3) == 0))
            return true;
    }
    return false;
}

static void prove_preload(struct program *program, const char *library)
{
    char said[16384];
    if (!is_loader(program->elf.interpreter)) {
        obstruct(program, true, "its loader %s is missing, or none that is known", program->elf.interpreter);
        return;
    }
    if (!ask_loader(program, library, said, sizeof said) || is_listed(said, library))
        return;
    char *reason = strstr(said, "LD_PRELOAD");
    reason = reason ? reason : said;
    reason[strcspn(reason, "\n")] = '\0';
    obstruct(program, true, "its loader does not take libpmt.so: %s", *reason ? reason : "no reason given");
}

static void check_elf(struct program *program, const char *library)
{
    const struct elf_file *elf = &program->elf;
    if (!elf->is_elf) {
        obstruct(program, true, "%s is no program: too many scripts run one another", program->path);
    } else if (!elf->is_native) {
        obstruct(program, true, "it is a %d-bit program for %s, and libpmt.so is not", elf->bits,
                 elf_machine_name(elf->machine));
    } else if (elf->damage) {
        obstruct(program, true, "%s is damaged: %s", program->path, elf->damage);
    } else if (!elf->has_interpreter) {
        obstruct(program, true, "it is linked statically: no loader reads LD_PRELOAD");
    } else {
        check_privileges(program);
        if (elf->defines_malloc)
            obstruct(program, false,
                     "it has its own malloc: what it allocates there is not counted (Python events, mmap and the "
                     "calls of libraries may be)");
        if (!program->is_blind && library)
            prove_preload(program, library);
    }
}

/* Follows the command to the file that will run and says what stands in pmt's way. `library` may be NULL. 0, or
 * -ENOENT or -EACCES if the command itself cannot be started. */
int program_examine(char **argv, const char *library, struct program *program)
{
    struct line line = {.count = 0};
    memset(program, 0, sizeof *program);
    int state = program_resolve(argv[0], program->path, sizeof program->path);
    add_link(program, program->path);
    if (state != 0)
        return state;
    for (; argv[line.count] && line.count < WORDS; line.count++)
        line.words[line.count] = argv[line.count];
    for (int links = 0; links < CHAIN_LIMIT && follow(program, &line); links++)
        continue;
    if (library && strpbrk(library, " :"))
        obstruct(program, true, "LD_PRELOAD cannot name %s: a path with a space or colon", library);
    int error = program->is_blind ? 0 : elf_file_read(program->path, &program->elf);
    if (error)
        obstruct(program, false, "%s cannot be read to look at it: %s", program->path, strerror(-error));
    else if (!program->is_blind)
        check_elf(program, library);
    return 0;
}
