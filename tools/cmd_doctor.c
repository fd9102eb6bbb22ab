/* cmd_doctor.c: `pmt doctor`: what will and will not be seen here, and why. It looks and runs nothing (but the loader
 * of the command that is asked about, which lists its libraries).
 *
 *   each check adds findings {topic, level, text} -> printed as a table, as JSON, or (--preflight) its problems alone
 *
 * --json: version; library, a path or null; findings, a list of {topic, level, text}, where level is "ok", "note" (less
 * will be seen) or "problem"; interpreters, a list of {path, version, kind, served}; with a command also command:
 * {argv, path, chain, preload (will the library start in it), obstacles, engines (python, calls, lines: where events
 * come from; or null)}.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum level { OK, NOTE, PROBLEM };
static const char *const level_names[] = {[OK] = "ok", [NOTE] = "note", [PROBLEM] = "problem"};
enum { LOW_FILES = 32, FINDINGS = 64 };

struct finding {
    const char *topic;
    enum level level;
    char text[512];
};

struct examination {
    char library[PATH_MAX]; /* "" if it was not found */
    struct finding findings[FINDINGS];
    size_t count;
    struct interpreter *interpreters;
    size_t interpreter_count;
    char **command; /* NULL if none was given */
    struct program program;
    struct interpreter python; /* the one that the command is, if it is one */
    const struct engines *engines;
};

static void __attribute__((format(printf, 4, 5)))
find(struct examination *exam, const char *topic, enum level level, const char *format, ...)
{
    if (exam->count == FINDINGS)
        return;
    struct finding *finding = &exam->findings[exam->count++];
    va_list values;
    va_start(values, format);
    vsnprintf(finding->text, sizeof finding->text, format, values);
    va_end(values);
    finding->topic = topic;
    finding->level = level;
}

/* ---- checks */

static void check_library(struct examination *exam)
{
    struct elf_file elf;
    if (!library_find(exam->library, sizeof exam->library)) {
        exam->library[0] = '\0';
        find(exam, "library", PROBLEM, "libpmt.so not found beside pmt or in the lib directory of its prefix");
        return;
    }
    int error = elf_file_read(exam->library, &elf);
    if (error)
        find(exam, "library", PROBLEM, "%s cannot be read: %s", exam->library, strerror(-error));
    else if (!elf.is_native || elf.damage)
        find(exam, "library", PROBLEM, "%s is no library for this machine", exam->library);
    else if (strpbrk(exam->library, " :"))
        find(exam, "library", PROBLEM, "%s: LD_PRELOAD cannot name a path with a space or colon", exam->library);
    else
        find(exam, "library", OK, "%s, %d-bit %s", exam->library, elf.bits, elf_machine_name(elf.machine));
}

/* The kernel counts resident pages per CPU and thread in batches, before 6.16 without adding them up for statm. */
static void check_kernel(struct examination *exam)
{
    struct utsname name;
    int major = 0, minor = 0;
    uname(&name);
    sscanf(name.release, "%d.%d", &major, &minor);
    bool is_exact = major > 6 || (major == 6 && minor >= 16);
    find(exam, "kernel", is_exact ? OK : NOTE, "%s %s: resident size is %s, pages of %ld B", name.sysname, name.release,
         is_exact ? "exact to the page" : "approximate (exact from 6.16 on)", sysconf(_SC_PAGESIZE));
}

/* The first bytes of a file as a string; -errno if it cannot be read. */
static int read_start(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);
    int error = got < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    out[got < 0 ? 0 : got] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return -error;
}

static void check_proc(struct examination *exam)
{
    char path[PATH_MAX], start[128];
    const char *root = getenv("PMT_PROC_ROOT");
    long pages = 0;
    snprintf(path, sizeof path, "%s/self/statm", root ? root : "/proc");
    int error = read_start(path, start, sizeof start);
    if (error)
        find(exam, "rss", PROBLEM, "%s cannot be read (%s): no resident size, no event log", path, strerror(-error));
    else if (sscanf(start, "%*d %ld", &pages) != 1)
        find(exam, "rss", PROBLEM, "%s is not what the kernel writes there: \"%s\"", path, start);
    else
        find(exam, "rss", OK, "%s is readable", path);
}

/* What is said first is what the library says at -v. */
static void check_perf(struct examination *exam)
{
    struct perf_state state;
    perf_examine(&state);
    find(exam, "gate", state.is_allowed ? OK : NOTE, "%s (%s)", state.words, state.why);
    if (!state.is_allowed)
        find(exam, "gate", NOTE, "what moves RSS shows in the event log within 1 ms of CPU time, large blocks at once");
}

static void check_limits(struct examination *exam)
{
    struct rlimit files, size;
    char number[NUMBER_SIZE];
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_FSIZE, &size);
    if (files.rlim_cur < LOW_FILES)
        find(exam, "limits", NOTE, "%s open files (ulimit -n): there may be none left for the log",
             number_grouped(files.rlim_cur, number));
    if (size.rlim_cur != RLIM_INFINITY)
        find(exam, "limits", NOTE, "files of %s bytes at most (ulimit -f): the log stops there",
             number_grouped(size.rlim_cur, number));
    if (files.rlim_cur >= LOW_FILES && size.rlim_cur == RLIM_INFINITY)
        find(exam, "limits", OK, "open files and file size leave room for the log");
}

/* The directory that exists on the way to `path`, where the rest of it would be created. */
static void find_existing(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    while (access(out, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(out, '/');
        if (!slash) {
            snprintf(out, size, ".");
            return;
        }
        slash[slash == out ? 1 : 0] = '\0';
    }
}

/* Root may write anywhere, and yet not in /proc or on a full disk: only an attempt tells. It leaves nothing behind. */
static int try_writing(const char *directory)
{
    char path[PATH_MAX + 32];
    int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EOPNOTSUPP) {
        snprintf(path, sizeof path, "%s/.pmt-doctor-XXXXXX", directory);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static void check_directory(struct examination *exam)
{
    const char *wanted = option_value("PMT_DIR");
    char path[PATH_MAX];
    struct stat st;
    find_existing(wanted, path, sizeof path);
    bool is_there = strcmp(path, wanted) == 0;
    int error;
    if (stat(path, &st) != 0)
        find(exam, "output", PROBLEM, "%s: %s: no file will be written", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        find(exam, "output", PROBLEM, "%s is not a directory: no file will be written", path);
    else if ((error = try_writing(path)) != 0)
        find(exam, "output", PROBLEM, "%s is not writable (%s): no file will be written", path, strerror(-error));
    else
        find(exam, "output", OK, "%s %s", wanted, is_there ? "is writable" : "will be created");
}

static void check_variable(struct examination *exam, const char *entry)
{
    const char *accepted;
    int size = (int)strcspn(entry, "=");
    const char *value = entry + size + (entry[size] == '=');
    switch (option_check(entry, (size_t)size, value, &accepted)) {
    case OPTION_GOOD: find(exam, "options", OK, "%s", entry); break;
    case OPTION_WITHOUT_EFFECT: find(exam, "options", NOTE, "%s has no effect in this version", entry); break;
    case OPTION_BAD: find(exam, "options", PROBLEM, "%s is not accepted: %s", entry, accepted); break;
    case OPTION_INTERNAL: find(exam, "options", OK, "%s (internal)", entry); break;
    case OPTION_UNKNOWN: find(exam, "options", PROBLEM, "%.*s is not known", size, entry); break;
    }
}

static void check_variables(struct examination *exam)
{
    bool is_any = false;
    for (char **entry = environ; *entry; entry++) {
        if (strncmp(*entry, "PMT_", 4) != 0)
            continue;
        check_variable(exam, *entry);
        is_any = true;
    }
    if (!is_any)
        find(exam, "options", OK, "no PMT_* variable is set: defaults");
    if (strcmp(option_value("PMT_ENABLE"), "0") == 0)
        find(exam, "options", PROBLEM, "PMT_ENABLE=0: the library will do nothing");
}

static void check_interpreters(struct examination *exam)
{
    exam->interpreter_count = interpreters_find(&exam->interpreters);
    for (size_t i = 0; i < exam->interpreter_count; i++) {
        const struct interpreter *python = &exam->interpreters[i];
        const char *reach = python->is_served                     ? ""
                            : strcmp(python->kind, "script") == 0 ? ": starts another program (pmt doctor -- python3)"
                                                                  : ": Python events are for CPython 3.6 to 3.15";
        find(exam, "python", python->is_served || *reach == ':' ? OK : NOTE, "%s%s%s, %s%s", python->path,
             *python->version ? ", " : "", python->version, python->kind, reach);
    }
    if (exam->interpreter_count == 0)
        find(exam, "python", NOTE, "no python3 on PATH, in ~/.pyenv/versions or in PMT_TEST_PYTHONS");
}

static void check_engines(struct examination *exam)
{
    const struct program *program = &exam->program;
    interpreter_examine(program->path, &exam->python);
    exam->engines = interpreter_engines(&exam->python);
    find(exam, "command", OK, "it is Python%s%s (%s)", *exam->python.version ? " " : "", exam->python.version,
         *program->elf.python_needed ? program->elf.python_needed : "linked in");
    if (exam->engines)
        find(exam, "command", OK, "--events python by %s, calls by %s, lines by %s", exam->engines->python,
             exam->engines->calls, exam->engines->lines);
    else
        find(exam, "command", NOTE, "%s: Python events are for CPython 3.6 to 3.15, not free-threaded",
             *exam->python.version ? "this version is not served" : "its version is not known by its name");
}

/* False if the command cannot be started at all; that has been said. */
static bool check_command(struct examination *exam)
{
    const char *name = exam->command[0];
    int state = program_examine(exam->command, *exam->library ? exam->library : NULL, &exam->program);
    if (state != 0) {
        complain("doctor: %s: %s%s", name, exec_error(state), strchr(name, '/') ? "" : " in PATH");
        return false;
    }
    const struct program *program = &exam->program;
    find(exam, "command", OK, "%s", program->chain);
    for (int i = 0; i < program->obstacle_count; i++)
        find(exam, "command", program->is_blind ? PROBLEM : NOTE, "%s", program->obstacles[i].text);
    if (*program->elf.python_needed || program->elf.exports_python)
        check_engines(exam);
    if (!program->is_blind && *exam->library)
        find(exam, "command", OK, "its loader takes libpmt.so");
    return true;
}

/* ---- output */

static void print_table(const struct examination *exam)
{
    const char *topic = "";
    puts("pmt " PMT_VERSION);
    for (size_t i = 0; i < exam->count; i++) {
        const struct finding *finding = &exam->findings[i];
        printf("%-9s %-8s", strcmp(topic, finding->topic) ? finding->topic : "", level_names[finding->level]);
        text_print(stdout, text_of(finding->text));
        putchar('\n');
        topic = finding->topic;
    }
}

static void print_strings(const char *key, char *const *strings)
{
    printf("\"%s\": [", key);
    for (int i = 0; strings[i]; i++) {
        fputs(i ? ", " : "", stdout);
        json_string(stdout, text_of(strings[i]));
    }
    putchar(']');
}

static void print_pair(const char *before, const char *key, const char *value)
{
    printf("%s\"%s\": ", before, key);
    if (value)
        json_string(stdout, text_of(value));
    else
        fputs("null", stdout);
}

static void print_json_command(const struct examination *exam)
{
    const struct program *program = &exam->program;
    char *obstacles[sizeof program->obstacles / sizeof *program->obstacles + 1] = {NULL};
    for (int i = 0; i < program->obstacle_count; i++)
        obstacles[i] = (char *)(uintptr_t)program->obstacles[i].text;
    fputs(", \"command\": {", stdout);
    print_strings("argv", exam->command);
    print_pair(", ", "path", program->path);
    print_pair(", ", "chain", program->chain);
    printf(", \"preload\": %s, ", program->is_blind || !*exam->library ? "false" : "true");
    print_strings("obstacles", obstacles);
    if (exam->engines) {
        print_pair(", \"engines\": {", "python", exam->engines->python);
        print_pair(", ", "calls", exam->engines->calls);
        print_pair(", ", "lines", exam->engines->lines);
        putchar('}');
    } else
        fputs(", \"engines\": null", stdout);
    putchar('}');
}

static void print_json(const struct examination *exam)
{
    print_pair("{", "version", PMT_VERSION);
    print_pair(", ", "library", *exam->library ? exam->library : NULL);
    fputs(", \"findings\": [", stdout);
    for (size_t i = 0; i < exam->count; i++) {
        print_pair(i ? ", {" : "{", "topic", exam->findings[i].topic);
        print_pair(", ", "level", level_names[exam->findings[i].level]);
        print_pair(", ", "text", exam->findings[i].text);
        putchar('}');
    }
    fputs("], \"interpreters\": [", stdout);
    for (size_t i = 0; i < exam->interpreter_count; i++) {
        const struct interpreter *python = &exam->interpreters[i];
        print_pair(i ? ", {" : "{", "path", python->path);
        print_pair(", ", "version", *python->version ? python->version : NULL);
        print_pair(", ", "kind", python->kind);
        printf(", \"served\": %s}", python->is_served ? "true" : "false");
    }
    putchar(']');
    if (exam->command)
        print_json_command(exam);
    puts("}");
}

/* For pmt-exec, in front of every program: only what stands in the way, and nothing that takes time. */
static int run_preflight(struct examination *exam)
{
    if (!exam->command || !library_find(exam->library, sizeof exam->library) ||
        program_examine(exam->command, exam->library, &exam->program) != 0)
        return EXIT_GOOD;
    const struct program *program = &exam->program;
    if (!program->is_blind && program->elf.exports_malloc)
        return EXIT_GOOD; /* the library says it, and is there to say it */
    for (int i = 0; i < program->obstacle_count; i++)
        complain("%s %s: %s", exam->command[0], program->is_blind ? "runs without pmt" : "is not seen whole",
                 program->obstacles[i].text);
    return EXIT_GOOD;
}

static int run_checks(struct examination *exam, bool is_json)
{
    check_library(exam);
    check_kernel(exam);
    check_proc(exam);
    check_perf(exam);
    check_limits(exam);
    check_directory(exam);
    check_variables(exam);
    check_interpreters(exam);
    if (exam->command && !check_command(exam))
        return EXIT_BAD;
    if (is_json)
        print_json(exam);
    else
        print_table(exam);
    return EXIT_GOOD;
}

static void print_help(void)
{
    puts("Usage: pmt doctor [options] [-- command [arg...]]\n"
         "Says what pmt will and will not see on this machine, in this environment and in this\n"
         "command, and why. The command is looked at, not run.\n\n"
         "  --json       one JSON object\n"
         "  --preflight  only what keeps pmt from seeing the command, on stderr (for pmt-exec)\n"
         "  --help       this page");
}

int cmd_doctor(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"preflight", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct examination *exam = grow(NULL, &(size_t){0}, 1, sizeof *exam);
    memset(exam, 0, sizeof *exam);
    bool is_json = false, is_preflight = false;
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'j': is_json = true; break;
        case 'p': is_preflight = true; break;
        case 'h':
            print_help();
            free(exam);
            return EXIT_GOOD;
        default: free(exam); return EXIT_BAD;
        }
    }
    exam->command = optind < argc ? argv + optind : NULL;
    int status = is_preflight ? run_preflight(exam) : run_checks(exam, is_json);
    free(exam->interpreters);
    free(exam);
    return status;
}
