/* place.c: how a row's place is written for people:
 *
 *   json/decoder.py:353 raw_decode < app.py:11 handle      the line that allocates, and who of the program's own code
 *                                                          is behind it; frames of libraries between them are left out
 *
 * /usr/lib/python3.11/json/decoder.py is json/decoder.py, /srv/app/app.py is app.py if the program ran in /srv/app; but
 * two files are never written alike. */
#include "profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS_SHOWN = 2 };

/* ---- paths */

/* Index behind the last `name` in the path; 0 if it is not in it. */
static size_t find_behind(struct text path, const char *name)
{
    size_t size = strlen(name), behind = 0;
    const char *at = path.at, *end = path.at + path.size;
    while ((at = memmem(at, (size_t)(end - at), name, size))) {
        at += size;
        behind = (size_t)(at - path.at);
    }
    return behind;
}

static size_t skip_digits(struct text path, size_t at)
{
    while (at < path.size && path.at[at] >= '0' && path.at[at] <= '9')
        at++;
    return at;
}

/* Size of what stands before the module in the path of a library: ".../lib/python3.11/", ".../site-packages/". 0: it is
 * the program's own. */
static size_t library_prefix(struct text path)
{
    size_t behind = find_behind(path, "/site-packages/");
    behind = behind ? behind : find_behind(path, "/dist-packages/");
    if (behind)
        return behind;
    size_t at = find_behind(path, "/lib/python");
    at = at ? at : find_behind(path, "/lib64/python");
    if (at == 0 || skip_digits(path, at) == at)
        return 0;
    at = skip_digits(path, at);
    at = at < path.size && path.at[at] == '.' ? skip_digits(path, at + 1) : at;
    return at < path.size && path.at[at] == '/' ? at + 1 : 0;
}

/* Whose code it is: 0: the interpreter's own machinery, or pmt's; 1: a library's; 2: the program's. */
static int rank_of(struct text path)
{
    static const char *const inside[] = {"<frozen ", "<pmt>"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        size_t size = strlen(inside[i]);
        if (path.size >= size && memcmp(path.at, inside[i], size) == 0)
            return 0;
    }
    return library_prefix(path) > 0 ? 1 : 2;
}

static struct text shorten(struct text path, struct text cwd)
{
    size_t prefix = library_prefix(path);
    bool is_below =
        cwd.size > 1 && path.size > cwd.size + 1 && memcmp(path.at, cwd.at, cwd.size) == 0 && path.at[cwd.size] == '/';
    if (prefix == 0 && is_below)
        prefix = cwd.size + 1;
    return prefix < path.size ? (struct text){path.at + prefix, path.size - prefix} : path;
}

/* Shortens the paths of all files, but for those that would be written alike. */
static void shorten_all(struct profile *profile)
{
    size_t capacity = 0, user_capacity = 0, count = profile->texts.count;
    struct text_table shorts = {.texts = NULL};
    uint32_t *users = NULL; /* of each short path, its file; NO_FRAME: several */
    struct text *paths = grow(NULL, &capacity, count, sizeof *paths);
    memset(paths, 0, count * sizeof *paths);
    for (size_t i = 0; i < profile->frames.count; i++) {
        uint32_t file = profile->frames.keys[i].part[FRAME_FILE];
        if (paths[file].at)
            continue;
        paths[file] = shorten(profile->texts.texts[file], profile->cwd);
        size_t known = shorts.count;
        uint32_t id = intern_text(&shorts, paths[file]);
        users = grow(users, &user_capacity, shorts.count, sizeof *users);
        users[id] = id == known ? file : NO_FRAME;
    }
    for (size_t file = 0; file < count; file++) {
        if (paths[file].at && users[intern_text(&shorts, paths[file])] == NO_FRAME)
            paths[file] = profile->texts.texts[file];
    }
    profile->short_paths = paths;
    text_table_free(&shorts);
    free(users);
}

/* ---- frames */

static struct text file_of(const struct profile *profile, uint32_t frame)
{
    return profile->texts.texts[profile->frames.keys[frame].part[FRAME_FILE]];
}

static void print_name(struct text name)
{
    text_print(stdout, name.size ? name : (struct text){"?", 1});
}

static void print_path(struct profile *profile, uint32_t frame)
{
    if (!profile->short_paths)
        shorten_all(profile);
    print_name(profile->short_paths[profile->frames.keys[frame].part[FRAME_FILE]]);
}

static void print_frame(struct profile *profile, uint32_t frame, int32_t line)
{
    struct text name = profile->texts.texts[profile->frames.keys[frame].part[FRAME_FUNCTION]];
    if (name.size == 0 && file_of(profile, frame).size == 0) {
        fputs("(unknown)", stdout);
        return;
    }
    print_path(profile, frame);
    if (line > 0)
        printf(":%" PRId32, line);
    putchar(' ');
    print_name(name);
}

static int32_t line_of(const struct profile *profile, uint32_t frame)
{
    return (int32_t)profile->frames.keys[frame].part[FRAME_LINE];
}

static void print_no_frame(uint32_t stack, uint32_t owner)
{
    if (stack == STACK_OTHER)
        fputs("(other: found no room in the tables)", stdout);
    else if (stack == STACK_CUT)
        fputs("(cut off by --depth)", stdout);
    else
        fputs(owner == OWNER_PYTHON ? "(Python, outside any function)" : "(native, no Python frame)", stdout);
}

/* The first of the callers that are of the program's own code; in a stack of libraries alone, of libraries. Of a
 * recursion one. */
static void print_own_callers(struct profile *profile, uint32_t stack)
{
    int best = 0, shown = 0;
    for (uint32_t at = stack; profile_frame(profile, at) != NO_FRAME; at = profile_parent(profile, at)) {
        int rank = rank_of(file_of(profile, profile_frame(profile, at)));
        best = rank > best ? rank : best;
    }
    uint32_t last = profile_frame(profile, stack);
    stack = profile_parent(profile, stack);
    for (; shown < CALLERS_SHOWN && profile_frame(profile, stack) != NO_FRAME; stack = profile_parent(profile, stack)) {
        uint32_t frame = profile_frame(profile, stack);
        if (frame == last || rank_of(file_of(profile, frame)) < best)
            continue;
        fputs(" < ", stdout);
        print_frame(profile, frame, line_of(profile, frame));
        last = frame;
        shown++;
    }
}

static void print_label(const struct profile *profile, uint32_t label)
{
    if (label)
        text_print(stdout, profile->texts.texts[label - 1]);
    else
        fputs("(no label)", stdout);
}

/* ---- rows */

void place_print(struct profile *profile, const struct view *view, const struct row *row)
{
    const uint32_t *parts = profile->sites.keys[row->site].part;
    uint32_t stack = parts[SITE_STACK], frame = profile_frame(profile, stack);
    if (view->by == BY_LABEL) {
        print_label(profile, parts[SITE_LABEL]);
    } else if (frame == NO_FRAME) {
        print_no_frame(stack, parts[SITE_OWNER]);
    } else if (view->by == BY_FILE) {
        print_path(profile, frame);
    } else if (view->by == BY_FUNCTION) {
        print_frame(profile, frame, (int32_t)profile->frames.keys[frame].part[FRAME_FIRST_LINE]);
    } else {
        print_frame(profile, frame, line_of(profile, frame));
        if (!view->is_stacks)
            print_own_callers(profile, stack);
    }
    if (view->by == BY_STACK && frame != NO_FRAME && parts[SITE_OWNER] == OWNER_NATIVE)
        fputs(" (native)", stdout);
    if (view->by == BY_STACK && parts[SITE_LABEL]) {
        fputs(" [", stdout);
        print_label(profile, parts[SITE_LABEL]);
        putchar(']');
    }
    if (row->sites > 1 && view->by == BY_LINE && profile_frame(profile, profile_parent(profile, stack)) != NO_FRAME)
        printf(" (largest of %" PRIu32 " sites)", row->sites);
    putchar('\n');
}

/* The frames behind the innermost, one a line; those of a recursion in one line. */
void place_print_callers(struct profile *profile, const struct row *row, int indent)
{
    uint32_t stack = profile->sites.keys[row->site].part[SITE_STACK];
    if (stack < STACK_FIRST)
        return;
    stack = profile_parent(profile, stack);
    while (stack >= STACK_FIRST) {
        uint32_t frame = profile_frame(profile, stack), count = 0;
        for (; profile_frame(profile, stack) == frame; stack = profile_parent(profile, stack))
            count++;
        printf("%*s< ", indent, "");
        print_frame(profile, frame, line_of(profile, frame));
        if (count > 1)
            printf(" (%" PRIu32 " times)", count);
        putchar('\n');
    }
    if (stack == STACK_CUT)
        printf("%*s< (cut off by --depth)\n", indent, "");
}
