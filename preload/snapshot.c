/* snapshot.c: what every site holds at a moment, in pages of its own until it is in the file. */
#include "capture.h"

#include "sys.h"

#include "poison.h"

static void add_held(struct pmt_snapshot *snapshot, uint32_t site, int64_t bytes, int64_t blocks)
{
    struct pmt_record_held *held = (void *)(snapshot->head + 1);
    if (bytes != 0 || blocks != 0)
        held[snapshot->head->held_count++] = (struct pmt_record_held){site, 0, bytes, blocks};
}

/* Takes a snapshot of sites 0 to site_count - 1, where sites are recorded. False without memory. */
bool pmt_snapshot_take(struct pmt_snapshot *snapshot, enum pmt_snapshot_kind kind, uint32_t site_count)
{
    snapshot->room = sizeof *snapshot->head + site_count * sizeof(struct pmt_record_held);
    snapshot->head = pmt_sys_pages(snapshot->room);
    if (!snapshot->head)
        return false;
    struct pmt_record_snapshot *head = snapshot->head;
    struct pmt_net rest = {0, 0};
    *head = (struct pmt_record_snapshot){
        .kind = kind,
        .name = PMT_NO_STRING,
        .time_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC) - pmt_start_monotonic_ns,
        .rss_bytes = -1,
    };
    for (int owner = 0; owner < PMT_OWNERS; owner++) {
        struct pmt_net live = pmt_count_total(owner);
        head->live_bytes[owner] = live.bytes;
        head->live_blocks[owner] = live.blocks;
        rest.bytes += live.bytes;
        rest.blocks += live.blocks;
    }
    for (uint32_t site = PMT_SITE_NATIVE + 1; site < site_count; site++) {
        struct pmt_record_site record;
        pmt_site_get(site, &record);
        add_held(snapshot, site, record.live_bytes, record.live_blocks);
        rest.bytes -= record.live_bytes;
        rest.blocks -= record.live_blocks;
    }
    if (site_count > 0)
        add_held(snapshot, PMT_SITE_NATIVE, rest.bytes, rest.blocks);
    snapshot->size = sizeof *head + head->held_count * sizeof(struct pmt_record_held);
    return true;
}

int pmt_snapshot_append(struct pmt_snapshot *snapshot)
{
    return pmt_streams_append(PMT_STREAM_SNAPSHOTS, snapshot->head, snapshot->size);
}

void pmt_snapshot_drop(struct pmt_snapshot *snapshot)
{
    if (snapshot->head)
        pmt_sys(SYS_munmap, (long)snapshot->head, (long)snapshot->room, 0, 0, 0, 0);
    snapshot->head = NULL;
}
