/* table.c: the rows of a profile in words. Each table ends with its total, which is that of the captures: what was left
 * out by --top, by --focus and --ignore, or is in no site, has a line of its own. */
#include "profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_COLUMN = 44 };

/* ---- cells */

/* "+1,234": a change */
static void put_change(int64_t number, char out[NUMBER_SIZE])
{
    out[0] = '+';
    number_signed(number, out + (number > 0));
}

static void put_mib(int64_t bytes, bool is_change, char out[NUMBER_SIZE])
{
    double mib = (double)bytes / (1024 * 1024);
    bool is_zero = mib > -0.05 && mib < 0.05; /* without a sign */
    snprintf(out, NUMBER_SIZE, is_change && !is_zero ? "%+.1f" : "%.1f", is_zero ? 0.0 : mib);
}

static void put_share(int64_t part, int64_t whole, char out[NUMBER_SIZE])
{
    snprintf(out, NUMBER_SIZE, "%.0f%%", whole > 0 && part > 0 ? 100.0 * (double)part / (double)whole : 0.0);
}

static void live_cells(const struct figures *figures, char cells[3][NUMBER_SIZE])
{
    number_signed(figures->of[LIVE_BYTES], cells[0]);
    put_mib(figures->of[LIVE_BYTES], false, cells[1]);
    number_signed(figures->of[LIVE_BLOCKS], cells[2]);
}

static void peak_cells(const struct figures *figures, char cells[3][NUMBER_SIZE])
{
    number_signed(figures->of[PEAK_BYTES], cells[0]);
    put_mib(figures->of[PEAK_BYTES], false, cells[1]);
    put_share(figures->of[PEAK_BYTES] - figures->of[LIVE_BYTES], figures->of[PEAK_BYTES], cells[2]);
}

static void total_cells(const struct figures *figures, char cells[3][NUMBER_SIZE])
{
    number_signed(figures->of[TOTAL_BYTES], cells[0]);
    put_mib(figures->of[TOTAL_BYTES], false, cells[1]);
    number_signed(figures->of[TOTAL_BLOCKS], cells[2]);
}

static void temporary_cells(const struct figures *figures, char cells[3][NUMBER_SIZE])
{
    number_signed(figures->of[TEMPORARY_BLOCKS], cells[0]);
    put_share(figures->of[TEMPORARY_BLOCKS], figures->of[TOTAL_BLOCKS], cells[1]);
    number_signed(figures->of[TOTAL_BLOCKS], cells[2]);
}

static void growth_cells(const struct figures *figures, char cells[3][NUMBER_SIZE])
{
    put_change(figures->of[GROWTH_BYTES], cells[0]);
    put_mib(figures->of[GROWTH_BYTES], true, cells[1]);
    put_change(figures->of[GROWTH_BLOCKS], cells[2]);
}

const struct table tables[TABLES] = {
    [TABLE_LIVE] = {"live", NULL, {"bytes", "MiB", "blocks"}, LIVE_BYTES, LIVE_BLOCKS, live_cells},
    [TABLE_PEAK] = {"peak", "at the peak", {"bytes", "MiB", "freed since"}, PEAK_BYTES, PEAK_BYTES, peak_cells},
    [TABLE_TOTAL] = {"total", "allocated in total", {"bytes", "MiB", "blocks"}, TOTAL_BYTES, TOTAL_BLOCKS, total_cells},
    [TABLE_TEMPORARY] = {"temporary",
                         "temporary blocks: freed before the thread's next allocation",
                         {"blocks", "share", "of blocks"},
                         TEMPORARY_BLOCKS,
                         TEMPORARY_BLOCKS,
                         temporary_cells},
    [TABLE_GROWTH] = {"growth", NULL, {"bytes", "MiB", "blocks"}, GROWTH_BYTES, GROWTH_BLOCKS, growth_cells},
};

/* ---- rows */

static void print_cells(const struct table *table, const struct figures *figures)
{
    char cells[3][NUMBER_SIZE];
    table->cells(figures, cells);
    printf("  %16s %10s %12s  ", cells[0], cells[1], cells[2]);
}

static void add(struct figures *sum, const struct figures *more, int sign)
{
    for (int i = 0; i < FIGURES; i++)
        sum->of[i] += sign * more->of[i];
}

static bool is_empty(const struct table *table, const struct figures *figures)
{
    return figures->of[table->figure] == 0 && figures->of[table->second] == 0;
}

static void print_line(const struct table *table, const struct figures *figures, const char *what)
{
    print_cells(table, figures);
    puts(what);
}

/* Prints the rows up to --top, and the others as one line; returns the sum of all. */
static struct figures print_rows(struct profile *profile, const struct view *view, const struct table *table,
                                 const struct rows *rows)
{
    struct figures sum = {{0}}, rest = {{0}};
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        add(&sum, &row->figures, 1);
        if (is_empty(table, &row->figures))
            continue;
        if (view->top == TOP_ALL || shown < (size_t)view->top) {
            print_cells(table, &row->figures);
            place_print(profile, view, row);
            if (view->is_stacks)
                place_print_callers(profile, row, PLACE_COLUMN + 2);
            shown++;
        } else {
            add(&rest, &row->figures, 1);
            more++;
        }
    }
    char number[NUMBER_SIZE];
    if (more) {
        print_cells(table, &rest);
        printf("in %s more\n", number_grouped(more, number));
    }
    return sum;
}

void table_print(struct profile *profile, const struct view *view, const struct table *table, const char *title)
{
    struct rows rows = view_rows(view, profile, table->figure);
    printf("\n%s\n  %16s %10s %12s  by %s\n", title ? title : table->title, table->heads[0], table->heads[1],
           table->heads[2], view_grouping_name(view->by));
    struct figures sum = print_rows(profile, view, table, &rows);
    if (!is_empty(table, &rows.hidden))
        print_line(table, &rows.hidden, "left out by --focus or --ignore");
    struct figures difference = profile->totals;
    add(&difference, &sum, -1);
    add(&difference, &rows.hidden, -1);
    if (!is_empty(table, &difference))
        print_line(table, &difference, "in no site");
    print_line(table, &profile->totals, "in total");
    rows_free(&rows);
}
