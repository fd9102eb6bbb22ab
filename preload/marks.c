/* marks.c: MEMPOINTs, begins and ends of labels, in memory until a tick writes them: setting one costs no system call.
 *
 *    pmt_capture_mark -> [complete | complete | being filled | complete | ...   pmt_marks_append -> stream of marks
 *                                             ^ pmt_marks_count
 *
 * No lock: an entry is its maker's, and complete when its time is set. */
#include "capture.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define MARKS_MAX 65536

static struct pmt_record_mark *marks; /* atomic */
static uint32_t mark_count;           /* atomic; may be more than MARKS_MAX for a moment */
static uint64_t lost;                 /* atomic */

static struct pmt_record_mark *mark_table(void)
{
    struct pmt_record_mark *table = __atomic_load_n(&marks, __ATOMIC_ACQUIRE), *nobody = NULL;
    if (table)
        return table;
    struct pmt_record_mark *fresh = pmt_sys_pages(MARKS_MAX * sizeof *fresh);
    if (!fresh || __atomic_compare_exchange_n(&marks, &nobody, fresh, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        return fresh;
    pmt_sys(SYS_munmap, (long)fresh, MARKS_MAX * sizeof *fresh, 0, 0, 0, 0);
    return nobody;
}

/* An entry of the caller's, NULL if there is no room. */
static struct pmt_record_mark *take_entry(void)
{
    struct pmt_record_mark *table = mark_table();
    if (!table)
        return NULL;
    uint32_t number = __atomic_fetch_add(&mark_count, 1, __ATOMIC_RELAXED);
    if (number < MARKS_MAX)
        return &table[number];
    __atomic_fetch_sub(&mark_count, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* kind: enum pmt_mark_kind; memory: MEMPOINT's figure, or live bytes. Written at the next tick. */
void pmt_capture_mark(int kind, const char *name, size_t size, int64_t memory)
{
    if (pmt_state != PMT_ON)
        return;
    uint32_t string = size ? pmt_site_string(name, size) : PMT_NO_STRING;
    struct pmt_record_mark *mark = size && string == PMT_NO_STRING ? NULL : take_entry();
    if (!mark) {
        __atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
        return;
    }
    int thread = pmt_thread_id();
    mark->kind = (uint32_t)kind;
    mark->name = string;
    mark->memory = memory;
    mark->thread = thread == pmt_pid ? 0 : thread;
    int64_t time_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC) - pmt_start_monotonic_ns;
    __atomic_store_n(&mark->time_ns, time_ns ? time_ns : 1, __ATOMIC_RELEASE);
}

static uint32_t count_written(void)
{
    return (uint32_t)(pmt_streams_length(PMT_STREAM_MARKS) / sizeof *marks);
}

/* Marks that can be written: up to the first that is not complete. */
uint32_t pmt_marks_count(void)
{
    uint32_t end = __atomic_load_n(&mark_count, __ATOMIC_ACQUIRE), done = count_written();
    end = end < MARKS_MAX ? end : MARKS_MAX;
    while (done < end && __atomic_load_n(&marks[done].time_ns, __ATOMIC_ACQUIRE))
        done++;
    return done;
}

/* Appends those that are new, up to `end`. */
int pmt_marks_append(uint32_t end)
{
    uint32_t done = count_written();
    return done < end ? pmt_streams_append(PMT_STREAM_MARKS, marks + done, (end - done) * sizeof *marks) : 0;
}

uint64_t pmt_marks_lost(void)
{
    return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}

/* In a child of fork: they are the parent's. */
void pmt_marks_after_fork(void)
{
    if (marks)
        memset(marks, 0, (mark_count < MARKS_MAX ? mark_count : MARKS_MAX) * sizeof *marks);
    mark_count = 0;
    lost = 0;
}
