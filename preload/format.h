/* format.h: the capture file, YYMMDD_HHMMSS_PID.pmt, as capture.c writes it and tools/read.c reads it. FORMAT.md tells
 * it in words.
 *
 *    header 4 KiB: struct pmt_capture_header, struct pmt_capture_state [2]
 *    extent, extent, ...  16 KiB each: struct pmt_extent_head, then payload; extents of a kind, in the order of their
 *    index, make one stream
 *
 * Everything is little-endian and naturally aligned. Streams that only grow are valid up to the length that the state
 * gives; the two streams of sites are written in turn: the state names the one that belongs to it. A state is valid if
 * its checksum holds; of two valid ones the higher sequence counts. So the file is whole at every moment, and a process
 * that is killed leaves the state of its last tick. */
#ifndef PMT_FORMAT_H
#define PMT_FORMAT_H

#include <stdint.h>

#define PMT_CAPTURE_MAGIC "PMTCAPT\n"
#define PMT_CAPTURE_ENDIAN 0x01020304u
#define PMT_CAPTURE_VERSION 1 /* a reader refuses a higher one */
#define PMT_CAPTURE_HEADER_SIZE 4096
#define PMT_CAPTURE_STATE_AT 1024 /* the first state; the second is as far behind it */
#define PMT_EXTENT_SIZE 16384
#define PMT_EXTENT_MAGIC 0x58544d50u /* "PMTX" */

/* Feature bits: a reader that does not know one warns, since there is something that it does not show. */
enum {
    PMT_FEATURE_SITES = 1,  /* sites are recorded */
    PMT_FEATURE_PYTHON = 2, /* the process runs Python, whose allocators are counted */
    PMT_FEATURES_KNOWN = 3,
};

enum pmt_stream {
    PMT_STREAM_META,    /* text: lines "key=value"; values escape newline and backslash as \n and \\ */
    PMT_STREAM_STRINGS, /* bytes; a string is named by its offset, a multiple of 4: uint32_t length, then bytes (UTF-8,
                           or as found), then zeros up to the next multiple */
    PMT_STREAM_FUNCTIONS, /* struct pmt_record_function */
    PMT_STREAM_NODES,     /* struct pmt_record_node */
    PMT_STREAM_SITES_A,   /* struct pmt_record_site, indexed by site ID, rewritten in place */
    PMT_STREAM_SITES_B,
    PMT_STREAM_SNAPSHOTS, /* struct pmt_record_snapshot, each followed by its struct pmt_record_held */
    PMT_STREAM_MARKS,     /* struct pmt_record_mark */
    PMT_STREAMS,
};

struct pmt_extent_head {
    uint32_t magic, stream, index, unused;
    uint8_t pad[48];
};
#define PMT_EXTENT_PAYLOAD (PMT_EXTENT_SIZE - sizeof(struct pmt_extent_head)) /* 255 records of 64 bytes */

/* Written once, when the file is made. */
struct pmt_capture_header {
    char magic[8];
    uint32_t endian, version;
    uint32_t header_size, extent_size;
    uint64_t features;
    uint32_t page_size, pid, parent_pid, unused;
    int64_t start_unix_ns; /* of the process, as pmt saw it */
};

enum pmt_ended {
    PMT_ENDED_RUNNING, /* or killed: the reader looks whether the process is still there */
    PMT_ENDED_EXIT,
    PMT_ENDED_EXEC,
};

/* What a tick leaves. Times are nanoseconds since start_unix_ns. */
struct pmt_capture_state {
    uint64_t sequence;
    int64_t time_ns, cpu_ns;
    int32_t ended, exit_status;    /* exit_status: with PMT_ENDED_EXIT; -1: not known */
    uint32_t sites_stream;         /* PMT_STREAM_SITES_A or _B */
    uint32_t exit_snapshot;        /* 1 + its number in the stream of snapshots; 0: none yet */
    uint64_t lengths[PMT_STREAMS]; /* bytes of payload; 0 for the sites that sites_stream does not name */
    struct {
        int64_t live_bytes, live_blocks, total_bytes, total_blocks, temporary_blocks;
    } owners[2]; /* native, Python */
    int64_t peak_bytes, peak_time_ns, peak_error_bytes;
    uint64_t peak_sequence;                    /* of the first state that knows this peak; see struct pmt_record_site */
    int64_t inherited_bytes, inherited_blocks; /* live at the fork that made this process; else 0 */
    int64_t mapped_bytes, mapped_regions, break_bytes;
    int64_t rss_bytes, rss_peak_bytes; /* -1: could not be read */
    uint64_t lost_sites, lost_nodes, lost_functions, lost_strings, lost_marks, lost_snapshots; /* table full */
    uint64_t checksum; /* FNV-1a, 64 bits, of all bytes before it */
};

/* An empty file or name is string PMT_NO_STRING. */
#define PMT_NO_STRING 0xffffffffu
struct pmt_record_function {
    uint32_t file, name; /* strings */
    int32_t first_line;
    uint32_t kind; /* 0: Python */
};

/* A frame within a stack: the function, at a line, called by the parent. Node 0 is the root: no Python frame; node 1
 * stands for the outer frames that --depth cut off. Both have no function. */
#define PMT_NO_FUNCTION 0xffffffffu
enum { PMT_NODE_ROOT, PMT_NODE_CUT, PMT_NODE_FIRST };
struct pmt_record_node {
    uint32_t parent, function;
    int32_t line; /* 0: none */
    uint32_t unused;
};

/* Site 0 is native memory without a Python stack, site 1 Python's without one (before the first frame), site 2 what
 * found no room in the tables, and is said to be native; all have node 0. */
enum { PMT_SITE_NATIVE, PMT_SITE_PYTHON, PMT_SITE_OTHER, PMT_SITE_FIRST };
struct pmt_record_site {
    uint32_t node;
    uint32_t label;    /* string, or PMT_NO_STRING */
    uint32_t owner;    /* 0: native, 1: Python */
    uint32_t sequence; /* of the state that it was written for (low half). Before the state's peak_sequence: nobody has
                          touched the site since that peak, at which it held what it holds now, not peak_bytes */
    int64_t live_bytes, live_blocks;
    int64_t peak_bytes; /* live when the process's total was highest */
    uint64_t total_bytes, total_blocks, temporary_blocks;
};

enum pmt_snapshot_kind { PMT_SNAPSHOT_EXIT, PMT_SNAPSHOT_GROWTH, PMT_SNAPSHOT_FORK, PMT_SNAPSHOT_ASKED };
struct pmt_record_snapshot {
    uint32_t kind;
    uint32_t name;                         /* string, or PMT_NO_STRING */
    int64_t time_ns, rss_bytes;            /* rss_bytes: -1: not read */
    int64_t live_bytes[2], live_blocks[2]; /* native, Python */
    uint64_t held_count;
};
struct pmt_record_held { /* sites that held nothing are left out */
    uint32_t site, unused;
    int64_t live_bytes, live_blocks;
};

enum pmt_mark_kind { PMT_MARK_POINT, PMT_MARK_LABEL_BEGIN, PMT_MARK_LABEL_END };
struct pmt_record_mark {
    uint32_t kind;
    uint32_t name; /* string */
    int64_t time_ns;
    int64_t memory; /* MEMPOINT's figure, bytes; else live bytes */
    int64_t thread; /* 0: the main thread */
};

_Static_assert(sizeof(struct pmt_extent_head) == 64, "an extent's head");
_Static_assert(sizeof(struct pmt_record_site) == 64, "a site");
_Static_assert(sizeof(struct pmt_capture_state) <= PMT_CAPTURE_STATE_AT, "a state");

#endif
