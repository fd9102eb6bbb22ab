/* streams.c: the file of the capture: streams in extents (format.h).
 *
 *    append, put -> the stream's extent, or a new one at the end of the file -> pwrite
 *    commit      -> the slot of the state that is not current: from here on, what was written counts
 *
 * Space is reserved before it is written to, so that a full disk is met there; the rest of the file stays valid. All
 * state is protected by pmt_capture_lock. */
#include "capture.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define RESERVED_EXTENTS 16 /* at a time */
#define SITE_EXTENTS ((PMT_SITES_MAX * sizeof(struct pmt_record_site) + PMT_EXTENT_PAYLOAD - 1) / PMT_EXTENT_PAYLOAD)

static struct {
    struct pmt_output output;
    bool is_open;
    int64_t reserved; /* bytes of the file that have been asked for */
    uint32_t extents; /* in use */
    uint64_t lengths[PMT_STREAMS];
    uint32_t tails[PMT_STREAMS];  /* of streams that grow: the last extent's number, from 1 */
    uint32_t counts[PMT_STREAMS]; /* of them: their extents */
} file = {.output = {.kept = {.fd = -1, .is_modest = true}}};

/* The extents of the streams of sites, numbers from 1; 0: none. */
static uint32_t site_extents[2][SITE_EXTENTS];

static int64_t extent_at(uint32_t number)
{
    return PMT_CAPTURE_HEADER_SIZE + (int64_t)(number - 1) * PMT_EXTENT_SIZE;
}

static int write_at(const void *bytes, size_t size, int64_t at)
{
    int error = pmt_output_ensure(&file.output);
    return error < 0 ? error : pmt_output_write(&file.output, bytes, size, at);
}

/* File systems that cannot reserve give space when it is written to. */
static int reserve(int64_t size)
{
    if (!pmt_output_may_grow((uint64_t)size))
        return -EFBIG;
    long error = pmt_output_ensure(&file.output);
    if (error < 0)
        return (int)error;
    do
        error = pmt_sys(SYS_fallocate, file.output.kept.fd, 0, file.reserved, size - file.reserved, 0, 0);
    while (error == -EINTR);
    if (error < 0 && error != -EOPNOTSUPP && error != -ENOSYS)
        return (int)error;
    file.reserved = size;
    return 0;
}

/* A new extent; its number, or -errno. */
static int64_t add_extent(enum pmt_stream stream, uint32_t index)
{
    uint32_t number = file.extents + 1;
    int error = 0;
    if (extent_at(number + 1) > file.reserved) {
        error = reserve(extent_at(number + RESERVED_EXTENTS));
        error = error < 0 ? reserve(extent_at(number + 1)) : 0;
    }
    struct pmt_extent_head head = {.magic = PMT_EXTENT_MAGIC, .stream = stream, .index = index};
    error = error < 0 ? error : write_at(&head, sizeof head, extent_at(number));
    if (error < 0)
        return error;
    file.extents = number;
    return number;
}

static bool is_of_sites(enum pmt_stream stream)
{
    return stream == PMT_STREAM_SITES_A || stream == PMT_STREAM_SITES_B;
}

/* The number of a stream's extent, which is made if there is none; -errno. */
static int64_t find_extent(enum pmt_stream stream, uint32_t index)
{
    uint32_t *slot = is_of_sites(stream) ? &site_extents[stream - PMT_STREAM_SITES_A][index] : &file.tails[stream];
    bool is_there = is_of_sites(stream) ? *slot != 0 : index + 1 == file.counts[stream];
    if (is_there)
        return *slot;
    int64_t number = add_extent(stream, index);
    if (number > 0) {
        *slot = (uint32_t)number;
        file.counts[stream] = index + 1;
    }
    return number;
}

/* Bytes of a stream of sites, anywhere; of others, at their end. */
int pmt_streams_put(enum pmt_stream stream, uint64_t offset, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        uint64_t within = offset % PMT_EXTENT_PAYLOAD, room = PMT_EXTENT_PAYLOAD - within;
        size_t now = size < room ? size : room;
        int64_t number = find_extent(stream, (uint32_t)(offset / PMT_EXTENT_PAYLOAD));
        if (number < 0)
            return (int)number;
        int64_t at = extent_at((uint32_t)number) + (int64_t)(sizeof(struct pmt_extent_head) + within);
        int error = write_at(from, now, at);
        if (error < 0)
            return error;
        offset += now;
        from += now;
        size -= now;
    }
    if (offset > file.lengths[stream])
        file.lengths[stream] = offset;
    return 0;
}

int pmt_streams_append(enum pmt_stream stream, const void *bytes, size_t size)
{
    return pmt_streams_put(stream, file.lengths[stream], bytes, size);
}

uint64_t pmt_streams_length(enum pmt_stream stream)
{
    return file.lengths[stream];
}

bool pmt_streams_is_open(void)
{
    return file.is_open;
}

int pmt_streams_ensure(void)
{
    return pmt_output_ensure(&file.output);
}

/* Makes the file. No state in it is valid yet. -EAGAIN: not now. */
int pmt_streams_create(const struct pmt_capture_header *header)
{
    if (!pmt_lock_take(&pmt_log_lock)) /* which protects the choice of a name */
        return -EAGAIN;
    int error = pmt_output_create(&file.output, PMT_OUTPUT_CAPTURE);
    pmt_lock_drop(&pmt_log_lock);
    if (error < 0)
        return error;
    file.is_open = true;
    file.reserved = 0;
    error = reserve(PMT_CAPTURE_HEADER_SIZE + PMT_EXTENT_SIZE);
    return error < 0 ? error : write_at(header, sizeof *header, 0);
}

/* FNV-1a, 64 bits. */
static uint64_t hash_bytes(const unsigned char *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

/* Writes the state, but for the lengths and the checksum, which are found here. */
int pmt_streams_commit(struct pmt_capture_state *state)
{
    memcpy(state->lengths, file.lengths, sizeof state->lengths);
    state->lengths[PMT_STREAM_SITES_A + PMT_STREAM_SITES_B - state->sites_stream] = 0;
    state->checksum = hash_bytes((const unsigned char *)state, offsetof(struct pmt_capture_state, checksum));
    return write_at(state, sizeof *state, PMT_CAPTURE_STATE_AT * (int64_t)(1 + state->sequence % 2));
}

/* After a tick. */
void pmt_streams_done(void)
{
    pmt_keep_done(&file.output.kept);
}

/* At an end: gives back what was reserved and not used. */
void pmt_streams_trim(void)
{
    int64_t size = extent_at(file.extents + 1);
    if (size < file.reserved && pmt_keep_is_ours(&file.output.kept) &&
        pmt_sys(SYS_ftruncate, file.output.kept.fd, size, 0, 0, 0, 0) == 0)
        file.reserved = size;
}

/* Nothing more will be written. A file without a valid state is no use to anybody. */
void pmt_streams_close(bool has_state)
{
    if (file.is_open && !has_state)
        pmt_output_remove(&file.output, PMT_OUTPUT_CAPTURE);
    else
        pmt_keep_close(&file.output.kept);
}

/* In a child of fork: the file is the parent's. */
void pmt_streams_forget(void)
{
    pmt_output_forget(&file.output);
    if (file.extents > 0)
        memset(site_extents, 0, sizeof site_extents);
    file.is_open = false;
    file.extents = 0;
    file.reserved = 0;
    memset(file.lengths, 0, sizeof file.lengths);
    memset(file.counts, 0, sizeof file.counts);
}

/* The file is about to be out of reach. False: it is already. */
bool pmt_streams_pin(void)
{
    if (pmt_output_ensure(&file.output) < 0)
        return false;
    pmt_keep_pin(&file.output.kept);
    return true;
}

const char *pmt_streams_path(void)
{
    return file.output.path;
}
