/* log.c: the event log (format and rules: EVENT-LOG.md).
 *
 *    event -> RSS moved by the threshold? -- no --> kept in `previous`, one slot
 *                    | yes
 *                    v
 *    row_buffer: [PREV: previous] NEXT: event --one pwrite--> YYMMDD_HHMMSS_PID.log
 *
 * Every row is in the file, and the file has its true length, as soon as the event is over: no way of dying loses a
 * row. Rows are written with pwrite, not into a mapping: the pages of a mapping would count in the RSS that is
 * measured, and a file cut by somebody else would end the host with SIGBUS. All state here is protected by
 * pmt_log_lock. */
#include "core.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define NAME_SIZE 1024  /* C function names longer than this are cut in a PREV row */
#define END_RESERVE 512 /* room kept under PMT_LOG_MAX for the closing messages */

static const char *const what_names[] = {
    [PMT_CALL] = "CALL",         [PMT_RETURN] = "RETURN", [PMT_C_CALL] = "C_CALL", [PMT_C_RETURN] = "C_RETURN",
    [PMT_C_EXCEPT] = "C_EXCEPT", [PMT_LINE] = "LINE",     [PMT_EXCEPT] = "EXCEPT",
};

struct pmt_lock pmt_log_lock;

/* An event as it was when it happened. */
struct slot {
    struct pmt_event event;
    uint64_t number, since_logged;
    int64_t rss, rss_change, monotonic_ns;
    bool is_logged;
};

static const struct pmt_namer *namer;
struct pmt_log_last pmt_log_last;                /* the previous event; its place is held */
static struct slot previous;                     /* what else is known of it, once settle_previous() is through */
static char previous_name[NAME_SIZE];            /* the name of its C function, if that may be gone by now */
static uint64_t last_logged;                     /* number of the last NEXT */
static int64_t last_rss, last_logged_rss;        /* bytes, of the last event and of the last NEXT */
static uint64_t sampled_number;                  /* the last event that looked at the clock, */
static int64_t sampled_ns;                       /* and when that was */
static int64_t stamp_monotonic_ns, stamp_cpu_ns; /* when the CPU clock was last read, and what it said */
static bool is_stopped;                          /* RSS cannot be read: no events any more */

static struct {
    uint64_t rows;           /* rows written */
    uint64_t left_out, lost; /* rows not written: over PMT_LOG_MAX, after a write error */
    uint64_t reported;       /* of both, those that a MSG row tells of */
    int error;               /* -errno of the first failed write */
    bool is_open, is_full;
} file;

/* ---- rows */

static void put_left(struct pmt_text *text, const char *string, size_t width)
{
    size_t start = text->total;
    pmt_text_string(text, string);
    pmt_text_pad(text, start, width);
}

/* "      %-12s %-6s  %-12s %-8s %-79s #%4s %-32s %12s %12s\n" */
static void put_header(struct pmt_text *text)
{
    put_left(text, "      Event", 6 + 12 + 1);
    put_left(text, "dEvent", 6 + 2);
    put_left(text, "Clock", 12 + 1);
    put_left(text, "What", 8 + 1);
    put_left(text, "File", 79 + 1);
    put_left(text, "#line Function", 6 + 32 + 1);
    pmt_text_string(text, "         RSS         dRSS\n");
}

static void open_file(void)
{
    struct pmt_text text;
    file.is_open = true;
    file.error = pmt_logfile_create();
    if (file.error == 0) {
        pmt_logfile_begin(&text, pmt_config.log_max);
        put_header(&text);
        file.error = pmt_logfile_end(&text);
        if (file.error < 0)
            pmt_logfile_remove();
    }
    if (file.error < 0)
        pmt_output_report(PMT_OUTPUT_LOG, file.error);
    else
        pmt_say(PMT_VERBOSE_DECISIONS, "event log %s", pmt_logfile_path());
}

static void put_number_column(struct pmt_text *text, const char *label, uint64_t number, uint64_t since_logged)
{
    size_t start;
    pmt_text_string(text, label);
    start = text->total;
    pmt_text_unsigned(text, number);
    pmt_text_pad(text, start, 12);
    pmt_text_string(text, " +");
    start = text->total;
    pmt_text_unsigned(text, since_logged);
    pmt_text_pad(text, start, 6);
    pmt_text_string(text, " ");
}

static void put_clock(struct pmt_text *text, int64_t cpu_ns)
{
    size_t start = text->total;
    pmt_text_seconds(text, cpu_ns, 6);
    pmt_text_pad(text, start, 12);
    pmt_text_string(text, " ");
}

/* "%-*s" of a name that put() writes; an empty one is "-". */
static void put_name(struct pmt_text *text, void (*put)(struct pmt_text *, const void *), const void *place,
                     size_t width)
{
    size_t start = text->total;
    put(text, place);
    if (text->total == start)
        pmt_text_string(text, "-");
    pmt_text_pad(text, start, width);
}

static void put_c_name(struct pmt_text *text, const void *name)
{
    pmt_text_name(text, name, strlen(name));
}

/* The names of the previous event's place, when the place could not be kept. Escaped already; cut at their sizes. */
static struct {
    char file[4096], function[1024];
    size_t file_size, function_size;
    int line;
} saved;

static size_t save_name(char *buffer, size_t size, void (*put)(struct pmt_text *, const void *), const void *place)
{
    struct pmt_text text;
    pmt_text_init(&text, buffer, size);
    put(&text, place);
    return (size_t)(text.at - text.start);
}

/* Python is about to be torn down, and its code objects with it: the previous event keeps names in place of its own.
 * The caller holds the GIL. */
void pmt_log_let_go(void)
{
    struct pmt_event *event = &pmt_log_last.event;
    void *place = event->place;
    if (!pmt_lock_take(&pmt_log_lock))
        return;
    if (event->c_name)
        event->c_name = pmt_log_copy_name(event->c_name);
    if (place) {
        saved.file_size = save_name(saved.file, sizeof saved.file, namer->put_file, place);
        saved.function_size = save_name(saved.function, sizeof saved.function, namer->put_function, place);
        saved.line = namer->line(place, event->position);
        event->place = NULL;
    }
    pmt_log_last.is_quick = false;
    pmt_gate_stop();
    pmt_lock_drop(&pmt_log_lock);
    if (place)
        namer->release(place);
}

static void put_saved_file(struct pmt_text *text, const void *unused)
{
    (void)unused;
    pmt_text_bytes(text, saved.file, saved.file_size);
}

static void put_saved_function(struct pmt_text *text, const void *unused)
{
    (void)unused;
    pmt_text_bytes(text, saved.function, saved.function_size);
}

/* "%-12zu +%-6ld %-12.6f %-8s %-79s #%4d %-32s %12zu %12ld\n" */
static void put_row(struct pmt_text *text, const char *label, const struct slot *slot, int64_t cpu_ns)
{
    const struct pmt_event *event = &slot->event;
    put_number_column(text, label, slot->number, slot->since_logged);
    put_clock(text, cpu_ns);
    put_left(text, what_names[event->what], 8 + 1);
    put_name(text, event->place ? namer->put_file : put_saved_file, event->place, 79);
    pmt_text_string(text, " #");
    pmt_text_signed_right(text, event->place ? namer->line(event->place, event->position) : saved.line, 4);
    pmt_text_string(text, " ");
    if (event->c_name)
        put_name(text, put_c_name, event->c_name, 32);
    else
        put_name(text, event->place ? namer->put_function : put_saved_function, event->place, 32);
    pmt_text_string(text, " ");
    pmt_text_signed_right(text, slot->rss, 12);
    pmt_text_string(text, " ");
    pmt_text_signed_right(text, slot->rss_change, 12);
    if (event->thread)
        pmt_text_format(text, "  thread=%d", event->thread);
    pmt_text_string(text, "\n");
}

/* The CPU clock at a monotonic time between the last reading and this one. Reading it at every event would cost more
 * than the event. */
static int64_t interpolate_cpu(int64_t then_ns, int64_t now_ns, int64_t cpu_ns)
{
    int64_t passed = now_ns - stamp_monotonic_ns, cpu = cpu_ns - stamp_cpu_ns;
    if (passed <= 0 || stamp_monotonic_ns == 0)
        return cpu_ns;
    double share = (double)(then_ns - stamp_monotonic_ns) / (double)passed;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return stamp_cpu_ns + (int64_t)(share * (double)cpu);
}

/* ---- messages and marks */

/* "MSG:  %-12zu +%-6ld %-12.6f # text" */
static void put_message_head(struct pmt_text *text, uint64_t number, uint64_t since_logged, int64_t cpu_ns)
{
    put_number_column(text, "MSG:  ", number, since_logged);
    put_clock(text, cpu_ns);
    pmt_text_string(text, "# ");
}

/* A message under the number of the last event. */
static int write_message(uint64_t number, const char *words, const char *reason)
{
    struct pmt_text text;
    uint64_t last = pmt_log_last.count ? pmt_log_last.count - 1 : 0;
    pmt_logfile_begin(&text, pmt_config.log_max);
    put_message_head(&text, last, last - last_logged, pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    pmt_text_format(&text, "%lu %s%s\n", number, words, reason);
    return pmt_logfile_end(&text);
}

/* Marks wait here, text behind each, until a row is written: setting one must not cost a system call. */
struct mark {
    const char *label;
    uint64_t number, since_logged;
    int64_t monotonic_ns, memory;
    size_t size;
};
static char marks[32768] __attribute__((aligned(8)));
static size_t marks_size;

static void put_marks(struct pmt_text *text, int64_t now_ns, int64_t cpu_ns)
{
    for (size_t at = 0; at < marks_size;) {
        struct mark mark;
        memcpy(&mark, marks + at, sizeof mark);
        put_message_head(text, mark.number, mark.since_logged, interpolate_cpu(mark.monotonic_ns, now_ns, cpu_ns));
        pmt_text_string(text, mark.label);
        pmt_text_name(text, marks + at + sizeof mark, mark.size);
        pmt_text_format(text, " memory=%ld\n", mark.memory);
        at += sizeof mark + mark.size;
    }
    marks_size = 0;
}

static PMT_SLOW void report_failure(int error)
{
    if (error == -EOVERFLOW) {
        file.is_full = true;
        write_message((uint64_t)pmt_config.log_max, "bytes are the limit (PMT_LOG_MAX): rows are left out from here",
                      "");
        return;
    }
    file.error = error;
    pmt_say(PMT_VERBOSE_PROBLEMS, "cannot write %s: %s; rows are lost from here", pmt_logfile_path(),
            pmt_error_name(error));
}

/* When the previous event was. An event at which nothing moved takes no time stamp, which would cost more than the rest
 * of it; the last one that did is at most a millisecond of CPU time older, since the gate opens that often. Between it
 * and now, events are taken to be equally far apart. */
static int64_t previous_time(const struct slot *now)
{
    uint64_t apart = now->number - sampled_number;
    if (previous.number <= sampled_number || apart == 0)
        return sampled_ns;
    return sampled_ns + (now->monotonic_ns - sampled_ns) * (int64_t)(previous.number - sampled_number) / (int64_t)apart;
}

/* Writes NEXT, and PREV before it if there is an event between. */
static void write_rows(struct slot *slot, bool has_previous)
{
    struct pmt_text text;
    uint64_t rows = has_previous ? 2 : 1;
    if (file.error < 0) {
        file.lost += rows;
        return;
    }
    if (file.is_full) {
        file.left_out += rows;
        return;
    }
    int64_t cpu_ns = pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    pmt_logfile_begin(&text, pmt_config.log_max - END_RESERVE);
    put_marks(&text, slot->monotonic_ns, cpu_ns);
    if (has_previous) {
        put_row(&text, "PREV: ", &previous, interpolate_cpu(previous_time(slot), slot->monotonic_ns, cpu_ns));
    }
    put_row(&text, "NEXT: ", slot, cpu_ns);
    stamp_monotonic_ns = slot->monotonic_ns;
    stamp_cpu_ns = cpu_ns;
    int error = pmt_logfile_end(&text);
    if (error == 0) {
        file.rows += rows;
        return;
    }
    report_failure(error);
    *(file.is_full ? &file.left_out : &file.lost) += rows;
}

static bool is_triggered(int64_t rss)
{
    /* Above one page the change is taken since the last NEXT, or slow growth would never show. */
    int64_t change = rss - (pmt_config.threshold > 1 ? last_logged_rss : last_rss);
    return pmt_log_last.count == 0 || (change < 0 ? -change : change) >= pmt_config.threshold * pmt_page_size;
}

/* A copy of the name of the last event's C function. Equal pointers are equal names as long as neither is freed between
 * two events that follow each other. */
const char *pmt_log_copy_name(const char *name)
{
    static const char *copied;
    if (name == copied || name == previous_name)
        return previous_name;
    size_t size = 0;
    for (; size < NAME_SIZE - 1 && name[size]; size++) /* short as a rule: a call would take longer */
        previous_name[size] = name[size];
    previous_name[size] = '\0';
    copied = name;
    return previous_name;
}

/* The last event has another place now: it holds that, and `old`, if any, is let go. */
void pmt_log_hold(void *place, void *old)
{
    namer->hold(place);
    if (old)
        namer->release(old);
}

/* An event at which nothing moved leaves no more than what happened; the rest follows from the counts. */
static void settle_previous(void)
{
    uint64_t number = pmt_log_last.count - 1;
    if (pmt_log_last.count > 0 && previous.number != number)
        previous = (struct slot){.number = number, .since_logged = number - last_logged, .rss = last_rss};
    previous.event = pmt_log_last.event;
}

static void log_locked(struct slot *slot, bool has_moved)
{
    slot->rss = pmt_rss_now(has_moved);
    if (slot->rss < 0) {
        is_stopped = true;
        pmt_say(PMT_VERBOSE_PROBLEMS, "cannot read the resident set size: %s; events are not logged",
                pmt_error_name((int)slot->rss));
        return;
    }
    if (!file.is_open)
        open_file();
    slot->number = pmt_log_last.count;
    slot->rss_change = slot->rss - last_rss;
    slot->since_logged = slot->number - last_logged;
    slot->is_logged = is_triggered(slot->rss);
    slot->monotonic_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    if (slot->is_logged) {
        write_rows(slot, slot->number > 0 && !previous.is_logged);
        last_logged = slot->number;
        last_logged_rss = slot->rss;
    }
    sampled_number = pmt_log_last.count++;
    sampled_ns = slot->monotonic_ns;
    last_rss = slot->rss;
    pmt_log_last.is_quick = pmt_config.threshold > 0 && !pmt_rss_is_tested() && pmt_life_alive;
}

/* ---- interface */

void pmt_log_start(const struct pmt_namer *names)
{
    namer = names;
}

/* Names of C functions that lie between `low` and `high` are never freed. */
void pmt_log_lasting_names(uintptr_t low, uintptr_t high)
{
    pmt_log_last.names = low;
    pmt_log_last.names_size = high - low;
}

static PMT_SLOW void log_event_slow(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name,
                                    bool has_moved)
{
    struct slot slot = {.event = {what, thread, place, position, c_name}};
    if (is_stopped || !pmt_lock_take(&pmt_log_lock))
        return;
    settle_previous();
    log_locked(&slot, has_moved);
    bool is_kept = !is_stopped;
    pmt_lock_drop(&pmt_log_lock);
    if (!is_kept)
        return;
    pmt_log_keep(what, thread, place, position, c_name);
    previous = slot;
    if (namer->look)
        namer->look();
}

/* thread: its ID, 0 for the main thread; else as pmt_log_event_quick(). */
void pmt_log_event(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name)
{
    if (PMT_UNLIKELY(pmt_life_is_forked()))
        pmt_life_child();
    bool has_moved = pmt_gate_has_moved();
    if (PMT_UNLIKELY(has_moved || !pmt_log_last.is_quick)) {
        log_event_slow(what, thread, place, position, c_name, has_moved);
        pmt_capture_tick();
        return;
    }
    pmt_log_last.count++;
    pmt_log_keep(what, thread, place, position, c_name);
}

static void flush_marks(void)
{
    struct pmt_text text;
    if (!file.is_open || file.error < 0 || file.is_full || marks_size == 0)
        return;
    pmt_logfile_begin(&text, pmt_config.log_max - END_RESERVE);
    put_marks(&text, pmt_sys_clock_ns(CLOCK_MONOTONIC), pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    int error = pmt_logfile_end(&text);
    if (error < 0)
        report_failure(error);
}

/* A mark between the last event and the next: "# label text memory=N". It is written with the next row. */
void pmt_log_mark(const char *label, const char *text, size_t size, int64_t memory)
{
    size_t room = sizeof marks - sizeof(struct mark);
    if (pmt_config.events == PMT_EVENTS_OFF || !pmt_lock_take(&pmt_log_lock))
        return;
    size = size < room / 2 ? size : room / 2;
    if (marks_size + size > room)
        flush_marks();
    if (marks_size + size <= room) {
        uint64_t last = pmt_log_last.count ? pmt_log_last.count - 1 : 0;
        struct mark mark = {label, last, last - last_logged, pmt_sys_clock_ns(CLOCK_MONOTONIC), memory, size};
        memcpy(marks + marks_size, &mark, sizeof mark);
        memcpy(marks + marks_size + sizeof mark, text, size);
        marks_size += sizeof mark + size;
    }
    pmt_lock_drop(&pmt_log_lock);
}

/* At an end of the process or of Python: says in the log what is not in it. Logging may go on afterwards. */
void pmt_log_finish(void)
{
    if (!pmt_lock_take(&pmt_log_lock))
        return;
    flush_marks();
    uint64_t missing = file.left_out + file.lost;
    if (pmt_logfile_size() > 0 && missing > file.reported) {
        int error = file.left_out ? write_message(file.left_out, "rows were left out", "") : 0;
        if (file.lost && error == 0)
            error = write_message(file.lost, "rows were lost: ", pmt_error_name(file.error));
        file.reported = error == 0 ? missing : file.reported;
    }
    pmt_rss_report();
    pmt_lock_drop(&pmt_log_lock);
}

/* Our paths are about to be out of reach: what is written to and read from stays open. */
void pmt_log_pin(void)
{
    if (!pmt_lock_take(&pmt_log_lock))
        return;
    if (file.is_open) {
        pmt_logfile_pin();
        pmt_rss_pin();
    }
    pmt_lock_drop(&pmt_log_lock);
}

/* A child of fork begins at event 0, with a file of its own when it has a row to write. The place held by the copied
 * `previous` is released at the child's first event, under the GIL. */
void pmt_log_after_fork(void)
{
    pmt_lock_reset(&pmt_log_lock);
    pmt_logfile_forget();
    memset(&file, 0, sizeof file);
    pmt_log_last.count = last_logged = 0;
    last_rss = last_logged_rss = 0;
    stamp_monotonic_ns = stamp_cpu_ns = sampled_ns = 0;
    sampled_number = 0;
    is_stopped = pmt_log_last.is_quick = false;
    marks_size = 0;
}

/* Path of the log, NULL if there is none; its rows, and those that did not get into it. */
const char *pmt_log_file(uint64_t *rows, uint64_t *lost)
{
    *rows = file.rows;
    *lost = file.lost + file.left_out;
    return file.is_open && pmt_logfile_size() > 0 ? pmt_logfile_path() : NULL;
}

/* Whether logging stopped because RSS cannot be read. */
bool pmt_log_is_dead(void)
{
    return is_stopped;
}
