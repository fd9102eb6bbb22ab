/* capture_reader.h: reads a capture by the letter of FORMAT.md, for unit tests: load_file(), then `file` and the
 * functions below. What is not as it should be fails the test. */
#ifndef PMT_CAPTURE_READER_H
#define PMT_CAPTURE_READER_H

#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"

#define FILE_MAX (32 << 20)

static struct file {
    unsigned char *bytes;
    size_t size;
    struct pmt_capture_state state; /* the current one */
    unsigned char *streams[PMT_STREAMS];
} file;

static inline uint64_t hash_bytes(const unsigned char *bytes, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static inline const struct pmt_capture_state *state_in(int slot)
{
    const struct pmt_capture_state *state = (const void *)(file.bytes + PMT_CAPTURE_STATE_AT * (1 + slot));
    bool is_valid = state->checksum == hash_bytes((const void *)state, offsetof(struct pmt_capture_state, checksum));
    assert_true(!is_valid || state->sequence % 2 == (uint64_t)slot);
    return is_valid ? state : NULL;
}

static inline void load_bytes(const char *path)
{
    free(file.bytes);
    file.bytes = calloc(1, FILE_MAX);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, file.bytes, FILE_MAX - 1);
    close(fd);
    assert_true(size >= PMT_CAPTURE_HEADER_SIZE);
    file.size = (size_t)size;
}

static inline const unsigned char *find_extent(uint32_t stream, uint32_t index)
{
    const unsigned char *found = NULL;
    for (size_t at = PMT_CAPTURE_HEADER_SIZE; at + sizeof(struct pmt_extent_head) <= file.size; at += PMT_EXTENT_SIZE) {
        const struct pmt_extent_head *head = (const void *)(file.bytes + at);
        if (head->magic == 0)
            continue;
        assert_int_equal(head->magic, PMT_EXTENT_MAGIC);
        if (head->stream != stream || head->index != index)
            continue;
        assert_null(found);
        found = file.bytes + at + sizeof *head;
    }
    return found;
}

static inline void load_stream(uint32_t stream, uint64_t length)
{
    free(file.streams[stream]);
    file.streams[stream] = malloc(length + 1);
    for (uint64_t done = 0; done < length; done += PMT_EXTENT_PAYLOAD) {
        const unsigned char *payload = find_extent(stream, (uint32_t)(done / PMT_EXTENT_PAYLOAD));
        uint64_t left = length - done;
        assert_non_null(payload);
        memcpy(file.streams[stream] + done, payload, left < PMT_EXTENT_PAYLOAD ? left : PMT_EXTENT_PAYLOAD);
    }
}

/* Loads what belongs to a state. */
static inline void load_streams(const struct pmt_capture_state *state)
{
    file.state = *state;
    for (uint32_t stream = 0; stream < PMT_STREAMS; stream++)
        load_stream(stream, state->lengths[stream]);
}

/* False: the file has no state yet. */
static inline bool load_file(const char *path)
{
    load_bytes(path);
    const struct pmt_capture_state *even = state_in(0), *odd = state_in(1);
    if (!even && !odd)
        return false;
    load_streams(!even || (odd && odd->sequence > even->sequence) ? odd : even);
    return true;
}

static inline uint32_t count_sites(void)
{
    return (uint32_t)(file.state.lengths[file.state.sites_stream] / sizeof(struct pmt_record_site));
}

static inline const struct pmt_record_site *site_in_file(uint32_t id)
{
    return (const struct pmt_record_site *)(void *)file.streams[file.state.sites_stream] + id;
}

static inline int64_t peak_of(const struct pmt_record_site *record)
{
    return (int32_t)(record->sequence - (uint32_t)file.state.peak_sequence) < 0 ? record->live_bytes
                                                                                : record->peak_bytes;
}

/* All sites together are the totals. */
static inline void check_sums(void)
{
    int64_t live = 0, peak = 0, total = 0, number = 0;
    for (uint32_t id = 0; id < count_sites(); id++) {
        const struct pmt_record_site *record = site_in_file(id);
        assert_true(record->sequence > 0 && record->sequence <= file.state.sequence);
        assert_true(record->node < file.state.lengths[PMT_STREAM_NODES] / sizeof(struct pmt_record_node));
        live += record->live_bytes;
        peak += peak_of(record);
        total += (int64_t)record->total_bytes;
        number += (int64_t)record->total_blocks;
    }
    assert_int_equal(live, file.state.owners[0].live_bytes + file.state.owners[1].live_bytes);
    assert_int_equal(total, file.state.owners[0].total_bytes + file.state.owners[1].total_bytes);
    assert_int_equal(number, file.state.owners[0].total_blocks + file.state.owners[1].total_blocks);
    assert_int_equal(peak, file.state.peak_bytes);
}

static inline const char *string_at(uint32_t offset, uint32_t *size)
{
    assert_true(offset + 4 <= file.state.lengths[PMT_STREAM_STRINGS]);
    memcpy(size, file.streams[PMT_STREAM_STRINGS] + offset, 4);
    assert_true(offset + 4 + *size <= file.state.lengths[PMT_STREAM_STRINGS]);
    return (const char *)file.streams[PMT_STREAM_STRINGS] + offset + 4;
}

/* The snapshot at `at`; checks that it adds up. Where the next begins. */
static inline uint64_t next_snapshot(uint64_t at, const struct pmt_record_snapshot **snapshot)
{
    const struct pmt_record_snapshot *head = (const void *)(file.streams[PMT_STREAM_SNAPSHOTS] + at);
    const struct pmt_record_held *held = (const void *)(head + 1);
    int64_t live = 0, count = 0;
    for (uint64_t i = 0; i < head->held_count; i++) {
        live += held[i].live_bytes;
        count += held[i].live_blocks;
        assert_true(held[i].site < count_sites());
    }
    assert_int_equal(live, head->live_bytes[0] + head->live_bytes[1]);
    assert_int_equal(count, head->live_blocks[0] + head->live_blocks[1]);
    *snapshot = head;
    return at + sizeof *head + head->held_count * sizeof *held;
}

static inline uint64_t count_snapshots(uint32_t kind)
{
    uint64_t count = 0;
    for (uint64_t at = 0; at < file.state.lengths[PMT_STREAM_SNAPSHOTS];) {
        const struct pmt_record_snapshot *snapshot;
        at = next_snapshot(at, &snapshot);
        assert_true(at <= file.state.lengths[PMT_STREAM_SNAPSHOTS]);
        count += snapshot->kind == kind;
    }
    return count;
}

#endif
