/* cmd_log.c: `pmt log`: an event log summed up: its rows, and the places where RSS rose and fell.
 *
 * --json, one object a file (one a line): file; rows {next, prev, msg}; events; what {CALL: rows, ...}; threads;
 * clock {first, last} in CPU seconds; rss {first, last, max}, null without rows; total {rose, fell}; rose and fell,
 * biggest first, of {bytes, events, function, file, line}, null where it does not apply; cut_bytes; nul_bytes; lost
 * (rows missing by the log's own MSG rows, null if it ends before it says how many), messages (those rows);
 * contradictions (rows whose dRSS is not the difference from the row before).
 */
#include "tool.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const groupings[] = {"line", "function", "file"};
enum { ALL = -1, DEFAULT_TOP = 10 };

struct settings {
    enum grouping by;
    long top; /* places shown of each table */
    bool is_json;
};

/* ---- tables of places */

static uint64_t site_bytes(const struct site *site, bool is_rise)
{
    return is_rise ? site->rose : site->fell;
}

static int compare_names(const struct site *a, const struct site *b)
{
    int order = text_compare(a->file, b->file);
    order = order ? order : (a->line > b->line) - (a->line < b->line);
    return order ? order : text_compare(a->function, b->function);
}

static int compare_rise(const void *left, const void *right)
{
    const struct site *const *a = left, *const *b = right;
    return (*a)->rose != (*b)->rose ? ((*a)->rose < (*b)->rose ? 1 : -1) : compare_names(*a, *b);
}

static int compare_fall(const void *left, const void *right)
{
    const struct site *const *a = left, *const *b = right;
    return (*a)->fell != (*b)->fell ? ((*a)->fell < (*b)->fell ? 1 : -1) : compare_names(*a, *b);
}

/* Places that moved RSS this way, biggest first; the caller frees the list. */
static const struct site **sort_sites(const struct tally *tally, bool is_rise, size_t *count)
{
    size_t capacity = 0;
    const struct site **list = grow(NULL, &capacity, tally->places.count + 1, sizeof(struct site *));
    *count = 0;
    for (size_t i = 0; i < tally->places.count; i++) {
        if (site_bytes(&tally->places.sites[i], is_rise))
            list[(*count)++] = &tally->places.sites[i];
    }
    if (site_bytes(&tally->between, is_rise))
        list[(*count)++] = &tally->between;
    qsort(list, *count, sizeof *list, is_rise ? compare_rise : compare_fall);
    return list;
}

static size_t shown_of(size_t count, long top)
{
    return top == ALL || (size_t)top > count ? count : (size_t)top;
}

/* ---- for people */

static void print_amount(uint64_t bytes, uint64_t events)
{
    char grouped[NUMBER_SIZE], mib[NUMBER_SIZE], count[NUMBER_SIZE];
    printf("  %16s %10s %12s  ", number_grouped(bytes, grouped), number_mib(bytes, mib), number_grouped(events, count));
}

static void print_place(const struct tally *tally, const struct site *site, enum grouping by)
{
    if (site == &tally->between) {
        puts("(between logged rows)");
        return;
    }
    if (by != BY_FILE) {
        text_print(stdout, site->function);
        fputs("  ", stdout);
    }
    text_print(stdout, site->file);
    if (by == BY_LINE)
        printf(":%" PRId64, site->line);
    putchar('\n');
}

static void print_table(const struct tally *tally, const struct settings *settings, bool is_rise)
{
    size_t count;
    const struct site **list = sort_sites(tally, is_rise, &count);
    size_t shown = shown_of(count, settings->top);
    uint64_t bytes = 0, events = 0;
    printf("\nRSS %s\n", is_rise ? "rose" : "fell");
    if (count)
        printf("  %16s %10s %12s  by %s\n", "bytes", "MiB", "events", groupings[settings->by]);
    else
        puts("  nowhere");
    for (size_t i = 0; i < count; i++) {
        uint64_t site_events = is_rise ? list[i]->rose_events : list[i]->fell_events;
        if (i < shown) {
            print_amount(site_bytes(list[i], is_rise), site_events);
            print_place(tally, list[i], settings->by);
        } else {
            bytes += site_bytes(list[i], is_rise);
            events += site_events;
        }
    }
    if (shown < count) {
        print_amount(bytes, events);
        char number[NUMBER_SIZE];
        printf("in %s more\n", number_grouped(count - shown, number));
    }
    free(list);
}

static void print_rows(const struct tally *tally)
{
    static const char *const names[] = {[LOG_NEXT] = "NEXT", [LOG_PREV] = "PREV", [LOG_MSG] = "MSG"};
    char number[NUMBER_SIZE];
    uint64_t total = 0;
    for (int kind = 0; kind < LOG_KINDS; kind++)
        total += tally->rows[kind];
    printf("rows     %s:", number_grouped(total, number));
    for (int kind = 0; kind < LOG_KINDS; kind++)
        printf("%s %s %s", kind ? "," : "", number_grouped(tally->rows[kind], number), names[kind]);
    printf(", and the header\nwhat     ");
    for (size_t i = 0; i < tally->what.count; i++) {
        struct site *what = &tally->what.sites[i];
        printf("%s%s ", i ? ", " : "", number_grouped(what->rows, number));
        text_print(stdout, what->function);
    }
    puts(tally->what.count ? "" : "nothing");
}

static void print_rss(const char *name, int64_t bytes, const char *end)
{
    char number[NUMBER_SIZE], mib[NUMBER_SIZE];
    printf("%s %s B (%s MiB)%s", name, number_grouped((uint64_t)bytes, number), number_mib((uint64_t)bytes, mib), end);
}

static void print_figures(const struct tally *tally)
{
    char number[NUMBER_SIZE];
    if (!tally->has_rows) {
        puts("events   none logged");
        return;
    }
    printf("events   %s up to the last row, in %zu thread%s\n", number_grouped(tally->last_event + 1, number),
           tally->threads.count, tally->threads.count == 1 ? "" : "s");
    printf("clock    %.6f to %.6f CPU seconds\n", (double)tally->clock_first / 1e6, (double)tally->clock_last / 1e6);
    fputs("RSS     ", stdout);
    print_rss(" first", tally->rss_first, ",");
    print_rss(" last", tally->rss_last, ",");
    print_rss(" highest", tally->rss_max, "\n");
}

static void print_end(const struct tally *tally, const struct log_reader *reader)
{
    char number[NUMBER_SIZE];
    fputs("end      ", stdout);
    if (reader->cut_bytes)
        printf("cut: last row incomplete, ignored %s bytes", number_grouped(reader->cut_bytes, number));
    else
        fputs("whole: the last row is complete", stdout);
    if (reader->nul_bytes)
        printf("; ignored %s NUL bytes behind it", number_grouped(reader->nul_bytes, number));
    putchar('\n');
    if (tally->is_limited && tally->left_out == 0)
        puts("note     the log reached PMT_LOG_MAX, and ends before it says how many rows were left out");
    for (size_t i = 0; i < tally->message_count; i++) {
        fputs("MSG      ", stdout);
        text_print(stdout, tally->messages[i]);
        putchar('\n');
    }
    if (tally->contradictions)
        printf("note     rows whose dRSS is not the difference from the row before: %s; RSS is what counts here\n",
               number_grouped(tally->contradictions, number));
}

static void print_summary(const struct tally *tally, const struct log_reader *reader, const struct settings *settings)
{
    char number[4][NUMBER_SIZE];
    fputs("log      ", stdout);
    text_print(stdout, text_of(tally->path));
    putchar('\n');
    print_rows(tally);
    print_figures(tally);
    print_end(tally, reader);
    if (!tally->has_rows)
        return;
    print_table(tally, settings, true);
    print_table(tally, settings, false);
    printf("\nfirst %s + rose %s - fell %s = last %s B\n", number_grouped((uint64_t)tally->rss_first, number[0]),
           number_grouped(tally->rose, number[1]), number_grouped(tally->fell, number[2]),
           number_grouped((uint64_t)tally->rss_last, number[3]));
}

/* ---- for machines */

static void print_json_sites(const struct tally *tally, const struct settings *settings, bool is_rise)
{
    size_t count;
    const struct site **list = sort_sites(tally, is_rise, &count);
    printf(", \"%s\": [", is_rise ? "rose" : "fell");
    for (size_t i = 0; i < shown_of(count, settings->top); i++) {
        const struct site *site = list[i];
        printf("%s{\"bytes\": %" PRIu64 ", \"events\": %" PRIu64 ", \"function\": ", i ? ", " : "",
               site_bytes(site, is_rise), is_rise ? site->rose_events : site->fell_events);
        if (site == &tally->between) {
            fputs("\"(between logged rows)\", \"file\": null, \"line\": null}", stdout);
            continue;
        }
        if (settings->by == BY_FILE)
            fputs("null", stdout);
        else
            json_string(stdout, site->function);
        fputs(", \"file\": ", stdout);
        json_string(stdout, site->file);
        if (settings->by == BY_LINE)
            printf(", \"line\": %" PRId64 "}", site->line);
        else
            fputs(", \"line\": null}", stdout);
    }
    putchar(']');
    free(list);
}

static void print_json_figures(const struct tally *tally)
{
    printf(", \"rows\": {\"next\": %" PRIu64 ", \"prev\": %" PRIu64 ", \"msg\": %" PRIu64 "}, \"events\": %" PRIu64,
           tally->rows[LOG_NEXT], tally->rows[LOG_PREV], tally->rows[LOG_MSG],
           tally->has_rows ? tally->last_event + 1 : 0);
    fputs(", \"what\": {", stdout);
    for (size_t i = 0; i < tally->what.count; i++) {
        fputs(i ? ", " : "", stdout);
        json_string(stdout, tally->what.sites[i].function);
        printf(": %" PRIu64, tally->what.sites[i].rows);
    }
    printf("}, \"threads\": %zu", tally->threads.count);
    if (!tally->has_rows) {
        fputs(", \"clock\": {\"first\": null, \"last\": null}", stdout);
        fputs(", \"rss\": {\"first\": null, \"last\": null, \"max\": null}", stdout);
        return;
    }
    printf(", \"clock\": {\"first\": %.6f, \"last\": %.6f}", (double)tally->clock_first / 1e6,
           (double)tally->clock_last / 1e6);
    printf(", \"rss\": {\"first\": %" PRId64 ", \"last\": %" PRId64 ", \"max\": %" PRId64 "}", tally->rss_first,
           tally->rss_last, tally->rss_max);
}

static void print_json(const struct tally *tally, const struct log_reader *reader, const struct settings *settings)
{
    fputs("{\"file\": ", stdout);
    json_string(stdout, text_of(tally->path));
    print_json_figures(tally);
    printf(", \"total\": {\"rose\": %" PRIu64 ", \"fell\": %" PRIu64 "}", tally->rose, tally->fell);
    print_json_sites(tally, settings, true);
    print_json_sites(tally, settings, false);
    printf(", \"cut_bytes\": %" PRIu64 ", \"nul_bytes\": %" PRIu64 ", \"lost\": ", reader->cut_bytes,
           reader->nul_bytes);
    if (tally->is_limited && tally->left_out == 0)
        fputs("null", stdout);
    else
        printf("%" PRIu64, tally->left_out + tally->lost);
    fputs(", \"messages\": [", stdout);
    for (size_t i = 0; i < tally->message_count; i++) {
        fputs(i ? ", " : "", stdout);
        json_string(stdout, tally->messages[i]);
    }
    printf("], \"contradictions\": %" PRIu64 "}\n", tally->contradictions);
}

/* ---- the command */

static bool summarise(const char *path, const struct settings *settings)
{
    struct tally tally;
    struct log_reader reader;
    bool is_good = tally_log(&tally, &reader, path, settings->by);
    if (is_good && settings->is_json)
        print_json(&tally, &reader, settings);
    else if (is_good)
        print_summary(&tally, &reader, settings);
    log_close(&reader);
    tally_free(&tally);
    return is_good;
}

static void print_help(void)
{
    puts("Usage: pmt log [options] FILE...\n"
         "Sums an event log up: its rows, and where RSS rose and fell.\n\n"
         "  --top N                   places in each table (10; all with --json); 0 is all\n"
         "  --by line|function|file   what a place is (line)\n"
         "  --json                    one JSON object a file\n"
         "  --help                    this page");
}

static bool set_grouping(struct settings *settings, const char *name)
{
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++) {
        if (strcmp(name, groupings[i]) == 0) {
            settings->by = (enum grouping)i;
            return true;
        }
    }
    complain("log: --by '%s' is not accepted: line, function or file", name);
    return false;
}

static bool set_top(struct settings *settings, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 9 || value[digits]) {
        complain("log: --top '%s' is not accepted: a whole number, 0 for all", value);
        return false;
    }
    long top = strtol(value, NULL, 10);
    settings->top = top ? top : ALL;
    return true;
}

int cmd_log(int argc, char **argv)
{
    static const struct option options[] = {{"top", required_argument, NULL, 't'},
                                            {"by", required_argument, NULL, 'b'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct settings settings = {BY_LINE, 0, false};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't':
            if (!set_top(&settings, optarg))
                return EXIT_BAD;
            break;
        case 'b':
            if (!set_grouping(&settings, optarg))
                return EXIT_BAD;
            break;
        case 'j': settings.is_json = true; break;
        case 'h': print_help(); return EXIT_GOOD;
        default: return EXIT_BAD;
        }
    }
    if (settings.top == 0)
        settings.top = settings.is_json ? ALL : DEFAULT_TOP;
    if (optind == argc) {
        complain("log: no file given (see pmt log --help)");
        return EXIT_BAD;
    }
    bool is_good = true;
    for (int i = optind; i < argc; i++) {
        if (i > optind && !settings.is_json)
            putchar('\n');
        is_good = summarise(argv[i], &settings) && is_good;
    }
    return is_good ? EXIT_GOOD : EXIT_BAD;
}
