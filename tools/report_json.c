/* report_json.c: `pmt report --json`: one object; of a site all figures, of several processes their sums. Beyond what
 * every report has: without sites the peak is null; with several files `rss` and `peak_time` are null, since each
 * process has its own in `processes`, and marks and snapshots have a `pid`; sites have `owner` ("python", "native"),
 * `is_cut` if --depth cut their stack, `is_other` if they found no room, and with --sort growth `growth_bytes`,
 * `growth_blocks`. */
#include "report.h"

#include <inttypes.h>

enum { PROGRESS_SITES = 4096 };

static void print_rss(int64_t current, int64_t peak)
{
    const struct {
        const char *name;
        int64_t bytes;
    } keys[] = {{"current", current}, {"peak", peak}};
    fputs(", \"rss\": {", stdout);
    for (int i = 0; i < 2; i++) {
        printf("%s\"%s\": ", i ? ", " : "", keys[i].name);
        if (keys[i].bytes < 0)
            fputs("null", stdout);
        else
            printf("%" PRId64, keys[i].bytes);
    }
    putchar('}');
}

struct sums {
    struct figures figures;
    int64_t python, native, peak_error, inherited_bytes, inherited_blocks, mapped, heap;
    bool has_peak; /* that of --sites off is not known */
};

static struct sums sum_captures(const struct capture *captures, size_t count)
{
    struct sums sums = {.has_peak = true};
    for (size_t i = 0; i < count; i++) {
        const struct pmt_capture_state *state = &captures[i].state;
        struct figures figures = profile_totals(&captures[i]);
        for (int f = 0; f < FIGURES; f++)
            sums.figures.of[f] += figures.of[f];
        sums.python += captures[i].live_bytes[OWNER_PYTHON];
        sums.native += captures[i].live_bytes[OWNER_NATIVE];
        sums.peak_error += state->peak_error_bytes;
        sums.inherited_bytes += state->inherited_bytes;
        sums.inherited_blocks += state->inherited_blocks;
        sums.mapped += state->mapped_bytes;
        sums.heap += state->break_bytes;
        sums.has_peak = sums.has_peak && capture_has_sites(&captures[i]);
    }
    return sums;
}

static void print_totals(const struct capture *captures, size_t count)
{
    struct sums sums = sum_captures(captures, count);
    printf(", \"totals\": {\"live_bytes\": %" PRId64, sums.figures.of[LIVE_BYTES]);
    json_int("live_blocks", sums.figures.of[LIVE_BLOCKS]);
    if (sums.has_peak)
        json_int("peak_bytes", sums.figures.of[PEAK_BYTES]);
    else
        fputs(", \"peak_bytes\": null", stdout);
    if (sums.has_peak && count == 1)
        json_seconds("peak_time", captures->state.peak_time_ns);
    else
        fputs(", \"peak_time\": null", stdout);
    json_int("peak_error_bytes", sums.has_peak ? sums.peak_error : 0);
    json_int("total_bytes", sums.figures.of[TOTAL_BYTES]);
    json_int("total_blocks", sums.figures.of[TOTAL_BLOCKS]);
    json_int("temporary_blocks", sums.figures.of[TEMPORARY_BLOCKS]);
    json_int("python_live_bytes", sums.python);
    json_int("native_live_bytes", sums.native);
    json_int("inherited_bytes", sums.inherited_bytes);
    json_int("inherited_blocks", sums.inherited_blocks);
    json_int("mapped_bytes", sums.mapped);
    json_int("break_bytes", sums.heap);
    putchar('}');
}

static void print_figures(const struct figures *figures, bool has_growth)
{
    json_int("live_bytes", figures->of[LIVE_BYTES]);
    json_int("live_blocks", figures->of[LIVE_BLOCKS]);
    json_int("peak_bytes", figures->of[PEAK_BYTES]);
    json_int("total_bytes", figures->of[TOTAL_BYTES]);
    json_int("total_blocks", figures->of[TOTAL_BLOCKS]);
    json_int("temporary_blocks", figures->of[TEMPORARY_BLOCKS]);
    json_int("error_bytes", 0);
    if (has_growth) {
        json_int("growth_bytes", figures->of[GROWTH_BYTES]);
        json_int("growth_blocks", figures->of[GROWTH_BLOCKS]);
    }
}

static bool is_empty(const struct figures *figures)
{
    for (int f = 0; f < FIGURES; f++) {
        if (figures->of[f] != 0)
            return false;
    }
    return true;
}

static void print_sites(struct report *report)
{
    struct profile *profile = &report->profile;
    struct rows rows = view_rows(&report->view, profile, report->sort ? report->sort->figure : LIVE_BYTES);
    struct progress progress = progress_start();
    struct json_frames json;
    size_t shown = 0;
    json_frames_start(&json, profile);
    fputs(", \"sites\": [", stdout);
    for (size_t i = 0; i < rows.count && (report->view.top == TOP_ALL || shown < (size_t)report->view.top); i++) {
        if (is_empty(&rows.rows[i].figures))
            continue;
        fputs(shown++ ? ",\n{" : "\n{", stdout);
        json_place(&json, profile, &report->view, &rows.rows[i]);
        print_figures(&rows.rows[i].figures, report->sort == &tables[TABLE_GROWTH]);
        putchar('}');
        if (shown % PROGRESS_SITES == 0) {
            char done[NUMBER_SIZE];
            snprintf(done, sizeof done, "%3.0f%%", 100.0 * (double)i / (double)rows.count);
            progress_show(&progress, "writing sites of", report->captures->path, done);
        }
    }
    putchar(']');
    progress_end(&progress);
    json_frames_free(&json, profile);
    rows_free(&rows);
}

static void print_marks(const struct report *report)
{
    static const char *const kinds[] = {"point", "label_begin", "label_end"};
    bool is_first = true;
    fputs(", \"marks\": [", stdout);
    for (size_t i = 0; i < report->count; i++) {
        for (size_t j = 0; j < report->captures[i].mark_count; j++) {
            const struct capture_mark *mark = &report->captures[i].marks[j];
            printf("%s\n{\"kind\": \"%s\", \"name\": ", is_first ? "" : ",", kinds[mark->kind]);
            json_string(stdout, mark->name);
            json_seconds("time", mark->time_ns);
            json_int("memory", mark->memory);
            json_int("thread", mark->thread);
            json_int("pid", report->captures[i].header.pid);
            putchar('}');
            is_first = false;
        }
    }
    putchar(']');
}

static void print_snapshots(const struct report *report)
{
    char name[NUMBER_SIZE];
    bool is_first = true;
    fputs(", \"snapshots\": [", stdout);
    for (size_t i = 0; i < report->count; i++) {
        for (size_t j = 0; j < report->captures[i].snapshot_count; j++) {
            const struct capture_snapshot *snapshot = &report->captures[i].snapshots[j];
            printf("%s\n{\"snapshot\": \"%s\", \"name\": ", is_first ? "" : ",", capture_snapshot_name(snapshot, name));
            if (snapshot->name.size)
                json_string(stdout, snapshot->name);
            else
                fputs("null", stdout);
            json_seconds("time", snapshot->time_ns);
            json_int("live_bytes", snapshot->live_bytes[OWNER_NATIVE] + snapshot->live_bytes[OWNER_PYTHON]);
            json_int("live_blocks", snapshot->live_blocks[OWNER_NATIVE] + snapshot->live_blocks[OWNER_PYTHON]);
            if (snapshot->rss_bytes >= 0)
                json_int("rss", snapshot->rss_bytes);
            else
                fputs(", \"rss\": null", stdout);
            json_int("pid", report->captures[i].header.pid);
            putchar('}');
            is_first = false;
        }
    }
    putchar(']');
}

static void print_processes(const struct report *report)
{
    fputs(", \"processes\": [", stdout);
    for (size_t i = 0; i < report->count; i++) {
        const struct capture *capture = &report->captures[i];
        fputs(i ? ",\n{\"file\": " : "\n{\"file\": ", stdout);
        json_string(stdout, text_of(capture->path));
        fputs(", ", stdout);
        json_process(capture);
        print_rss(capture->rss_bytes, capture->state.rss_peak_bytes);
        print_totals(capture, 1);
        json_warnings(capture, 1);
        putchar('}');
    }
    putchar(']');
}

void report_json(struct report *report)
{
    const struct capture *root = &report->captures[report->root];
    bool is_one = report->count == 1;
    fputs("{\"process\": {", stdout);
    json_process(root);
    putchar('}');
    print_rss(is_one ? root->rss_bytes : -1, is_one ? root->state.rss_peak_bytes : -1);
    print_totals(report->captures, report->count);
    print_sites(report);
    print_marks(report);
    print_snapshots(report);
    print_processes(report);
    json_warnings(report->captures, report->count);
    puts("}");
}
