/* changes.c: what the capture does not know yet of the tables of site.h.
 *
 *    strings, functions, nodes   those that came since the last tick, behind the others
 *    sites                       groups of 8, those that were touched since this stream was written: at the tick
 *                                before the last
 *
 * Site 0 is what is left of the totals. For that the sum over all other sites is kept; a group that is written changes
 * it by what the group's sum was before. Of the peak, what is summed is its excess over what is live, which is 0 for a
 * site that nobody has touched since: so a new peak clears the sum, and sites need not be written for it (FORMAT.md).
 */
#include "capture.h"

#include <string.h>

#include "poison.h"

#define GROUP 8
#define GAP_MAX 2 /* groups; to write them again costs less than another system call */
#define RUN_MAX (PMT_STAGING_SIZE / sizeof(struct pmt_record_site))

char pmt_staging[PMT_STAGING_SIZE] __attribute__((aligned(64)));

/* ---- streams that grow */

static void get_function(uint32_t id, void *record)
{
    pmt_site_get_function(id, record);
}

static void get_node(uint32_t id, void *record)
{
    pmt_site_get_node(id, record);
}

static int append_records(enum pmt_stream stream, size_t size, void (*get)(uint32_t id, void *record), uint32_t count)
{
    uint32_t id = (uint32_t)(pmt_streams_length(stream) / size), room = (uint32_t)(PMT_STAGING_SIZE / size);
    int error = 0;
    while (id < count && error == 0) {
        uint32_t now = count - id < room ? count - id : room;
        for (uint32_t i = 0; i < now; i++)
            get(id + i, pmt_staging + i * size);
        error = pmt_streams_append(stream, pmt_staging, now * size);
        id += now;
    }
    return error;
}

static int append_strings(uint32_t end)
{
    uint32_t offset = (uint32_t)pmt_streams_length(PMT_STREAM_STRINGS);
    int error = 0;
    while (offset < end && error == 0) {
        const char *bytes;
        size_t size = pmt_site_get_strings(offset, &bytes);
        size = size < end - offset ? size : end - offset;
        error = pmt_streams_append(PMT_STREAM_STRINGS, bytes, size);
        offset += (uint32_t)size;
    }
    return error;
}

int pmt_changes_append(const struct pmt_site_counts *counts)
{
    int error = append_strings(counts->strings);
    if (error == 0)
        error =
            append_records(PMT_STREAM_FUNCTIONS, sizeof(struct pmt_record_function), get_function, counts->functions);
    if (error == 0)
        error = append_records(PMT_STREAM_NODES, sizeof(struct pmt_record_node), get_node, counts->nodes);
    return error;
}

/* ---- sites */

/* What a group was when it was last written, to either stream; peak_bytes is the excess of its peak, if `sequence` is
 * not before peak_sequence, else there is none. */
static struct group {
    struct pmt_figures figures;
    uint64_t sequence;
} groups[PMT_SITES_MAX / GROUP];

static struct pmt_figures sum; /* of all groups, less site 0 */
static uint64_t seen_epoch, peak_sequence;
static uint32_t written[2]; /* sites in each of the two streams */

static void add_record(struct pmt_figures *to, const struct pmt_record_site *record)
{
    to->live_bytes += record->live_bytes;
    to->live_blocks += record->live_blocks;
    to->total_bytes += (int64_t)record->total_bytes;
    to->total_blocks += (int64_t)record->total_blocks;
    to->temporary_blocks += (int64_t)record->temporary_blocks;
    to->peak_bytes += record->peak_bytes - record->live_bytes;
}

static void add_figures(struct pmt_figures *to, const struct pmt_figures *figures, int64_t sign)
{
    to->live_bytes += sign * figures->live_bytes;
    to->live_blocks += sign * figures->live_blocks;
    to->total_bytes += sign * figures->total_bytes;
    to->total_blocks += sign * figures->total_blocks;
    to->temporary_blocks += sign * figures->temporary_blocks;
    to->peak_bytes += sign * figures->peak_bytes;
}

/* Reads a group's records, `count` of them, and brings the sum up to date. */
static void read_group(uint32_t number, struct pmt_record_site *records, uint32_t count, uint64_t sequence)
{
    struct group *group = &groups[number];
    struct pmt_figures fresh = {0};
    if (group->sequence < peak_sequence)
        group->figures.peak_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        pmt_site_get(number * GROUP + i, &records[i]);
        records[i].sequence = (uint32_t)sequence;
        if (number > 0 || i > 0)
            add_record(&fresh, &records[i]);
    }
    add_figures(&sum, &group->figures, -1);
    add_figures(&sum, &fresh, 1);
    *group = (struct group){fresh, sequence};
}

static uint64_t not_negative(int64_t value)
{
    return value < 0 ? 0 : (uint64_t)value;
}

/* Other threads may have allocated since the totals were read: sums that only grow do not go below 0 for that. */
static int put_rest(const struct pmt_capture_state *state, const struct pmt_figures *all)
{
    struct pmt_record_site rest = {
        .label = PMT_NO_STRING,
        .sequence = (uint32_t)state->sequence,
        .live_bytes = all->live_bytes - sum.live_bytes,
        .live_blocks = all->live_blocks - sum.live_blocks,
        .peak_bytes = all->peak_bytes - sum.live_bytes - sum.peak_bytes,
        .total_bytes = not_negative(all->total_bytes - sum.total_bytes),
        .total_blocks = not_negative(all->total_blocks - sum.total_blocks),
        .temporary_blocks = not_negative(all->temporary_blocks - sum.temporary_blocks),
    };
    return pmt_streams_put(state->sites_stream, PMT_SITE_NATIVE * sizeof rest, &rest, sizeof rest);
}

/* Records that lie together, in pmt_staging. */
struct run {
    uint32_t first, count;
};

static int flush_run(struct run *run, enum pmt_stream stream)
{
    uint64_t size = sizeof(struct pmt_record_site);
    int error = run->count ? pmt_streams_put(stream, run->first * size, pmt_staging, run->count * size) : 0;
    run->count = 0;
    return error;
}

/* Adds a group to the run, and those before it that are missing in between. The run is flushed before, if the group is
 * too far from it, or does not fit. */
static int add_group(struct run *run, uint32_t number, uint32_t count, const struct pmt_capture_state *state)
{
    uint32_t next = (run->first + run->count) / GROUP;
    int error = 0;
    if (run->count && (number - next > GAP_MAX || run->count + (number - next + 1) * GROUP > RUN_MAX))
        error = flush_run(run, state->sites_stream);
    if (!run->count) {
        run->first = number * GROUP;
        next = number;
    }
    for (; next <= number; next++) {
        uint32_t records = count - next * GROUP < GROUP ? count - next * GROUP : GROUP;
        read_group(next, (struct pmt_record_site *)(void *)pmt_staging + run->count, records, state->sequence);
        run->count += records;
    }
    return error;
}

/* Brings the stream that is not current up to date, sites 0 to count - 1. `all`: the totals; their live and peak bytes
 * were read after the tables were counted. */
int pmt_changes_put_sites(struct pmt_capture_state *state, uint32_t count, const struct pmt_figures *all)
{
    int side = (int)(state->sequence % 2), error = 0;
    struct run run = {0, 0};
    uint64_t epoch = __atomic_load_n(&pmt_peak_epoch, __ATOMIC_RELAXED);
    state->sites_stream = side ? PMT_STREAM_SITES_B : PMT_STREAM_SITES_A;
    if (epoch != seen_epoch || peak_sequence == 0) {
        seen_epoch = epoch;
        peak_sequence = state->sequence;
        sum.peak_bytes = 0;
    }
    state->peak_sequence = peak_sequence;
    for (uint32_t group = 0; group * GROUP < count && error == 0; group++) {
        bool is_touched = pmt_site_take_touched(group, count, side);
        if (is_touched || (group + 1) * GROUP > written[side])
            error = add_group(&run, group, count, state);
    }
    if (error == 0)
        error = flush_run(&run, state->sites_stream);
    written[side] = count;
    return error < 0 || count == 0 ? error : put_rest(state, all);
}

/* In a child of fork: its file knows nothing yet. */
void pmt_changes_after_fork(void)
{
    uint32_t count = written[0] > written[1] ? written[0] : written[1];
    memset(groups, 0, (count + GROUP - 1) / GROUP * sizeof *groups);
    memset(&sum, 0, sizeof sum);
    seen_epoch = peak_sequence = 0;
    written[0] = written[1] = 0;
}
