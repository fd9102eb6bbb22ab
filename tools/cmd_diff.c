/* cmd_diff.c: `pmt diff`: what grew between two captures, or between two snapshots of one. Sites are the same if their
 * stacks read the same: file, function and line of every frame, label and owner.
 *
 * --json: one object: from and to {file, snapshot (null: the end, or now), time, live_bytes, live_blocks, and what
 * `process` has in `pmt report`}; totals {live_bytes_diff, live_blocks_diff}; sites, largest difference first, as in
 * `pmt report`, with live_bytes_diff, live_blocks_diff, and live_bytes, live_blocks of the second; warnings.
 */
#include "profile.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct side {
    char *path;
    const char *snapshot; /* NULL: the end, or now */
};
struct diff {
    struct side sides[2]; /* from, to */
    struct capture captures[2];
    struct profile profile;
    struct view view;
};

static void print_help(void)
{
    puts("Usage: pmt diff [options] FROM TO\n"
         "       pmt diff [options] --from SNAPSHOT [--to SNAPSHOT] FILE\n"
         "What grew between two captures (.pmt), FILE or FILE@SNAPSHOT. `pmt report` lists the snapshots of a file.\n\n"
         "  --from SNAPSHOT  of the first file\n"
         "  --to SNAPSHOT    of the second, or of the only one; without: the end, or now");
    puts(view_help);
}

/* ---- the two sides */

/* FILE@SNAPSHOT, unless there is a file of this name. */
static void split_name(struct side *side)
{
    char *at = strrchr(side->path, '@');
    if (!at || at == side->path || access(side->path, F_OK) == 0)
        return;
    if (!side->snapshot)
        side->snapshot = at + 1;
    *at = '\0';
}

static bool name_sides(struct diff *diff, int argc, char **argv)
{
    struct side *from = &diff->sides[0], *to = &diff->sides[1];
    bool is_one = argc == 1 && from->snapshot;
    if (!is_one && argc != 2) {
        complain("diff: two files are needed, or --from SNAPSHOT and one (see pmt diff --help)");
        return false;
    }
    from->path = strdup(argv[0]);
    to->path = strdup(argv[argc - 1]);
    if (!from->path || !to->path) {
        complain("out of memory");
        exit(EXIT_BAD);
    }
    split_name(from);
    split_name(to);
    return true;
}

static bool open_side(struct capture *capture, const struct side *side)
{
    if (capture_open(capture, side->path) != 0) {
        complain("%s: %s", side->path, capture->error);
        return false;
    }
    if (!side->snapshot)
        return true;
    const struct capture_snapshot *snapshot = capture_find_snapshot(capture, side->snapshot);
    if (snapshot)
        capture_show(capture, snapshot);
    else
        complain("%s: has no snapshot '%s' (pmt report lists them)", side->path, side->snapshot);
    return snapshot;
}

/* ---- output */

static int64_t live_bytes(const struct capture *capture)
{
    return capture->live_bytes[OWNER_NATIVE] + capture->live_bytes[OWNER_PYTHON];
}

static int64_t live_blocks(const struct capture *capture)
{
    return capture->live_blocks[OWNER_NATIVE] + capture->live_blocks[OWNER_PYTHON];
}

static void print_side(const char *name, const struct diff *diff, int number)
{
    const struct capture *capture = &diff->captures[number];
    char bytes[NUMBER_SIZE], blocks[NUMBER_SIZE];
    printf("%-9s", name);
    text_print(stdout, text_of(diff->sides[number].path));
    if (diff->sides[number].snapshot) {
        putchar('@');
        text_print(stdout, text_of(diff->sides[number].snapshot));
    }
    printf(", pid %u, at %.3f s: %s B in %s blocks\n", capture->header.pid, (double)capture->time_ns / 1e9,
           number_signed(live_bytes(capture), bytes), number_signed(live_blocks(capture), blocks));
}

static void print_words(struct diff *diff)
{
    print_side("from", diff, 0);
    print_side("to", diff, 1);
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < diff->captures[i].warning_count; j++) {
            printf("note     %s: ", i ? "to" : "from");
            text_print(stdout, text_of(diff->captures[i].warnings[j]));
            putchar('\n');
        }
    }
    table_print(&diff->profile, &diff->view, &tables[TABLE_GROWTH],
                "difference: live in the second, less live in the first");
}

static void print_json_side(const char *name, const struct diff *diff, int number)
{
    const struct capture *capture = &diff->captures[number];
    printf("\"%s\": {\"file\": ", name);
    json_string(stdout, text_of(diff->sides[number].path));
    fputs(", \"snapshot\": ", stdout);
    if (diff->sides[number].snapshot)
        json_string(stdout, text_of(diff->sides[number].snapshot));
    else
        fputs("null", stdout);
    json_seconds("time", capture->time_ns);
    json_int("live_bytes", live_bytes(capture));
    json_int("live_blocks", live_blocks(capture));
    fputs(", ", stdout);
    json_process(capture);
    putchar('}');
}

static void print_json_sites(struct diff *diff)
{
    struct rows rows = view_rows(&diff->view, &diff->profile, GROWTH_BYTES);
    struct json_frames json;
    size_t shown = 0;
    json_frames_start(&json, &diff->profile);
    fputs(", \"sites\": [", stdout);
    for (size_t i = 0; i < rows.count && (diff->view.top == TOP_ALL || shown < (size_t)diff->view.top); i++) {
        const struct figures *figures = &rows.rows[i].figures;
        if (figures->of[GROWTH_BYTES] == 0 && figures->of[GROWTH_BLOCKS] == 0)
            continue;
        fputs(shown++ ? ",\n{" : "\n{", stdout);
        json_place(&json, &diff->profile, &diff->view, &rows.rows[i]);
        json_int("live_bytes_diff", figures->of[GROWTH_BYTES]);
        json_int("live_blocks_diff", figures->of[GROWTH_BLOCKS]);
        json_int("live_bytes", figures->of[LIVE_BYTES]);
        json_int("live_blocks", figures->of[LIVE_BLOCKS]);
        putchar('}');
    }
    putchar(']');
    json_frames_free(&json, &diff->profile);
    rows_free(&rows);
}

static void print_json(struct diff *diff)
{
    const struct figures *totals = &diff->profile.totals;
    putchar('{');
    print_json_side("from", diff, 0);
    fputs(", ", stdout);
    print_json_side("to", diff, 1);
    printf(", \"totals\": {\"live_bytes_diff\": %" PRId64 ", \"live_blocks_diff\": %" PRId64 "}",
           totals->of[GROWTH_BYTES], totals->of[GROWTH_BLOCKS]);
    print_json_sites(diff);
    json_warnings(diff->captures, 2);
    puts("}");
}

/* ---- the command */

static bool read_options(struct diff *diff, int argc, char **argv)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, '0'}, {"to", required_argument, NULL, '1'}, VIEW_OPTIONS, {NULL, 0, NULL, 0}};
    int option;
    bool is_good = true;
    while (is_good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '0' || option == '1')
            diff->sides[option - '0'].snapshot = optarg;
        else
            is_good = view_option(&diff->view, option, optarg);
    }
    view_settle(&diff->view);
    return is_good;
}

static bool print_diff(struct diff *diff)
{
    for (int i = 0; i < 2; i++) {
        if (!open_side(&diff->captures[i], &diff->sides[i]))
            return false;
    }
    profile_add(&diff->profile, &diff->captures[1], NULL);
    profile_subtract(&diff->profile, &diff->captures[0]);
    diff->view.is_json ? print_json(diff) : print_words(diff);
    return true;
}

int cmd_diff(int argc, char **argv)
{
    struct diff diff = {.view = {.command = "diff"}, .captures = {{.fd = -1}, {.fd = -1}}};
    bool is_good = read_options(&diff, argc, argv);
    profile_start(&diff.profile);
    if (is_good && diff.view.is_help)
        print_help();
    else if (is_good)
        is_good = name_sides(&diff, argc - optind, argv + optind) && print_diff(&diff);
    for (int i = 0; i < 2; i++) {
        capture_close(&diff.captures[i]);
        free(diff.sides[i].path);
    }
    profile_free(&diff.profile);
    view_free(&diff.view);
    return is_good ? EXIT_GOOD : EXIT_BAD;
}
