/* capture.h: what the files of the capture share.
 *
 *    site.c, count.c, rss.c ...
 *          |  changes.c   what the file does not know yet of strings, functions, nodes and sites
 *          |  snapshot.c  what every site holds at a moment
 *          |  marks.c     MEMPOINTs and labels
 *          |  meta.c      what process this is, what a reader should know
 *          v
 *    capture.c  when, and what a state says  ->  streams.c  streams in extents of one file
 *
 * Everything is protected by pmt_capture_lock. Results: 0, or -errno of the write that failed: the capture ends then.
 */
#ifndef PMT_CAPTURE_H
#define PMT_CAPTURE_H

#include "core.h"
#include "format.h"
#include "site.h"

#pragma GCC visibility push(hidden)

/* ---- streams.c */
bool pmt_streams_is_open(void);
int pmt_streams_ensure(void);
int pmt_streams_create(const struct pmt_capture_header *header);
int pmt_streams_append(enum pmt_stream stream, const void *bytes, size_t size);
int pmt_streams_put(enum pmt_stream stream, uint64_t offset, const void *bytes, size_t size);
uint64_t pmt_streams_length(enum pmt_stream stream);
int pmt_streams_commit(struct pmt_capture_state *state);
void pmt_streams_done(void);
void pmt_streams_trim(void);
void pmt_streams_close(bool has_state);
void pmt_streams_forget(void);
bool pmt_streams_pin(void);
const char *pmt_streams_path(void);

/* ---- changes.c */
#define PMT_STAGING_SIZE 16384
extern char pmt_staging[PMT_STAGING_SIZE]; /* for whoever writes something longer than a state */
struct pmt_figures {
    int64_t live_bytes, live_blocks, total_bytes, total_blocks, temporary_blocks, peak_bytes;
};
int pmt_changes_append(const struct pmt_site_counts *counts);
int pmt_changes_put_sites(struct pmt_capture_state *state, uint32_t count, const struct pmt_figures *all);
void pmt_changes_after_fork(void);

/* ---- snapshot.c */
struct pmt_snapshot {
    struct pmt_record_snapshot *head; /* and what is held, in pages of their own; NULL: none */
    size_t size, room;
};
bool pmt_snapshot_take(struct pmt_snapshot *snapshot, enum pmt_snapshot_kind kind, uint32_t site_count);
int pmt_snapshot_append(struct pmt_snapshot *snapshot);
void pmt_snapshot_drop(struct pmt_snapshot *snapshot);

/* ---- marks.c */
uint32_t pmt_marks_count(void);
int pmt_marks_append(uint32_t end);
uint64_t pmt_marks_lost(void);
void pmt_marks_after_fork(void);

/* ---- meta.c */
int pmt_meta_append(void);
void pmt_meta_after_fork(void);

#pragma GCC visibility pop

#endif
