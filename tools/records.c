/* records.c: streams -> functions, nodes, sites, snapshots and marks, each checked before anything follows it.
 *
 * What is damaged is replaced by something that says so (a name by none, a stack by one unknown frame, a figure by 0),
 * counted in a warning, and found by the sums: those of the sites have to be the totals that the state gives. */
#include "read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_LIMIT = 1026, /* --depth is at most 1024; the root and what it cut off */
    NAME_LIMIT = 32768, /* what is longer is cut, as the library does */
};

static int refuse(struct capture *capture, const char *what)
{
    snprintf(capture->error, sizeof capture->error, "is damaged: %s", what);
    return -1;
}

/* ---- streams as records */

/* Records of a stream; a broken last one is damage. */
static uint64_t record_count(struct capture *capture, enum pmt_stream number, size_t size)
{
    struct capture_stream *stream = &capture->streams[number];
    if (stream->size % size != 0)
        capture_warn(capture, "damaged: a record of %zu bytes is broken off", size);
    return stream->size / size;
}

/* Whether the file has all these bytes of the stream. */
static bool is_there(const struct capture_stream *stream, uint64_t offset, uint64_t size)
{
    if (offset > stream->size || size > stream->size - offset)
        return false;
    for (uint64_t i = offset / PMT_EXTENT_PAYLOAD; size > 0 && i <= (offset + size - 1) / PMT_EXTENT_PAYLOAD; i++) {
        if (stream->extents[i] == 0)
            return false;
    }
    return true;
}

/* "" and false if there is no such string. */
static bool find_string(const struct capture *capture, uint32_t id, struct text *text)
{
    const struct capture_stream *stream = &capture->streams[PMT_STREAM_STRINGS];
    uint32_t size;
    *text = (struct text){"", 0};
    if (id == PMT_NO_STRING)
        return true;
    if (!is_there(stream, id, sizeof size))
        return false;
    memcpy(&size, stream->bytes + id, sizeof size);
    size = size < NAME_LIMIT ? size : NAME_LIMIT;
    if (!is_there(stream, id + (uint64_t)sizeof size, size))
        return false;
    *text = (struct text){(const char *)stream->bytes + id + sizeof size, size};
    return true;
}

/* Of an ID that capture_check() has found valid, as those of labels are. */
struct text capture_string(const struct capture *capture, uint32_t id)
{
    struct text text;
    find_string(capture, id, &text);
    return text;
}

/* ---- META */

/* Undoes \n and \\ in place. */
static struct text unescape(char *at, size_t size)
{
    char *put = at;
    for (size_t i = 0; i < size; i++) {
        bool is_escape = at[i] == '\\' && i + 1 < size && (at[i + 1] == 'n' || at[i + 1] == '\\');
        i += is_escape;
        *put++ = is_escape && at[i] == 'n' ? '\n' : at[i];
    }
    return (struct text){at, (size_t)(put - at)};
}

static void read_meta(struct capture *capture)
{
    struct capture_stream *stream = &capture->streams[PMT_STREAM_META];
    char *at = (char *)stream->bytes, *end = at + stream->size;
    for (char *next; at < end; at = next) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *stop = newline ? newline : end;
        char *equals = memchr(at, '=', (size_t)(stop - at));
        next = newline ? newline + 1 : end;
        if (!equals)
            continue;
        capture->meta = grow(capture->meta, &capture->meta_capacity, capture->meta_count + 2, sizeof *capture->meta);
        capture->meta[capture->meta_count++] = (struct text){at, (size_t)(equals - at)};
        capture->meta[capture->meta_count++] = unescape(equals + 1, (size_t)(stop - equals - 1));
    }
}

/* The last value of a key; "" if there is none. */
struct text capture_meta(const struct capture *capture, const char *key)
{
    struct text found = {"", 0};
    for (size_t i = 0; i < capture->meta_count; i += 2) {
        if (text_equal(capture->meta[i], text_of(key)))
            found = capture->meta[i + 1];
    }
    return found;
}

/* What the library itself says that a user has to know. */
static void warn_of_meta(struct capture *capture)
{
    for (size_t i = 0; i < capture->meta_count; i += 2) {
        struct text value = capture->meta[i + 1];
        if (text_equal(capture->meta[i], text_of("warning")))
            capture_warn(capture, "%.*s", value.size < 1000 ? (int)value.size : 1000, value.at);
    }
}

/* ---- functions and nodes */

static void read_functions(struct capture *capture)
{
    struct capture_stream *stream = &capture->streams[PMT_STREAM_FUNCTIONS];
    const struct pmt_record_function *records = (const void *)stream->bytes;
    size_t count = record_count(capture, PMT_STREAM_FUNCTIONS, sizeof *records), capacity = 0, bad = 0;
    capture->functions = grow(NULL, &capacity, count + 1, sizeof *capture->functions);
    capture->function_count = count;
    for (size_t i = 0; i < count; i++) {
        struct capture_function *function = &capture->functions[i];
        *function = (struct capture_function){{"", 0}, {"", 0}, records[i].first_line};
        if (!is_there(stream, i * sizeof *records, sizeof *records)) {
            bad++;
            continue;
        }
        bool has_file = find_string(capture, records[i].file, &function->file);
        bool has_name = find_string(capture, records[i].name, &function->name);
        bad += !has_file || !has_name || records[i].kind != 0;
    }
    if (bad)
        capture_warn(capture, "damaged: functions without a valid name: %zu", bad);
}

/* Parents have smaller IDs, so every stack ends at the root, and no stack is deeper than the limit. */
static void read_nodes(struct capture *capture)
{
    struct capture_stream *stream = &capture->streams[PMT_STREAM_NODES];
    const struct pmt_record_node *records = (const void *)stream->bytes;
    uint64_t given = record_count(capture, PMT_STREAM_NODES, sizeof *records);
    size_t capacity = 0, depth_capacity = 0, bad = 0;
    uint32_t count = given > INT32_MAX ? INT32_MAX : given < PMT_NODE_FIRST ? PMT_NODE_FIRST : (uint32_t)given;
    const struct pmt_record_node unknown = {.parent = PMT_NODE_ROOT, .function = PMT_NO_FUNCTION};
    capture->nodes = grow(NULL, &capacity, (size_t)count + 1, sizeof *capture->nodes);
    capture->node_count = count + 1;
    uint16_t *depths = grow(NULL, &depth_capacity, (size_t)count + 1, sizeof *depths);
    memset(depths, 0, ((size_t)count + 1) * sizeof *depths);
    for (uint32_t i = 0; i <= count; i++) {
        capture->nodes[i] = unknown;
        if (i < PMT_NODE_FIRST || i == count)
            continue;
        bool is_good = is_there(stream, (uint64_t)i * sizeof *records, sizeof *records) && records[i].parent < i &&
                       records[i].function < capture->function_count && depths[records[i].parent] < DEPTH_LIMIT;
        bad += !is_good;
        if (!is_good)
            continue;
        capture->nodes[i] = records[i];
        depths[i] = (uint16_t)(depths[records[i].parent] + 1);
    }
    free(depths);
    if (bad)
        capture_warn(capture, "damaged: frames of call stacks that are not known: %zu", bad);
}

/* ---- sites */

/* False if something in it had to be replaced. A site that nobody touched since the peak held then what it holds now.
 */
static bool clean_site(const struct capture *capture, struct pmt_record_site *site)
{
    struct text label;
    if ((int32_t)(site->sequence - (uint32_t)capture->state.peak_sequence) < 0)
        site->peak_bytes = site->live_bytes;
    bool is_good = site->node < capture->node_count - 1 && site->owner < OWNERS;
    site->node = site->node < capture->node_count - 1 ? site->node : capture->node_count - 1;
    site->owner = site->owner < OWNERS ? site->owner : OWNER_NATIVE;
    if (!find_string(capture, site->label, &label)) {
        site->label = PMT_NO_STRING;
        is_good = false;
    }
    if (capture_is_figure(site->live_bytes) && capture_is_figure(site->live_blocks) &&
        capture_is_figure(site->peak_bytes) && capture_is_figure((int64_t)site->total_bytes) &&
        capture_is_figure((int64_t)site->total_blocks) && capture_is_figure((int64_t)site->temporary_blocks))
        return is_good;
    site->live_bytes = site->live_blocks = site->peak_bytes = 0;
    site->total_bytes = site->total_blocks = site->temporary_blocks = 0;
    return false;
}

static void read_sites(struct capture *capture)
{
    struct capture_stream *stream = &capture->streams[capture->state.sites_stream];
    uint64_t given = record_count(capture, capture->state.sites_stream, sizeof *capture->sites);
    size_t capacity = 0, bad = 0;
    uint32_t count = given > INT32_MAX ? INT32_MAX : (uint32_t)given;
    capture->sites = grow(NULL, &capacity, (size_t)count + PMT_SITE_FIRST, sizeof *capture->sites);
    memset(capture->sites, 0, PMT_SITE_FIRST * sizeof *capture->sites);
    memcpy(capture->sites, stream->bytes, (size_t)count * sizeof *capture->sites);
    capture->site_count = count < PMT_SITE_FIRST ? PMT_SITE_FIRST : count;
    for (uint32_t i = 0; i < count; i++) {
        if (is_there(stream, (uint64_t)i * sizeof *capture->sites, sizeof *capture->sites))
            bad += !clean_site(capture, &capture->sites[i]);
        else
            capture->sites[i] = (struct pmt_record_site){.node = capture->node_count - 1, .label = PMT_NO_STRING};
    }
    for (uint32_t i = 0; i < PMT_SITE_FIRST; i++) {
        capture->sites[i].node = PMT_NODE_ROOT;
        capture->sites[i].label = PMT_NO_STRING;
    }
    if (bad)
        capture_warn(capture, "damaged: sites with impossible values: %zu", bad);
}

/* ---- snapshots and marks */

static bool is_held_good(const struct capture *capture, const struct capture_snapshot *snapshot)
{
    for (uint64_t i = 0; i < snapshot->held_count; i++) {
        const struct pmt_record_held *held = &snapshot->held[i];
        if (held->site >= capture->site_count || !capture_is_figure(held->live_bytes) ||
            !capture_is_figure(held->live_blocks))
            return false;
    }
    for (int owner = 0; owner < OWNERS; owner++) {
        if (!capture_is_figure(snapshot->live_bytes[owner]) || !capture_is_figure(snapshot->live_blocks[owner]))
            return false;
    }
    return true;
}

/* The snapshot at `offset`, which is moved behind it; false if it is damaged. */
static bool read_snapshot(const struct capture *capture, uint64_t *offset, struct capture_snapshot *snapshot)
{
    const struct capture_stream *stream = &capture->streams[PMT_STREAM_SNAPSHOTS];
    struct pmt_record_snapshot record;
    if (!is_there(stream, *offset, sizeof record))
        return false;
    memcpy(&record, stream->bytes + *offset, sizeof record);
    *offset += sizeof record;
    if (record.held_count > stream->size / sizeof *snapshot->held || record.kind > PMT_SNAPSHOT_ASKED ||
        !is_there(stream, *offset, record.held_count * sizeof *snapshot->held))
        return false;
    *snapshot = (struct capture_snapshot){.kind = (enum pmt_snapshot_kind)record.kind,
                                          .time_ns = record.time_ns,
                                          .rss_bytes = record.rss_bytes,
                                          .held = (const void *)(stream->bytes + *offset),
                                          .held_count = record.held_count};
    memcpy(snapshot->live_bytes, record.live_bytes, sizeof snapshot->live_bytes);
    memcpy(snapshot->live_blocks, record.live_blocks, sizeof snapshot->live_blocks);
    *offset += record.held_count * sizeof *snapshot->held;
    return find_string(capture, record.name, &snapshot->name) && is_held_good(capture, snapshot);
}

static void read_snapshots(struct capture *capture)
{
    uint64_t offset = 0;
    unsigned of_kind[PMT_SNAPSHOT_ASKED + 1] = {0};
    while (offset < capture->streams[PMT_STREAM_SNAPSHOTS].size) {
        capture->snapshots = grow(capture->snapshots, &capture->snapshot_capacity, capture->snapshot_count + 1,
                                  sizeof *capture->snapshots);
        struct capture_snapshot *snapshot = &capture->snapshots[capture->snapshot_count];
        if (!read_snapshot(capture, &offset, snapshot)) {
            capture_warn(capture, "damaged: snapshot %zu and what follows it cannot be read",
                         capture->snapshot_count + 1);
            break;
        }
        snapshot->of_kind = ++of_kind[snapshot->kind];
        capture->snapshot_count++;
    }
}

static void read_marks(struct capture *capture)
{
    struct capture_stream *stream = &capture->streams[PMT_STREAM_MARKS];
    const struct pmt_record_mark *records = (const void *)stream->bytes;
    size_t count = record_count(capture, PMT_STREAM_MARKS, sizeof *records), capacity = 0, bad = 0;
    capture->marks = grow(NULL, &capacity, count + 1, sizeof *capture->marks);
    for (size_t i = 0; i < count; i++) {
        struct capture_mark *mark = &capture->marks[capture->mark_count];
        *mark = (struct capture_mark){.kind = (enum pmt_mark_kind)records[i].kind,
                                      .time_ns = records[i].time_ns,
                                      .memory = records[i].memory,
                                      .thread = records[i].thread};
        bool is_good = is_there(stream, i * sizeof *records, sizeof *records) &&
                       records[i].kind <= PMT_MARK_LABEL_END && find_string(capture, records[i].name, &mark->name);
        capture->mark_count += is_good;
        bad += !is_good;
    }
    if (bad)
        capture_warn(capture, "damaged: marks that cannot be read: %zu", bad);
}

/* "exit", "growth-2" */
const char *capture_snapshot_name(const struct capture_snapshot *snapshot, char out[NUMBER_SIZE])
{
    static const char *const kinds[] = {"exit", "growth", "fork", "snapshot"};
    snprintf(out, NUMBER_SIZE, snapshot->of_kind > 1 || snapshot->kind == PMT_SNAPSHOT_GROWTH ? "%s-%u" : "%s",
             kinds[snapshot->kind], snapshot->of_kind);
    return out;
}

/* By its own name, the last of it, or by capture_snapshot_name(). */
const struct capture_snapshot *capture_find_snapshot(const struct capture *capture, const char *name)
{
    char own[NUMBER_SIZE];
    for (size_t i = capture->snapshot_count; i > 0; i--) {
        const struct capture_snapshot *snapshot = &capture->snapshots[i - 1];
        if (snapshot->name.size > 0 && text_equal(snapshot->name, text_of(name)))
            return snapshot;
    }
    for (size_t i = 0; i < capture->snapshot_count; i++) {
        if (strcmp(capture_snapshot_name(&capture->snapshots[i], own), name) == 0)
            return &capture->snapshots[i];
    }
    return NULL;
}

/* Makes the live figures of all sites those of the snapshot. */
void capture_show(struct capture *capture, const struct capture_snapshot *snapshot)
{
    for (uint32_t i = 0; i < capture->site_count; i++)
        capture->sites[i].live_bytes = capture->sites[i].live_blocks = 0;
    for (uint64_t i = 0; i < snapshot->held_count; i++) {
        capture->sites[snapshot->held[i].site].live_bytes += snapshot->held[i].live_bytes;
        capture->sites[snapshot->held[i].site].live_blocks += snapshot->held[i].live_blocks;
    }
    memcpy(capture->live_bytes, snapshot->live_bytes, sizeof capture->live_bytes);
    memcpy(capture->live_blocks, snapshot->live_blocks, sizeof capture->live_blocks);
    capture->rss_bytes = snapshot->rss_bytes;
    capture->time_ns = snapshot->time_ns;
    capture->shown = snapshot;
}

/* ---- all of it */

static void warn_of_losses(struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    const struct {
        uint64_t count;
        const char *what;
    } losses[] = {
        {state->lost_sites, "allocation sites found no room in the tables: their memory is under \"other\""},
        {state->lost_nodes, "frames found no room in the tables: their memory is with the frames that called them"},
        {state->lost_functions, "functions found no room in the tables: their memory is with those that called them"},
        {state->lost_strings, "names found no room in the tables"},
        {state->lost_marks, "marks found no room in the file"},
        {state->lost_snapshots, "snapshots found no room in the file"},
    };
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        if (losses[i].count)
            capture_warn(capture, "%" PRIu64 " %s", losses[i].count, losses[i].what);
    }
}

/* How the process ended, and the moment whose live figures are shown. */
static void find_end(struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    for (int owner = 0; owner < OWNERS; owner++) {
        capture->live_bytes[owner] = state->owners[owner].live_bytes;
        capture->live_blocks[owner] = state->owners[owner].live_blocks;
    }
    capture->rss_bytes = state->rss_bytes;
    capture->time_ns = state->time_ns;
    capture->ended = END_KILLED;
    if (state->ended == PMT_ENDED_EXIT)
        capture->ended = END_EXIT;
    else if (state->ended == PMT_ENDED_EXEC)
        capture->ended = END_EXEC;
    else if (state->ended != PMT_ENDED_RUNNING)
        capture_warn(capture, "the process ended in a way that this pmt does not know");
    else if (process_is_alive((int)capture->header.pid, capture->header.start_unix_ns, capture_meta(capture, "boot")))
        capture->ended = END_RUNNING;
    if (capture->ended != END_EXIT || state->exit_snapshot == 0)
        return;
    if (state->exit_snapshot <= capture->snapshot_count &&
        capture->snapshots[state->exit_snapshot - 1].kind == PMT_SNAPSHOT_EXIT)
        capture_show(capture, &capture->snapshots[state->exit_snapshot - 1]);
    else
        capture_warn(capture, "damaged: the reading at exit is missing; the live figures are those after teardown");
}

/* Reads every stream: 0, or -1 with capture->error. */
int capture_check(struct capture *capture)
{
    uint32_t stream = capture->state.sites_stream;
    if (stream != PMT_STREAM_SITES_A && stream != PMT_STREAM_SITES_B)
        return refuse(capture, "its state names no stream of sites");
    read_meta(capture);
    read_functions(capture);
    read_nodes(capture);
    read_sites(capture);
    read_snapshots(capture);
    read_marks(capture);
    if (!capture_sums_are_figures(capture))
        return refuse(capture, "its figures are beyond what memory can be");
    capture_compare_sums(capture);
    warn_of_losses(capture);
    warn_of_meta(capture);
    find_end(capture);
    return 0;
}
