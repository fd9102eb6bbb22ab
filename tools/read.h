/* read.h: a capture (preload/format.h) as the commands see it, read whole into memory, in which everything can be
 * followed: every ID below is in range, every figure can be added up. What was wrong with the file is in `warnings`.
 *
 *   file -> read.c     header, state, extents -> streams          again, if the process wrote meanwhile
 *        -> records.c  streams -> functions, nodes, sites, snapshots, marks
 *        -> sums.c     sites, snapshots -> whether they add up to the totals of the state
 *        -> alive.c    whether the process that has not said its end still runs
 *
 * The live figures of a process that has exited are those of its `exit` snapshot. Memory is bounded by the file's size.
 */
#ifndef PMT_READ_H
#define PMT_READ_H

#include "format.h"
#include "tool.h"

enum { OWNER_NATIVE, OWNER_PYTHON, OWNERS };
enum capture_end { END_EXIT, END_EXEC, END_KILLED, END_RUNNING };

/* Bytes of a stream, as long as the state says; what the file lacks of them is 0. */
struct capture_stream {
    unsigned char *bytes;
    uint64_t size, capacity;
    uint64_t *extents; /* where each is in the file; 0: missing */
    size_t extent_count, extent_capacity;
    uint64_t missing; /* bytes */
};

struct capture_function {
    struct text file, name; /* "" if it has none */
    int32_t first_line;
};

struct capture_snapshot {
    enum pmt_snapshot_kind kind;
    unsigned of_kind; /* its number among those of this kind, from 1 */
    struct text name; /* "" if it has none */
    int64_t time_ns, rss_bytes;
    int64_t live_bytes[OWNERS], live_blocks[OWNERS];
    const struct pmt_record_held *held;
    uint64_t held_count;
};

struct capture_mark {
    enum pmt_mark_kind kind;
    struct text name;
    int64_t time_ns, memory, thread;
};

struct capture {
    const char *path;
    int fd;
    uint64_t device, inode;
    struct pmt_capture_header header;
    struct pmt_capture_state state;
    bool is_older_state; /* the newest is damaged, or just being written */
    struct capture_stream streams[PMT_STREAMS];

    struct text *meta; /* key, value, key, value */
    size_t meta_count, meta_capacity;
    struct capture_function *functions;
    size_t function_count;
    struct pmt_record_node *nodes; /* parents before children. The last one stands for what is not known. */
    uint32_t node_count;
    struct pmt_record_site *sites;
    uint32_t site_count;
    struct capture_snapshot *snapshots;
    size_t snapshot_count, snapshot_capacity;
    struct capture_mark *marks;
    size_t mark_count;

    enum capture_end ended;
    const struct capture_snapshot *shown; /* whose live figures the sites have; NULL: those of the last tick */
    int64_t live_bytes[OWNERS], live_blocks[OWNERS], rss_bytes, time_ns; /* of that moment */

    char **warnings;
    size_t warning_count, warning_capacity;
    char error[256]; /* why capture_open() returned -1 */
};

/* ---- read.c. capture_open(): 0, or -1 with capture->error; either way capture_close() is due. */
int capture_open(struct capture *capture, const char *path);
void capture_close(struct capture *capture);
void capture_warn(struct capture *capture, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- records.c */
int capture_check(struct capture *capture);
struct text capture_string(const struct capture *capture, uint32_t id);
struct text capture_meta(const struct capture *capture, const char *key);
void capture_show(struct capture *capture, const struct capture_snapshot *snapshot);
const struct capture_snapshot *capture_find_snapshot(const struct capture *capture, const char *name);
const char *capture_snapshot_name(const struct capture_snapshot *snapshot, char out[NUMBER_SIZE]);

/* ---- sums.c: no sum of figures overflows, whichever are added; all together give the totals, or a warning. */
bool capture_is_figure(int64_t figure);
bool capture_has_sites(const struct capture *capture);
bool capture_sums_are_figures(const struct capture *capture);
void capture_compare_sums(struct capture *capture);

/* ---- alive.c */
bool process_is_alive(int pid, int64_t start_unix_ns, struct text boot);

#endif
