/* view.c: the sites of a profile as rows: those that --focus and --ignore leave, brought together --by what is asked,
 * the largest first. Whatever is asked, the rows and what was hidden add up to all sites. */
#include "profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const groupings[] = {"line", "function", "file", "stack", "label"};

const char view_help[] = "  --by line|function|file|stack|label   what a row stands for (line; with --json stack)\n"
                         "  --focus REGEX    only stacks with a frame whose file:function matches (POSIX, extended)\n"
                         "  --ignore REGEX   without such stacks\n"
                         "  --top N          rows in each table (10; all with --json); 0 is all\n"
                         "  --stacks         the whole stack under each row\n"
                         "  --json           one JSON object\n"
                         "  --help           this page";

/* ---- options */

static bool set_grouping(struct view *view, const char *name)
{
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++) {
        if (strcmp(name, groupings[i]) != 0)
            continue;
        view->by = (enum grouping)i;
        return view->is_by_given = true;
    }
    complain("%s: --by '%s' is not accepted: line, function, file, stack or label", view->command, name);
    return false;
}

static bool set_top(struct view *view, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 9 || value[digits]) {
        complain("%s: --top '%s' is not accepted: a whole number, 0 for all", view->command, value);
        return false;
    }
    long top = strtol(value, NULL, 10);
    view->top = top ? top : TOP_ALL;
    return true;
}

static bool set_filter(struct view *view, const char *name, const char *pattern, bool *has_filter, regex_t *filter)
{
    char reason[128];
    if (*has_filter)
        regfree(filter);
    int error = regcomp(filter, pattern, REG_EXTENDED | REG_NOSUB);
    *has_filter = error == 0;
    if (error == 0)
        return true;
    regerror(error, filter, reason, sizeof reason);
    complain("%s: --%s '%s' is no regular expression: %s", view->command, name, pattern, reason);
    return false;
}

/* Takes one of VIEW_OPTIONS; false after a complaint, or if it is none of them (getopt has complained). */
bool view_option(struct view *view, int option, const char *value)
{
    switch (option) {
    case 'b': return set_grouping(view, value);
    case 't': return set_top(view, value);
    case 'f': return set_filter(view, "focus", value, &view->has_focus, &view->focus);
    case 'i': return set_filter(view, "ignore", value, &view->has_ignore, &view->ignore);
    case 'j': return view->is_json = true;
    case 'S': return view->is_stacks = true;
    case 'h': return view->is_help = true;
    default: return false;
    }
}

/* What was not asked for, after the last option. */
void view_settle(struct view *view)
{
    if (!view->is_by_given)
        view->by = view->is_json || view->is_stacks ? BY_STACK : BY_LINE;
    if (view->top == TOP_UNSET)
        view->top = view->is_json ? TOP_ALL : TOP_DEFAULT;
}

void view_free(struct view *view)
{
    if (view->has_focus)
        regfree(&view->focus);
    if (view->has_ignore)
        regfree(&view->ignore);
}

const char *view_grouping_name(enum grouping by)
{
    return groupings[by];
}

/* ---- filters */

enum { IN_FOCUS = 1, IGNORED = 2 };

static unsigned match_frame(const struct view *view, const struct profile *profile, uint32_t frame, char **buffer,
                            size_t *capacity)
{
    struct text file = profile->texts.texts[profile->frames.keys[frame].part[FRAME_FILE]];
    struct text function = profile->texts.texts[profile->frames.keys[frame].part[FRAME_FUNCTION]];
    *buffer = grow(*buffer, capacity, file.size + function.size + 2, 1);
    memcpy(*buffer, file.at, file.size);
    (*buffer)[file.size] = ':';
    memcpy(*buffer + file.size + 1, function.at, function.size);
    (*buffer)[file.size + 1 + function.size] = '\0';
    unsigned marks = view->has_focus && regexec(&view->focus, *buffer, 0, NULL, 0) == 0 ? IN_FOCUS : 0;
    return marks | (view->has_ignore && regexec(&view->ignore, *buffer, 0, NULL, 0) == 0 ? IGNORED : 0);
}

/* Of every stack what its frames match: each frame is looked at once, each stack takes its parent's on. NULL without
 * filters. */
static unsigned char *match_stacks(const struct view *view, const struct profile *profile)
{
    if (!view->has_focus && !view->has_ignore)
        return NULL;
    size_t capacity = 0, frame_capacity = 0, buffer_capacity = 0;
    unsigned char *stacks = grow(NULL, &capacity, profile->stacks.count, 1);
    unsigned char *frames = grow(NULL, &frame_capacity, profile->frames.count + 1, 1);
    char *buffer = NULL;
    for (uint32_t i = 0; i < profile->frames.count; i++)
        frames[i] = (unsigned char)match_frame(view, profile, i, &buffer, &buffer_capacity);
    memset(stacks, 0, STACK_FIRST);
    for (uint32_t i = STACK_FIRST; i < profile->stacks.count; i++)
        stacks[i] = stacks[profile_parent(profile, i)] | frames[profile_frame(profile, i)];
    free(frames);
    free(buffer);
    return stacks;
}

static bool is_shown(const struct view *view, const unsigned char *matches, uint32_t stack)
{
    if (!matches)
        return true;
    return (!view->has_focus || (matches[stack] & IN_FOCUS)) && !(matches[stack] & IGNORED);
}

/* ---- rows */

/* What the sites of one row have in common. */
static struct key group_key(const struct view *view, const struct profile *profile, uint32_t site)
{
    const uint32_t *parts = profile->sites.keys[site].part;
    uint32_t frame = profile_frame(profile, parts[SITE_STACK]);
    if (view->by == BY_STACK)
        return (struct key){{0, site, 0, 0}};
    if (view->by == BY_LABEL)
        return (struct key){{0, parts[SITE_LABEL], 0, 0}};
    if (frame == NO_FRAME)
        return (struct key){{1 + parts[SITE_STACK], parts[SITE_OWNER], 0, 0}};
    const uint32_t *names = profile->frames.keys[frame].part;
    if (view->by == BY_LINE)
        return (struct key){{0, frame, 0, 0}};
    if (view->by == BY_FUNCTION)
        return (struct key){{0, names[FRAME_FILE], names[FRAME_FUNCTION], names[FRAME_FIRST_LINE]}};
    return (struct key){{0, names[FRAME_FILE], 0, 0}};
}

static int64_t magnitude(int64_t figure)
{
    return figure < 0 ? -figure : figure;
}

static void add_site(const struct profile *profile, struct row *row, uint32_t site, enum figure figure)
{
    const struct figures *figures = &profile->figures[site];
    if (row->sites == 0 || magnitude(figures->of[figure]) > magnitude(profile->figures[row->site].of[figure]))
        row->site = site;
    row->sites++;
    for (int i = 0; i < FIGURES; i++)
        row->figures.of[i] += figures->of[i];
}

struct order {
    const struct profile *profile;
    enum figure figure;
};

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* By file, line and function of the innermost frame, so that equal rows always come in one order. */
static int compare_places(const struct profile *profile, uint32_t a, uint32_t b)
{
    uint32_t frames[2] = {profile_frame(profile, profile->sites.keys[a].part[SITE_STACK]),
                          profile_frame(profile, profile->sites.keys[b].part[SITE_STACK])};
    if (frames[0] == NO_FRAME || frames[1] == NO_FRAME || frames[0] == frames[1])
        return compare_numbers(frames[0] == NO_FRAME, frames[1] == NO_FRAME);
    const uint32_t *left = profile->frames.keys[frames[0]].part, *right = profile->frames.keys[frames[1]].part;
    const struct text *texts = profile->texts.texts;
    int order = text_compare(texts[left[FRAME_FILE]], texts[right[FRAME_FILE]]);
    order = order ? order : compare_numbers((int32_t)left[FRAME_LINE], (int32_t)right[FRAME_LINE]);
    return order ? order : text_compare(texts[left[FRAME_FUNCTION]], texts[right[FRAME_FUNCTION]]);
}

static int compare_rows(const void *left, const void *right, void *data)
{
    const struct row *a = left, *b = right;
    const struct order *order = data;
    int64_t first = magnitude(a->figures.of[order->figure]), second = magnitude(b->figures.of[order->figure]);
    int result = compare_numbers(second, first);
    result = result ? result : compare_places(order->profile, a->site, b->site);
    return result ? result : compare_numbers(a->site, b->site);
}

/* Sorted by `figure`. */
struct rows view_rows(const struct view *view, const struct profile *profile, enum figure figure)
{
    struct rows rows = {.rows = NULL};
    struct key_table groups = {.keys = NULL};
    size_t capacity = 0;
    unsigned char *matches = match_stacks(view, profile);
    for (uint32_t site = 0; site < profile->sites.count; site++) {
        if (!is_shown(view, matches, profile->sites.keys[site].part[SITE_STACK])) {
            for (int i = 0; i < FIGURES; i++)
                rows.hidden.of[i] += profile->figures[site].of[i];
            continue;
        }
        uint32_t row = intern_key(&groups, group_key(view, profile, site));
        rows.rows = grow(rows.rows, &capacity, (size_t)row + 1, sizeof *rows.rows);
        if (row == rows.count)
            rows.rows[rows.count++] = (struct row){.site = site};
        add_site(profile, &rows.rows[row], site, figure);
    }
    key_table_free(&groups);
    free(matches);
    struct order order = {profile, figure};
    if (rows.count)
        qsort_r(rows.rows, rows.count, sizeof *rows.rows, compare_rows, &order);
    return rows;
}

void rows_free(struct rows *rows)
{
    free(rows->rows);
}
