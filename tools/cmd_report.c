/* cmd_report.c: `pmt report`: who holds the memory of a process, or of a tree of processes, now, at the peak and in
 * total. */
#include "report.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static void print_help(void)
{
    puts("Usage: pmt report [options] FILE...\n"
         "Who holds the memory: by the captures (.pmt) of one process, or of all processes of a tree.\n\n"
         "  --sort live|peak|total|temporary|growth\n"
         "                   one table of this, not all of them; growth: since the first snapshot");
    puts(view_help);
}

static bool set_sort(struct report *report, const char *name)
{
    for (int i = 0; i < TABLES; i++) {
        if (strcmp(name, tables[i].name) == 0)
            report->sort = &tables[i];
    }
    if (!report->sort)
        complain("report: --sort '%s' is not accepted: live, peak, total, temporary or growth", name);
    return report->sort;
}

/* ---- captures */

static bool is_given_twice(const struct report *report, const struct capture *capture)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->captures[i].device == capture->device && report->captures[i].inode == capture->inode)
            return true;
    }
    return false;
}

static int compare_starts(const void *left, const void *right)
{
    const struct capture *a = left, *b = right;
    if (a->header.start_unix_ns != b->header.start_unix_ns)
        return a->header.start_unix_ns < b->header.start_unix_ns ? -1 : 1;
    return a->header.pid != b->header.pid ? (a->header.pid < b->header.pid ? -1 : 1) : strcmp(a->path, b->path);
}

/* The first whose parent is not among them. */
static size_t find_root(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        bool has_parent = false;
        for (size_t j = 0; j < report->count && !has_parent; j++)
            has_parent = j != i && report->captures[j].header.pid == report->captures[i].header.parent_pid;
        if (!has_parent)
            return i;
    }
    return 0;
}

/* Opens all that can be opened; false if one cannot. */
static bool open_captures(struct report *report, char **paths)
{
    bool is_good = true;
    size_t capacity = 0;
    for (; *paths; paths++) {
        struct capture capture;
        bool is_open = capture_open(&capture, *paths) == 0;
        bool is_double = is_open && is_given_twice(report, &capture);
        if (is_open && !is_double) {
            report->captures = grow(report->captures, &capacity, report->count + 1, sizeof *report->captures);
            report->captures[report->count++] = capture;
            continue;
        }
        complain("%s: %s", *paths, is_double ? "is given twice" : capture.error);
        capture_close(&capture);
        is_good = false;
    }
    if (report->count)
        qsort(report->captures, report->count, sizeof *report->captures, compare_starts);
    report->root = find_root(report);
    return is_good;
}

/* The first snapshot that is not of the end. */
static const struct capture_snapshot *find_base(const struct capture *capture)
{
    for (size_t i = 0; i < capture->snapshot_count; i++) {
        if (capture->snapshots[i].kind != PMT_SNAPSHOT_EXIT)
            return &capture->snapshots[i];
    }
    return NULL;
}

/* Adds all captures up; false after a complaint. */
static bool fill_profile(struct report *report)
{
    bool needs_base = report->sort == &tables[TABLE_GROWTH];
    profile_start(&report->profile);
    for (size_t i = 0; i < report->count; i++) {
        const struct capture_snapshot *base = needs_base ? find_base(&report->captures[i]) : NULL;
        if (needs_base && !base) {
            complain("%s: has no snapshot that growth could be measured from: run with --snapshot peak,exit,+64M",
                     report->captures[i].path);
            return false;
        }
        profile_add(&report->profile, &report->captures[i], base);
    }
    return true;
}

/* ---- the command */

static bool read_options(struct report *report, int argc, char **argv)
{
    static const struct option options[] = {{"sort", required_argument, NULL, 's'}, VIEW_OPTIONS, {NULL, 0, NULL, 0}};
    int option;
    bool is_good = true;
    while (is_good && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        is_good = option == 's' ? set_sort(report, optarg) : view_option(&report->view, option, optarg);
    view_settle(&report->view);
    return is_good;
}

int cmd_report(int argc, char **argv)
{
    struct report report = {.view = {.command = "report"}};
    bool is_good = read_options(&report, argc, argv);
    if (is_good && report.view.is_help) {
        print_help();
    } else if (is_good && optind == argc) {
        complain("report: no file given (see pmt report --help)");
        is_good = false;
    } else if (is_good) {
        is_good = open_captures(&report, argv + optind);
        if (report.count > 0 && fill_profile(&report))
            report.view.is_json ? report_json(&report) : report_words(&report);
        else
            is_good = false;
        profile_free(&report.profile);
    }
    for (size_t i = 0; i < report.count; i++)
        capture_close(&report.captures[i]);
    free(report.captures);
    view_free(&report.view);
    return is_good ? EXIT_GOOD : EXIT_BAD;
}
