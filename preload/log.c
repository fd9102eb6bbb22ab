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
static struct slot previous;                     /* its place is held */
static char previous_name[NAME_SIZE];            /* the name that its c_name stands for */
static uint64_t count, last_logged;              /* events so far; number of the last NEXT */
static int64_t last_rss, last_logged_rss;        /* bytes, of the last event and of the last NEXT */
static uint64_t sampled_number;                  /* the last event that looked at the clock, */
static int64_t sampled_ns;                       /* and when that was */
static int64_t stamp_monotonic_ns, stamp_cpu_ns; /* when the CPU clock was last read, and what it said */
static bool is_stopped;                          /* RSS cannot be read: no events any more */
static bool is_quick; /* an event at which RSS did not move is only kept: no lock, no clock, no system call */

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
    void *place = previous.event.place;
    if (!pmt_lock_take(&pmt_log_lock))
        return;
    if (place) {
        saved.file_size = save_name(saved.file, sizeof saved.file, namer->put_file, place);
        saved.function_size = save_name(saved.function, sizeof saved.function, namer->put_function, place);
        saved.line = namer->line(place, previous.event.position);
        previous.event.place = NULL;
    }
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
    uint64_t last = count ? count - 1 : 0;
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
        previous.event.c_name = previous.event.c_name ? previous_name : NULL;
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
    return count == 0 || (change < 0 ? -change : change) >= pmt_config.threshold * pmt_page_size;
}

/* The name of the previous event's C function, copied: the function may be gone when it is written. Equal pointers are
 * equal names as long as neither is freed between two events that follow each other. */
static void copy_name(const char *name)
{
    static const char *copied;
    if (name == copied && name)
        return;
    size_t size = strnlen(name, NAME_SIZE - 1);
    memcpy(previous_name, name, size);
    previous_name[size] = '\0';
    copied = name;
}

/* The event becomes the previous one, and holds its place; the one it held until now is let go. Fields one by one: a
 * struct written so and then copied whole would stall the processor's store forwarding. */
static inline void keep_event(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name)
{
    void *old = previous.event.place;
    previous.event.what = what;
    previous.event.thread = thread;
    previous.event.position = position;
    previous.event.c_name = c_name;
    if (c_name)
        copy_name(c_name);
    if (place == old)
        return;
    previous.event.place = place;
    namer->hold(place);
    if (old)
        namer->release(old);
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
    slot->number = count;
    slot->rss_change = slot->rss - last_rss;
    slot->since_logged = count - last_logged;
    slot->is_logged = is_triggered(slot->rss);
    slot->monotonic_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    if (slot->is_logged) {
        write_rows(slot, count > 0 && !previous.is_logged);
        last_logged = count;
        last_logged_rss = slot->rss;
    }
    sampled_number = count++;
    sampled_ns = slot->monotonic_ns;
    last_rss = slot->rss;
    is_quick = pmt_config.threshold > 0 && !pmt_rss_is_tested();
}

/* ---- interface */

void pmt_log_start(const struct pmt_namer *names)
{
    namer = names;
}

static PMT_SLOW void log_event_slow(const struct pmt_event *event, bool has_moved)
{
    struct slot slot = {.event = *event};
    if (is_stopped || !pmt_lock_take(&pmt_log_lock))
        return;
    log_locked(&slot, has_moved);
    bool is_kept = !is_stopped;
    pmt_lock_drop(&pmt_log_lock);
    if (!is_kept)
        return;
    keep_event(event->what, event->thread, event->place, event->position, event->c_name);
    previous.number = slot.number;
    previous.since_logged = slot.since_logged;
    previous.rss = slot.rss;
    previous.rss_change = slot.rss_change;
    previous.is_logged = slot.is_logged;
}

/* thread: its ID, 0 for the main thread; place, position: the code object, and where in it; c_name: of the C function,
 * for C_ events, else NULL. The caller holds the GIL, which protects `previous` and the counts. The place is held until
 * the next event: PREV may still have to name it. */
void pmt_log_event(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name)
{
    if (PMT_UNLIKELY(pmt_life_is_forked()))
        pmt_life_child();
    bool has_moved = pmt_gate_has_moved();
    if (PMT_UNLIKELY(has_moved || !is_quick)) {
        log_event_slow(&(struct pmt_event){what, thread, place, position, c_name}, has_moved);
        pmt_capture_tick();
        return;
    }
    keep_event(what, thread, place, position, c_name);
    previous.number = count;
    previous.since_logged = count++ - last_logged;
    previous.rss = last_rss;
    previous.rss_change = 0;
    previous.is_logged = false;
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
        uint64_t last = count ? count - 1 : 0;
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

/* The root of the file system is about to change: what is written to and read from stays open. */
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
    count = last_logged = 0;
    last_rss = last_logged_rss = 0;
    stamp_monotonic_ns = stamp_cpu_ns = sampled_ns = 0;
    sampled_number = 0;
    is_stopped = is_quick = false;
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
