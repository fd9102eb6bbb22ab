/* main.c: the tool `pmt`: finds the command in a table and hands it the rest of the line. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"report", cmd_report, "who holds the memory: now, at the peak and in total, by line and stack"},
    {"diff", cmd_diff, "what grew between two captures, or two snapshots of one"},
    {"log", cmd_log, "an event log summed up: where RSS rose and fell, by function and line"},
    {"doctor", cmd_doctor, "what will and will not be seen here, and why"},
};

static void print_help(void)
{
    puts("Usage: pmt COMMAND [options] ...\n"
         "Reads what the memory profiler pmt wrote. (pmt-exec runs a program under it.)\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].help);
    puts("\n  --help     this page; pmt COMMAND --help for one command\n"
         "  --version  print the version\n\n"
         "Exit status: 0, or 1 with one line on stderr that says what was wrong.");
}

/* What was printed counts only if it arrived. */
static int finish(int status)
{
    bool is_written = !ferror(stdout) && fflush(stdout) == 0;
    if (!is_written)
        complain("cannot write to stdout: %m");
    return is_written ? status : EXIT_BAD;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return EXIT_GOOD;
    }
    if (strcmp(name, "--version") == 0) {
        puts("pmt " PMT_VERSION);
        return EXIT_GOOD;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        char title[32];
        snprintf(title, sizeof title, "pmt: %s", name); /* how getopt_long() starts its lines */
        argv[1] = title;
        return commands[i].run(argc - 1, argv + 1);
    }
    if (argc < 2)
        complain("no command given (see pmt --help)");
    else
        complain("unknown %s %s (see pmt --help)", *name == '-' ? "option" : "command", name);
    return EXIT_BAD;
}

int main(int argc, char **argv)
{
    return finish(run(argc, argv));
}
