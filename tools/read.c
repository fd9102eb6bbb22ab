/* read.c: a capture file -> its header, its state, and the streams that the state describes.
 *
 *   header  state 0  state 1      the valid one with the higher sequence says how long each stream is
 *   extent  extent  extent ...    in any order; (stream, index) in the head of each says where its bytes belong
 *
 * The process may be writing. It touches nothing that the newest state describes before the next state stands, so what
 * was read is whole if the same state is still the newest; else it is read again.
 */
#include "read.h"

#include <byteswap.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS = 3, CHANGES_STOOD = 200, PAUSE_US = 300, SLOTS = 2 };

static int __attribute__((format(printf, 2, 3))) fail(struct capture *capture, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(capture->error, sizeof capture->error, format, values);
    va_end(values);
    return -1;
}

/* Notes one line for the user, once. */
void capture_warn(struct capture *capture, const char *format, ...)
{
    char *line = NULL;
    va_list values;
    va_start(values, format);
    if (vasprintf(&line, format, values) < 0)
        line = NULL;
    va_end(values);
    for (size_t i = 0; line && i < capture->warning_count; i++) {
        if (strcmp(capture->warnings[i], line) == 0) {
            free(line);
            return;
        }
    }
    capture->warnings =
        grow(capture->warnings, &capture->warning_capacity, capture->warning_count + 1, sizeof *capture->warnings);
    if (line)
        capture->warnings[capture->warning_count++] = line;
}

/* As many of the bytes as the file has. */
static size_t read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        done += got > 0 ? (size_t)got : 0;
    }
    return done;
}

/* ---- header and states */

static const char wanted[] = "a capture starts with \"PMTCAPT\"";

static int open_file(struct capture *capture, const char *path)
{
    struct stat st;
    capture->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (capture->fd < 0 || fstat(capture->fd, &st) != 0)
        return fail(capture, "cannot be opened: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fail(capture, "is a directory: give the captures (.pmt) in it");
    if (!S_ISREG(st.st_mode))
        return fail(capture, "is not a file");
    capture->device = st.st_dev;
    capture->inode = st.st_ino;
    if (st.st_size == 0)
        return fail(capture, "is empty: %s", wanted);
    return 0;
}

/* What makes the start of the file no header of a capture that can be read here. */
static int check_header(struct capture *capture, const unsigned char *page, size_t size)
{
    struct pmt_capture_header *header = &capture->header;
    static const char log_start[] = "      Event";
    memcpy(header, page, sizeof *header);
    if (size >= sizeof log_start - 1 && memcmp(page, log_start, sizeof log_start - 1) == 0)
        return fail(capture, "is an event log: `pmt log` reads it; this command reads captures (.pmt)");
    if (size < sizeof header->magic || memcmp(header->magic, PMT_CAPTURE_MAGIC, sizeof header->magic) != 0)
        return fail(capture, "is not a capture: %s", wanted);
    if (size < PMT_CAPTURE_HEADER_SIZE)
        return fail(capture, "is cut within its header: %zu bytes of %d are left", size, PMT_CAPTURE_HEADER_SIZE);
    if (header->endian == bswap_32(PMT_CAPTURE_ENDIAN))
        return fail(capture, "is of a machine with the other byte order: read it there");
    if (header->endian != PMT_CAPTURE_ENDIAN)
        return fail(capture, "is damaged: its header has no byte order");
    if (header->version > PMT_CAPTURE_VERSION)
        return fail(capture, "has version %" PRIu32 " of the format; this pmt (" PMT_VERSION ") reads up to version %d",
                    header->version, PMT_CAPTURE_VERSION);
    if (header->version == 0 || header->header_size != PMT_CAPTURE_HEADER_SIZE ||
        header->extent_size != PMT_EXTENT_SIZE)
        return fail(capture,
                    "is damaged: version %" PRIu32 " with a header of %" PRIu32 " and extents of %" PRIu32 " bytes",
                    header->version, header->header_size, header->extent_size);
    return 0;
}

static uint64_t checksum(const void *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const unsigned char *at = bytes; size > 0; at++, size--)
        hash = (hash ^ *at) * 0x100000001b3u;
    return hash;
}

/* The newest valid state, false if there is none. */
static bool pick_state(const unsigned char *page, struct pmt_capture_state *state, bool *is_older)
{
    bool is_found = false;
    state->sequence = 0;
    int valid = 0, unwritten = 0;
    for (int slot = 0; slot < SLOTS; slot++) {
        struct pmt_capture_state each;
        static const struct pmt_capture_state zeros;
        memcpy(&each, page + (slot + 1) * PMT_CAPTURE_STATE_AT, sizeof each);
        bool is_valid = each.checksum == checksum(&each, offsetof(struct pmt_capture_state, checksum));
        unwritten += memcmp(&each, &zeros, sizeof each) == 0;
        valid += is_valid;
        if (!is_valid || each.sequence <= state->sequence)
            continue;
        *state = each;
        is_found = true;
    }
    bool is_first = unwritten == 1 && state->sequence == 1; /* the other slot's turn has not come */
    *is_older = is_found && valid < SLOTS && !is_first;
    return is_found;
}

/* Reads header and state: 1; 0 if no state is valid, as while one is being written; -1 if that cannot help. */
static int read_head(struct capture *capture)
{
    unsigned char page[PMT_CAPTURE_HEADER_SIZE] = {0};
    size_t size = read_at(capture->fd, page, sizeof page, 0);
    if (check_header(capture, page, size) != 0)
        return -1;
    if (pick_state(page, &capture->state, &capture->is_older_state))
        return 1;
    bool is_blank = true;
    for (size_t i = PMT_CAPTURE_STATE_AT; i < sizeof page; i++)
        is_blank = is_blank && page[i] == 0;
    fail(capture, is_blank ? "holds nothing yet: the process did not live to its first tick, or is just starting"
                           : "is damaged: neither of its two states is valid");
    return 0;
}

/* ---- extents */

static uint64_t stream_length(const struct capture *capture, unsigned stream)
{
    bool is_site = stream == PMT_STREAM_SITES_A || stream == PMT_STREAM_SITES_B;
    return is_site && stream != capture->state.sites_stream ? 0 : capture->state.lengths[stream];
}

struct place {
    uint32_t stream, index;
    uint64_t offset;
};
struct scan {
    struct place *places; /* of extents with a valid head, in the order of the file */
    size_t count, capacity;
    uint64_t bad_heads, doubled;
};

/* The next extent with something in it: a file may be grown far ahead. */
static uint64_t skip_hole(const struct capture *capture, uint64_t offset)
{
    off_t data = lseek(capture->fd, (off_t)offset, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? UINT64_MAX : offset;
    return offset + ((uint64_t)data - offset) / PMT_EXTENT_SIZE * PMT_EXTENT_SIZE;
}

static void scan_extents(struct capture *capture, struct scan *scan)
{
    static const struct pmt_extent_head zeros;
    struct pmt_extent_head head;
    uint64_t offset = PMT_CAPTURE_HEADER_SIZE;
    for (; read_at(capture->fd, &head, sizeof head, offset) == sizeof head; offset += PMT_EXTENT_SIZE) {
        if (memcmp(&head, &zeros, sizeof head) == 0) { /* reserved, not used yet */
            uint64_t next = skip_hole(capture, offset);
            if (next == UINT64_MAX)
                break;
            offset = next > offset ? next - PMT_EXTENT_SIZE : offset;
        } else if (head.magic != PMT_EXTENT_MAGIC || head.stream >= PMT_STREAMS) {
            scan->bad_heads++;
        } else {
            scan->places = grow(scan->places, &scan->capacity, scan->count + 1, sizeof *scan->places);
            scan->places[scan->count++] = (struct place){head.stream, head.index, offset};
        }
    }
}

/* Makes room for what the state says of a stream: no more than the file's extents could hold. */
static void expect_stream(struct capture *capture, unsigned number, uint64_t in_file)
{
    struct capture_stream *stream = &capture->streams[number];
    uint64_t length = stream_length(capture, number);
    uint64_t needed = length / PMT_EXTENT_PAYLOAD + (length % PMT_EXTENT_PAYLOAD > 0);
    stream->extent_count = needed < in_file ? needed : in_file;
    stream->size = needed <= in_file ? length : in_file * PMT_EXTENT_PAYLOAD;
    stream->missing = length - stream->size;
    stream->extents =
        grow(stream->extents, &stream->extent_capacity, stream->extent_count + 1, sizeof *stream->extents);
    memset(stream->extents, 0, stream->extent_count * sizeof *stream->extents);
}

/* Where every extent is that the state needs. */
static void find_extents(struct capture *capture, struct scan *scan)
{
    *scan = (struct scan){.places = NULL};
    scan_extents(capture, scan);
    for (unsigned stream = 0; stream < PMT_STREAMS; stream++)
        expect_stream(capture, stream, scan->count);
    for (size_t i = 0; i < scan->count; i++) {
        const struct place *place = &scan->places[i];
        if (place->index >= capture->streams[place->stream].extent_count)
            continue;
        uint64_t *known = &capture->streams[place->stream].extents[place->index];
        scan->doubled += *known != 0;
        *known = *known ? *known : place->offset;
    }
    free(scan->places);
}

/* Extents before `from` were read at an earlier attempt, and are of a stream that only grows. */
static void read_stream(struct capture *capture, struct capture_stream *stream, size_t from)
{
    stream->bytes = grow(stream->bytes, &stream->capacity, stream->size + 1, 1);
    for (size_t i = 0; i < stream->extent_count; i++) {
        uint64_t start = i * PMT_EXTENT_PAYLOAD;
        size_t size = stream->size - start < PMT_EXTENT_PAYLOAD ? (size_t)(stream->size - start) : PMT_EXTENT_PAYLOAD;
        size_t got = size;
        if (i >= from || stream->extents[i] == 0)
            got = stream->extents[i] ? read_at(capture->fd, stream->bytes + start, size,
                                               stream->extents[i] + sizeof(struct pmt_extent_head))
                                     : 0;
        memset(stream->bytes + start + got, 0, size - got);
        stream->missing += size - got;
        if (got < size)
            stream->extents[i] = 0;
    }
}

static void read_streams(struct capture *capture, struct scan *scan)
{
    size_t complete[PMT_STREAMS] = {0}; /* extents */
    for (unsigned i = 0; i < PMT_STREAMS; i++) {
        if (i != PMT_STREAM_SITES_A && i != PMT_STREAM_SITES_B && capture->streams[i].missing == 0)
            complete[i] = capture->streams[i].size / PMT_EXTENT_PAYLOAD;
    }
    find_extents(capture, scan);
    for (unsigned i = 0; i < PMT_STREAMS; i++)
        read_stream(capture, &capture->streams[i], complete[i]);
}

/* ---- the whole file */

static void warn_of_damage(struct capture *capture, const struct scan *scan, bool is_stable)
{
    static const char *const names[PMT_STREAMS] = {"of META",  "of names", "of functions", "of stacks",
                                                   "of sites", "of sites", "of snapshots", "of marks"};
    uint64_t unknown = capture->header.features & ~(uint64_t)PMT_FEATURES_KNOWN;
    if (unknown)
        capture_warn(
            capture,
            "a newer pmt wrote this capture: there is something in it that is not shown here (feature bits 0x%" PRIx64
            ")",
            unknown);
    if (capture->is_older_state)
        capture_warn(capture, "the state of one tick is damaged: the figures may be those of the tick before the last");
    if (!is_stable)
        capture_warn(capture, "the process changed the file whenever it was read: sums may not add up");
    if (scan->bad_heads && !unknown)
        capture_warn(capture, "damaged: extents without a valid head: %" PRIu64, scan->bad_heads);
    if (scan->doubled)
        capture_warn(capture, "damaged: extents that are there twice: %" PRIu64, scan->doubled);
    for (unsigned i = 0; i < PMT_STREAMS; i++) {
        if (capture->streams[i].missing)
            capture_warn(capture, "damaged or cut: %" PRIu64 " bytes %s are missing", capture->streams[i].missing,
                         names[i]);
    }
}

/* Reads state and streams until both belong together: 1; 0 if they do not yet, but may; -1 if that cannot be. */
static int read_once(struct capture *capture, struct scan *scan, bool *has_changed)
{
    int state = read_head(capture);
    if (state != 1)
        return state;
    uint64_t sequence = capture->state.sequence;
    read_streams(capture, scan);
    state = read_head(capture);
    *has_changed = state == 1 && capture->state.sequence != sequence;
    return state == 1 ? !*has_changed && !capture->is_older_state : state;
}

/* A state that is not valid is damaged, unless it becomes valid soon; that the file changes may go on for ever. */
static int read_whole(struct capture *capture)
{
    struct scan scan = {.places = NULL};
    bool has_changed = false;
    int state = 0;
    for (int attempt = 0; state == 0 && attempt < (has_changed ? CHANGES_STOOD : ATTEMPTS); attempt++) {
        if (attempt > 0)
            usleep(PAUSE_US);
        state = read_once(capture, &scan, &has_changed);
    }
    if (state < 0 || capture->state.sequence == 0)
        return -1;
    if (has_changed)
        read_streams(capture, &scan);
    warn_of_damage(capture, &scan, !has_changed);
    return 0;
}

int capture_open(struct capture *capture, const char *path)
{
    *capture = (struct capture){.path = path, .fd = -1};
    if (open_file(capture, path) != 0 || read_whole(capture) != 0)
        return -1;
    close(capture->fd);
    capture->fd = -1;
    return capture_check(capture);
}

void capture_close(struct capture *capture)
{
    if (capture->fd >= 0)
        close(capture->fd);
    for (unsigned i = 0; i < PMT_STREAMS; i++) {
        free(capture->streams[i].bytes);
        free(capture->streams[i].extents);
    }
    for (size_t i = 0; i < capture->warning_count; i++)
        free(capture->warnings[i]);
    free(capture->warnings);
    free(capture->meta);
    free(capture->functions);
    free(capture->nodes);
    free(capture->sites);
    free(capture->snapshots);
    free(capture->marks);
}
