/* profile.h: captures brought together: equal names, frames, stacks and sites have one ID, whichever file they are
 * from, so that the files of a process tree can be added and two captures subtracted.
 *
 *   read.h capture, capture -> profile.c  sites, each with its figures -> view.c  rows: sorted, grouped, filtered
 *                              intern.c   one ID for what is equal        place.c  how a row's place is written
 *
 * Texts point into the captures, which have to stay open. Every sum of figures fits its type (sums.c). */
#ifndef PMT_PROFILE_H
#define PMT_PROFILE_H

#include <regex.h>

#include "read.h"

/* ---- intern.c: IDs 0, 1, 2... in the order of appearance */
struct key {
    uint32_t part[4];
};
struct key_table {
    struct key *keys; /* by ID */
    uint32_t *slots;  /* ID + 1; 0 is free */
    size_t count, capacity, slot_count;
};
struct text_table {
    struct text *texts; /* by ID */
    uint32_t *slots;
    size_t count, capacity, slot_count;
};
uint32_t intern_key(struct key_table *table, struct key key);
uint32_t intern_text(struct text_table *table, struct text text);
void key_table_free(struct key_table *table);
void text_table_free(struct text_table *table);

/* ---- profile.c */
enum figure {
    LIVE_BYTES,
    LIVE_BLOCKS,
    PEAK_BYTES,
    TOTAL_BYTES,
    TOTAL_BLOCKS,
    TEMPORARY_BLOCKS,
    GROWTH_BYTES, /* live now, less live in what it is compared with */
    GROWTH_BLOCKS,
    FIGURES,
};
struct figures {
    int64_t of[FIGURES];
};

/* Stacks that have no frame. */
enum { STACK_NONE, STACK_CUT, STACK_OTHER, STACK_FIRST };
#define NO_FRAME UINT32_MAX
enum { FRAME_FILE, FRAME_FUNCTION, FRAME_FIRST_LINE, FRAME_LINE }; /* parts of their keys */
enum { STACK_PARENT, STACK_FRAME };
enum { SITE_STACK, SITE_LABEL, SITE_OWNER };

struct profile {
    struct text_table texts;                /* 0: "" */
    struct key_table frames, stacks, sites; /* a stack's parent has a smaller ID; labels are texts + 1, 0: none */
    struct figures *figures;                /* by site */
    size_t figure_capacity;
    struct figures totals;    /* as the captures give them */
    struct text cwd;          /* of the first capture */
    struct text *short_paths; /* by text, of those that are files; made by place.c */
};
void profile_start(struct profile *profile);
void profile_add(struct profile *profile, const struct capture *capture, const struct capture_snapshot *base);
void profile_subtract(struct profile *profile, const struct capture *base);
struct figures profile_totals(const struct capture *capture);
void profile_free(struct profile *profile);

static inline uint32_t profile_parent(const struct profile *profile, uint32_t stack)
{
    return profile->stacks.keys[stack].part[STACK_PARENT];
}

/* NO_FRAME for the stacks that have none. */
static inline uint32_t profile_frame(const struct profile *profile, uint32_t stack)
{
    return stack < STACK_FIRST ? NO_FRAME : profile->stacks.keys[stack].part[STACK_FRAME];
}

/* ---- view.c: what is asked for, by the options that commands share; rows that answer it */
enum { TOP_ALL = -1, TOP_UNSET = 0, TOP_DEFAULT = 10 };
struct view {
    const char *command;
    enum grouping by;
    bool is_by_given, is_json, is_stacks, is_help, has_focus, has_ignore;
    long top;
    regex_t focus, ignore;
};
struct row {
    struct figures figures;
    uint32_t site;  /* with the largest figure of those that it stands for */
    uint32_t sites; /* how many it stands for */
};
struct rows {
    struct row *rows; /* largest first */
    size_t count;
    struct figures hidden; /* of the sites that --focus and --ignore leave out */
};
#define VIEW_OPTIONS                                                                                                   \
    {"by", required_argument, NULL, 'b'}, {"focus", required_argument, NULL, 'f'},                                     \
        {"ignore", required_argument, NULL, 'i'}, {"top", required_argument, NULL, 't'},                               \
        {"stacks", no_argument, NULL, 'S'}, {"json", no_argument, NULL, 'j'},                                          \
    {                                                                                                                  \
        "help", no_argument, NULL, 'h'                                                                                 \
    }
extern const char view_help[];
bool view_option(struct view *view, int option, const char *value);
void view_settle(struct view *view);
void view_free(struct view *view);
const char *view_grouping_name(enum grouping by);
struct rows view_rows(const struct view *view, const struct profile *profile, enum figure figure);
void rows_free(struct rows *rows);

/* ---- place.c */
void place_print(struct profile *profile, const struct view *view, const struct row *row);
void place_print_callers(struct profile *profile, const struct row *row, int indent);

/* ---- table.c: rows in words, which add up to the total in their last line */
struct table {
    const char *name, *title; /* of --sort; NULL: the caller gives one */
    const char *heads[3];
    enum figure figure, second; /* rows where both are 0 are left out */
    void (*cells)(const struct figures *figures, char cells[3][NUMBER_SIZE]);
};
enum { TABLE_LIVE, TABLE_PEAK, TABLE_TOTAL, TABLE_TEMPORARY, TABLE_GROWTH, TABLES };
extern const struct table tables[TABLES];
void table_print(struct profile *profile, const struct view *view, const struct table *table, const char *title);

/* ---- json.c: parts that the JSON of several commands has */
struct json_frames {
    struct text *frames; /* by frame, what is printed of it */
};
void json_frames_start(struct json_frames *json, const struct profile *profile);
void json_frames_free(struct json_frames *json, const struct profile *profile);
void json_place(const struct json_frames *json, const struct profile *profile, const struct view *view,
                const struct row *row);
void json_int(const char *name, int64_t value);
void json_seconds(const char *name, int64_t ns);
void json_process(const struct capture *capture);
void json_warnings(const struct capture *captures, size_t count);

#endif
