/* sums.c: whether the sites of a capture add up to the totals that its state gives. They do, to the byte, in every
 * whole capture; where they do not, something is lost or damaged, and the difference is said. */
#include "read.h"

#include <string.h>

/* Figures of a site that the state has in total, for each owner, in the state's order. */
enum { TOTALS = 5 };
_Static_assert(sizeof((struct pmt_capture_state *)NULL)->owners[0] == TOTALS * sizeof(int64_t), "totals of the state");
static const char *const names[TOTALS] = {"live bytes", "live blocks", "allocated bytes", "allocated blocks",
                                          "temporary blocks"};

static void get_figures(const struct pmt_record_site *site, int64_t figures[TOTALS])
{
    figures[0] = site->live_bytes;
    figures[1] = site->live_blocks;
    figures[2] = (int64_t)site->total_bytes;
    figures[3] = (int64_t)site->total_blocks;
    figures[4] = (int64_t)site->temporary_blocks;
}

/* No process allocates 64 PiB: a gigabyte every second for two years. */
bool capture_is_figure(int64_t figure)
{
    return figure > -(INT64_C(1) << 56) && figure < INT64_C(1) << 56;
}

static bool add(int64_t *size, int64_t figure)
{
    if (!capture_is_figure(figure))
        return false;
    *size += figure < 0 ? -figure : figure;
    return *size < INT64_C(1) << 59;
}

static bool are_figures(const int64_t *figures, size_t count, int64_t *size)
{
    bool is_good = true;
    for (size_t i = 0; i < count && is_good; i++)
        is_good = add(size, figures[i]);
    return is_good;
}

static bool are_held_figures(const struct capture_snapshot *snapshot)
{
    int64_t size = 0;
    bool is_good =
        are_figures(snapshot->live_bytes, OWNERS, &size) && are_figures(snapshot->live_blocks, OWNERS, &size);
    for (uint64_t i = 0; i < snapshot->held_count && is_good; i++)
        is_good = add(&size, snapshot->held[i].live_bytes) && add(&size, snapshot->held[i].live_blocks);
    return is_good;
}

/* Whether any sum of figures stays within 64 bits. */
bool capture_sums_are_figures(const struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    const int64_t others[] = {state->peak_bytes,   state->peak_error_bytes, state->inherited_bytes,
                              state->mapped_bytes, state->inherited_blocks, state->mapped_regions,
                              state->break_bytes,  state->rss_bytes,        state->rss_peak_bytes};
    int64_t totals[OWNERS][TOTALS], figures[TOTALS], size = 0;
    memcpy(totals, state->owners, sizeof totals);
    bool is_good = are_figures(others, sizeof others / sizeof *others, &size) && state->peak_error_bytes >= 0;
    for (int owner = 0; owner < OWNERS && is_good; owner++)
        is_good = are_figures(totals[owner], TOTALS, &size);
    size = 0;
    for (uint32_t i = 0; i < capture->site_count && is_good; i++) {
        get_figures(&capture->sites[i], figures);
        is_good = are_figures(figures, TOTALS, &size) && add(&size, capture->sites[i].peak_bytes);
    }
    for (size_t i = 0; i < capture->snapshot_count && is_good; i++)
        is_good = are_held_figures(&capture->snapshots[i]);
    return is_good;
}

static void compare(struct capture *capture, const char *owner, const char *what, int64_t sum, int64_t total)
{
    char numbers[3][NUMBER_SIZE];
    if (sum != total)
        capture_warn(capture, "%s%s do not add up: %s over the sites, %s in total, a difference of %s", owner, what,
                     number_signed(sum, numbers[0]), number_signed(total, numbers[1]),
                     number_signed(sum - total, numbers[2]));
}

static void compare_totals(struct capture *capture)
{
    int64_t sums[OWNERS][TOTALS] = {{0}}, totals[OWNERS][TOTALS], figures[TOTALS];
    const struct pmt_record_site *other = &capture->sites[PMT_SITE_OTHER];
    memcpy(totals, capture->state.owners, sizeof totals);
    for (uint32_t i = 0; i < capture->site_count; i++) {
        get_figures(&capture->sites[i], figures);
        for (int f = 0; f < TOTALS; f++)
            sums[capture->sites[i].owner][f] += figures[f];
    }
    bool is_mixed = other->total_blocks != 0 || other->live_bytes != 0; /* it holds blocks of either owner */
    for (int f = 0; f < TOTALS; f++) {
        if (is_mixed) {
            compare(capture, "", names[f], sums[0][f] + sums[1][f], totals[0][f] + totals[1][f]);
        } else {
            compare(capture, "native ", names[f], sums[OWNER_NATIVE][f], totals[OWNER_NATIVE][f]);
            compare(capture, "Python ", names[f], sums[OWNER_PYTHON][f], totals[OWNER_PYTHON][f]);
        }
    }
}

static void compare_peak(struct capture *capture)
{
    int64_t sum = 0, total = capture->state.peak_bytes, error = capture->state.peak_error_bytes;
    for (uint32_t i = 0; i < capture->site_count; i++)
        sum += capture->sites[i].peak_bytes;
    if (sum - total > error || total - sum > error)
        compare(capture, "", "bytes at the peak", sum, total);
}

/* Sums of both owners together if site 2 holds anything, whose blocks are of either. */
static void compare_snapshot(struct capture *capture, const struct capture_snapshot *snapshot)
{
    int64_t bytes[OWNERS] = {0}, blocks[OWNERS] = {0};
    bool is_mixed = false;
    for (uint64_t i = 0; i < snapshot->held_count; i++) {
        const struct pmt_record_held *held = &snapshot->held[i];
        bytes[capture->sites[held->site].owner] += held->live_bytes;
        blocks[capture->sites[held->site].owner] += held->live_blocks;
        is_mixed = is_mixed || held->site == PMT_SITE_OTHER;
    }
    const int64_t *live_bytes = snapshot->live_bytes, *live_blocks = snapshot->live_blocks;
    char name[NUMBER_SIZE], text[OWNERS][64];
    capture_snapshot_name(snapshot, name);
    snprintf(text[OWNER_NATIVE], sizeof *text, "snapshot %s: %s", name, is_mixed ? "" : "native ");
    snprintf(text[OWNER_PYTHON], sizeof *text, "snapshot %s: Python ", name);
    if (is_mixed) {
        compare(capture, text[0], "live bytes", bytes[0] + bytes[1], live_bytes[0] + live_bytes[1]);
        compare(capture, text[0], "live blocks", blocks[0] + blocks[1], live_blocks[0] + live_blocks[1]);
        return;
    }
    for (int owner = 0; owner < OWNERS; owner++) {
        compare(capture, text[owner], "live bytes", bytes[owner], live_bytes[owner]);
        compare(capture, text[owner], "live blocks", blocks[owner], live_blocks[owner]);
    }
}

/* False with --sites off. */
bool capture_has_sites(const struct capture *capture)
{
    return (capture->header.features & PMT_FEATURE_SITES) || capture->streams[capture->state.sites_stream].size > 0;
}

/* Warns of every sum that is not the total. */
void capture_compare_sums(struct capture *capture)
{
    bool is_off =
        !(capture->header.features & PMT_FEATURE_SITES) && capture->streams[capture->state.sites_stream].size == 0;
    if (is_off)
        return;
    compare_totals(capture);
    compare_peak(capture);
    for (size_t i = 0; i < capture->snapshot_count; i++)
        compare_snapshot(capture, &capture->snapshots[i]);
}
