/* report_words.c: `pmt report` for people: what the process was and how it ended, its totals, then tables that add up
 * to them; of several processes one line each, and tables of their sums. */
#include "report.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { COMMAND_SHOWN = 200 };

static const char *const ends[] = {
    [END_EXIT] = "exit", [END_EXEC] = "exec", [END_KILLED] = "killed", [END_RUNNING] = "running"};

/* ---- numbers */

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1024 * 1024);
}

/* "1,234 B (0.0 MiB) in 5 blocks" */
static void print_amount(int64_t bytes, int64_t blocks)
{
    char number[2][NUMBER_SIZE];
    printf("%s B (%.1f MiB) in %s block%s", number_signed(bytes, number[0]), mib(bytes),
           number_signed(blocks, number[1]), blocks == 1 ? "" : "s");
}

/* ---- one process */

static bool needs_quotes(struct text word)
{
    return word.size == 0 || memchr(word.at, ' ', word.size) || memchr(word.at, '\n', word.size);
}

static void print_command(const struct capture *capture)
{
    size_t printed = 0;
    for (size_t i = 0; i < capture->meta_count; i += 2) {
        struct text word = capture->meta[i + 1];
        if (!text_equal(capture->meta[i], text_of("argv")))
            continue;
        if (printed > 0)
            putchar(' ');
        size_t room = printed < COMMAND_SHOWN ? COMMAND_SHOWN - printed : 0;
        if (word.size > room) {
            text_print(stdout, (struct text){word.at, room});
            fputs("...", stdout);
            return;
        }
        const char *quote = needs_quotes(word) ? "'" : "";
        fputs(quote, stdout);
        text_print(stdout, word);
        fputs(quote, stdout);
        printed += word.size + 1;
    }
    if (printed == 0)
        fputs("(command not known)", stdout);
}

static void print_process(const struct capture *capture)
{
    struct text python = capture_meta(capture, "python");
    fputs("capture  ", stdout);
    text_print(stdout, text_of(capture->path));
    fputs("\nprocess  ", stdout);
    print_command(capture);
    printf("\n         pid %" PRIu32 ", parent %" PRIu32 ", ", capture->header.pid, capture->header.parent_pid);
    if (python.size) {
        fputs("CPython ", stdout);
        text_print(stdout, python);
        putchar('\n');
    } else {
        puts("no Python");
    }
}

static void print_time(const struct capture *capture)
{
    char when[64] = "at an unknown time";
    time_t start = (time_t)(capture->header.start_unix_ns / 1000000000);
    struct tm parts;
    if (gmtime_r(&start, &parts))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts);
    printf("time     from %s, %.3f s, of which %.3f s of CPU\n", when, seconds(capture->state.time_ns),
           seconds(capture->state.cpu_ns));
}

static void print_end(const struct capture *capture)
{
    fputs("end      ", stdout);
    switch (capture->ended) {
    case END_EXIT:
        if (capture->state.exit_status >= 0)
            printf("exit %" PRId32, capture->state.exit_status);
        else
            fputs("exit", stdout);
        if (capture->shown)
            printf("; what is live is as of %.3f s, before the interpreter's teardown", seconds(capture->time_ns));
        break;
    case END_EXEC: fputs("exec: it became another program", stdout); break;
    case END_KILLED:
        printf("killed, or crashed: all figures are as of its last tick, at %.3f s", seconds(capture->time_ns));
        break;
    case END_RUNNING:
        printf("running; all figures are as of its last tick, at %.3f s", seconds(capture->time_ns));
        break;
    }
    putchar('\n');
}

static void print_rss(const struct capture *capture)
{
    if (capture->rss_bytes >= 0)
        printf("RSS      %.1f MiB at %.3f s", mib(capture->rss_bytes), seconds(capture->time_ns));
    else
        fputs("RSS      not known", stdout);
    if (capture->state.rss_peak_bytes >= 0)
        printf(", highest %.1f MiB", mib(capture->state.rss_peak_bytes));
    putchar('\n');
}

static void print_live(const struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    char number[2][NUMBER_SIZE];
    fputs("live     ", stdout);
    print_amount(capture->live_bytes[0] + capture->live_bytes[1], capture->live_blocks[0] + capture->live_blocks[1]);
    if ((capture->header.features & PMT_FEATURE_PYTHON) || capture->live_bytes[OWNER_PYTHON]) {
        fputs("\n           Python ", stdout);
        print_amount(capture->live_bytes[OWNER_PYTHON], capture->live_blocks[OWNER_PYTHON]);
        fputs("\n           native ", stdout);
        print_amount(capture->live_bytes[OWNER_NATIVE], capture->live_blocks[OWNER_NATIVE]);
    }
    if (state->inherited_blocks || state->inherited_bytes) {
        fputs("\n           inherited at the fork ", stdout);
        print_amount(state->inherited_bytes, state->inherited_blocks);
    }
    printf("\nmapped   %s B (%.1f MiB) by the program itself; brk %s B\n",
           number_signed(state->mapped_bytes, number[0]), mib(state->mapped_bytes),
           number_signed(state->break_bytes, number[1]));
}

static void print_totals(const struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    struct figures totals = profile_totals(capture);
    char number[NUMBER_SIZE];
    if (capture_has_sites(capture))
        printf("peak     %s B (%.1f MiB) at %.3f s", number_signed(state->peak_bytes, number), mib(state->peak_bytes),
               seconds(state->peak_time_ns));
    else
        fputs("peak     not known", stdout);
    if (capture_has_sites(capture) && state->peak_error_bytes)
        printf("; up to %s B more, between readings of threads", number_signed(state->peak_error_bytes, number));
    fputs("\ntotal    ", stdout);
    print_amount(totals.of[TOTAL_BYTES], totals.of[TOTAL_BLOCKS]);
    printf(" allocated, %s of them temporary\n", number_signed(totals.of[TEMPORARY_BLOCKS], number));
}

static void print_warnings(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        for (size_t j = 0; j < report->captures[i].warning_count; j++) {
            fputs("note     ", stdout);
            if (report->count > 1)
                printf("%" PRIu32 ": ", report->captures[i].header.pid);
            text_print(stdout, text_of(report->captures[i].warnings[j]));
            putchar('\n');
        }
    }
}

/* ---- several processes */

/* "exit 1" */
static const char *name_end(const struct capture *capture, char out[NUMBER_SIZE])
{
    bool has_status = capture->ended == END_EXIT && capture->state.exit_status >= 0;
    snprintf(out, NUMBER_SIZE, has_status ? "%s %" PRId32 : "%s", ends[capture->ended], capture->state.exit_status);
    return out;
}

static void print_processes(const struct report *report)
{
    int64_t inherited = 0;
    printf("captures %zu, the process that started first on top; %s\n", report->count,
           "each one's peak is at a time of its own");
    printf("\nprocesses\n  %16s %10s %12s %12s %10s  %-8s %s\n", "live bytes", "MiB", "inherited", "peak MiB", "pid",
           "end", "command");
    for (size_t i = 0; i < report->count; i++) {
        const struct capture *capture = &report->captures[i];
        int64_t live = capture->live_bytes[0] + capture->live_bytes[1];
        char number[2][NUMBER_SIZE], end[NUMBER_SIZE];
        printf("  %16s %10.1f %12s %12.1f %10" PRIu32 "  %-8s ", number_signed(live, number[0]), mib(live),
               number_signed(capture->state.inherited_bytes, number[1]), mib(capture->state.peak_bytes),
               capture->header.pid, name_end(capture, end));
        print_command(capture);
        putchar('\n');
        inherited += capture->state.inherited_bytes;
    }
    char number[NUMBER_SIZE], bytes[NUMBER_SIZE];
    const struct figures *totals = &report->profile.totals;
    printf("  %16s %10.1f %12s %12.1f  in total\n", number_signed(totals->of[LIVE_BYTES], bytes),
           mib(totals->of[LIVE_BYTES]), number_signed(inherited, number), mib(totals->of[PEAK_BYTES]));
    if (inherited)
        puts("  What a child inherited was made before the fork: it counts in the parent too, live and in total.");
}

/* ---- marks and snapshots */

static void print_moment(const struct report *report, const struct capture *capture, int64_t bytes, int64_t ns)
{
    char number[NUMBER_SIZE], when[NUMBER_SIZE];
    snprintf(when, sizeof when, "%.3f", seconds(ns));
    printf("  %16s %10.1f %12s  ", number_signed(bytes, number), mib(bytes), when);
    if (report->count > 1)
        printf("%" PRIu32 ": ", capture->header.pid);
}

static void print_mark(const struct report *report, const struct capture *capture, const struct capture_mark *mark)
{
    static const char *const suffixes[] = {"", " begins", " ends"};
    print_moment(report, capture, mark->memory, mark->time_ns);
    text_print(stdout, mark->name);
    fputs(suffixes[mark->kind], stdout);
    if (mark->thread)
        printf(" (thread %" PRId64 ")", mark->thread);
    putchar('\n');
}

static void print_marks(const struct report *report)
{
    size_t count = 0, shown = 0;
    char number[NUMBER_SIZE];
    for (size_t i = 0; i < report->count; i++)
        count += report->captures[i].mark_count;
    if (count)
        printf("\nmarks\n  %16s %10s %12s\n", "bytes", "MiB", "seconds");
    for (size_t i = 0; i < report->count; i++) {
        for (size_t j = 0; j < report->captures[i].mark_count; j++) {
            if (report->view.top != TOP_ALL && shown == (size_t)report->view.top)
                break;
            print_mark(report, &report->captures[i], &report->captures[i].marks[j]);
            shown++;
        }
    }
    if (shown < count)
        printf("  %16s %10s %12s  and %s more\n", "", "", "", number_grouped(count - shown, number));
}

/* The reading at exit alone is no news. */
static void print_snapshots(const struct report *report)
{
    bool has_title = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct capture *capture = &report->captures[i];
        for (size_t j = 0; j < capture->snapshot_count; j++) {
            const struct capture_snapshot *snapshot = &capture->snapshots[j];
            char name[NUMBER_SIZE];
            if (capture->snapshot_count == 1 && snapshot->kind == PMT_SNAPSHOT_EXIT)
                continue;
            if (!has_title)
                printf("\nsnapshots\n  %16s %10s %12s\n", "bytes", "MiB", "seconds");
            has_title = true;
            print_moment(report, capture, snapshot->live_bytes[0] + snapshot->live_bytes[1], snapshot->time_ns);
            fputs(capture_snapshot_name(snapshot, name), stdout);
            if (snapshot->name.size) {
                fputs("  ", stdout);
                text_print(stdout, snapshot->name);
            }
            putchar('\n');
        }
    }
}

/* ---- tables */

static const char *live_title(const struct report *report)
{
    static const char *const titles[] = {[END_EXIT] = "live at exit",
                                         [END_EXEC] = "live at exec",
                                         [END_KILLED] = "live at the last tick",
                                         [END_RUNNING] = "live now"};
    return report->count == 1 ? titles[report->captures->ended] : "live in the end";
}

static void print_table(struct report *report, const struct table *table)
{
    const char *title = table == &tables[TABLE_LIVE]     ? live_title(report)
                        : table == &tables[TABLE_GROWTH] ? "growth: live now, less live at the first snapshot"
                                                         : NULL;
    table_print(&report->profile, &report->view, table, title);
}

static bool has_sites(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (capture_has_sites(&report->captures[i]))
            return true;
    }
    return false;
}

void report_words(struct report *report)
{
    if (report->count == 1) {
        print_process(report->captures);
        print_time(report->captures);
        print_end(report->captures);
        print_rss(report->captures);
        print_live(report->captures);
        print_totals(report->captures);
        print_warnings(report);
    } else {
        print_processes(report);
        print_warnings(report);
    }
    if (!has_sites(report)) {
        puts("\nno sites were recorded (--sites is not exact): there is nothing to say about who holds the memory");
    } else if (report->sort) {
        print_table(report, report->sort);
    } else {
        for (int i = TABLE_LIVE; i <= TABLE_TOTAL; i++)
            print_table(report, &tables[i]);
    }
    print_snapshots(report);
    print_marks(report);
}
