/* capture.c: when the capture is written, and what a state of it says. The file: FORMAT.md, format.h.
 *
 *    an allocation, a Python event -> is a tick due? -> what is new in the tables -> sites -> snapshots -> state
 *    exit, _exit, exec             -> a last one
 *
 * A tick is due 100 ms after the last, or when live bytes have moved by 1 MiB or 1 %, whichever is more, and 10 ms have
 * passed; later, if ticks would take more than 1 % of a processor, or 10 % of the time. Whoever finds one due writes
 * it; others go on. Signals are held off meanwhile: a handler may allocate, or fork. The first tick makes the file, in
 * a process that runs Python (or with --all). The first failure ends the capture; the file keeps its last state. */
#include "capture.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define MS 1000000
#define TICK_NS (100 * (int64_t)MS)
#define TICK_LEAST_NS (10 * (int64_t)MS)
#define LOOK_NS (1 * (int64_t)MS)      /* between two looks at the live bytes */
#define STATUS_NS (1000 * (int64_t)MS) /* /proc/self/status costs 30 us to read */
#define SHARE_OF_CPU 100
#define SHARE_OF_TIME 10
#define MOVED_LEAST (1 << 20)
#define GROWTHS_MAX 64
#define FORK_SITES_MAX 100000

struct pmt_lock pmt_capture_lock;

static int64_t due_ns = INT64_MAX; /* atomic. CLOCK_MONOTONIC; before it, nothing is looked at */
static struct pmt_when when;

/* Protected by pmt_capture_lock, from here on. */
static int64_t tick_ns, tick_least_ns; /* when the next tick is due at the latest, and at the earliest */
static int64_t ticked_live;            /* live bytes at the last */
static uint64_t sequence;              /* of the last state */
static bool is_off;                    /* a write failed */
static bool is_forked;                 /* this process was made by fork */
static struct pmt_net inherited;
static struct pmt_snapshot fork_snapshot; /* waits for the file */
static uint32_t snapshots, exit_snapshot; /* as in struct pmt_capture_state */
static int growths;
static int64_t growth_base; /* live bytes at the last growth snapshot */
static uint64_t lost_snapshots;
static int64_t status_ns, rss_peak; /* when it was last read */
static int64_t spent_ns, worst_ns;  /* CPU of all ticks, and of the longest: said at -vv */

/* ---- the file */

/* Whether this process gets a capture at all. */
static bool is_wanted(void)
{
    return !is_off && (pmt_config.all || pmt_python_has_started());
}

static bool has_sites(void)
{
    return pmt_heap == PMT_HEAP_EXACT;
}

static int create_file(void)
{
    struct pmt_capture_header header = {
        .magic = PMT_CAPTURE_MAGIC,
        .endian = PMT_CAPTURE_ENDIAN,
        .version = PMT_CAPTURE_VERSION,
        .header_size = PMT_CAPTURE_HEADER_SIZE,
        .extent_size = PMT_EXTENT_SIZE,
        .features = (has_sites() ? PMT_FEATURE_SITES : 0) | (pmt_python_counts() ? PMT_FEATURE_PYTHON : 0),
        .page_size = (uint32_t)pmt_page_size,
        .pid = (uint32_t)pmt_pid,
        .parent_pid = (uint32_t)pmt_sys(SYS_getppid, 0, 0, 0, 0, 0, 0),
        .start_unix_ns = pmt_start_unix_ns,
    };
    memcpy(header.magic, PMT_CAPTURE_MAGIC, sizeof header.magic);
    int error = pmt_streams_create(&header);
    if (error == 0)
        pmt_say(PMT_VERBOSE_DECISIONS, "capture %s", pmt_streams_path());
    return error;
}

/* The first failure is the last. */
static PMT_SLOW void give_up(int error)
{
    is_off = true;
    __atomic_store_n(&due_ns, INT64_MAX, __ATOMIC_RELAXED);
    if (sequence > 0)
        pmt_say(PMT_VERBOSE_PROBLEMS, "cannot write %s: %s; the capture ends here", pmt_streams_path(),
                pmt_error_name(error));
    else
        pmt_output_report(PMT_OUTPUT_CAPTURE, error);
    pmt_streams_close(sequence > 0);
    pmt_snapshot_drop(&fork_snapshot);
}

/* ---- what a state says */

static struct pmt_figures read_totals(struct pmt_capture_state *state)
{
    struct pmt_figures all = {0};
    for (int i = 0; i < PMT_OWNERS; i++) {
        struct pmt_net freed = pmt_count_sum(i, PMT_FREED), allocated = pmt_count_sum(i, PMT_ALLOCATED);
        state->owners[i].live_bytes = allocated.bytes - freed.bytes;
        state->owners[i].live_blocks = allocated.blocks - freed.blocks;
        state->owners[i].total_bytes = allocated.bytes;
        state->owners[i].total_blocks = allocated.blocks;
        state->owners[i].temporary_blocks = pmt_count_temporary(i);
        all.live_bytes += state->owners[i].live_bytes;
        all.live_blocks += state->owners[i].live_blocks;
        all.total_bytes += state->owners[i].total_bytes;
        all.total_blocks += state->owners[i].total_blocks;
        all.temporary_blocks += state->owners[i].temporary_blocks;
    }
    struct pmt_peak peak = pmt_peak_now();
    state->peak_bytes = all.peak_bytes = peak.bytes;
    state->peak_time_ns = peak.monotonic_ns - pmt_start_monotonic_ns;
    state->peak_error_bytes = peak.error_bytes;
    return all;
}

/* The kernel's own peak is read now and then, and at an end; between, a reading that is higher counts. */
static int64_t peak_rss(const struct pmt_capture_state *state)
{
    if (state->ended != PMT_ENDED_RUNNING || state->time_ns - status_ns >= STATUS_NS || status_ns == 0) {
        status_ns = state->time_ns;
        rss_peak = pmt_rss_peak();
    }
    if (rss_peak < state->rss_bytes)
        rss_peak = state->rss_bytes;
    return rss_peak < 0 ? -1 : rss_peak;
}

static void put_process(struct pmt_capture_state *state, int64_t rss)
{
    state->time_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC) - pmt_start_monotonic_ns;
    state->cpu_ns = pmt_sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    state->inherited_bytes = inherited.bytes;
    state->inherited_blocks = inherited.blocks;
    pmt_maps_total(&state->mapped_bytes, &state->mapped_regions);
    state->break_bytes = pmt_maps_break();
    state->rss_bytes = rss < 0 ? -1 : rss;
    state->rss_peak_bytes = peak_rss(state);
}

static void put_lost(struct pmt_capture_state *state, const struct pmt_site_counts *counts)
{
    state->lost_sites = counts->lost_sites;
    state->lost_nodes = counts->lost_nodes;
    state->lost_functions = counts->lost_functions;
    state->lost_strings = counts->lost_strings;
    state->lost_marks = pmt_marks_lost();
    state->lost_snapshots = lost_snapshots;
}

/* ---- snapshots */

static int append_snapshot(struct pmt_snapshot *snapshot)
{
    int error = pmt_snapshot_append(snapshot);
    pmt_snapshot_drop(snapshot);
    snapshots++;
    return error;
}

static int add_snapshot(enum pmt_snapshot_kind kind, uint32_t sites, int64_t rss)
{
    struct pmt_snapshot snapshot;
    if (!pmt_snapshot_take(&snapshot, kind, sites)) {
        lost_snapshots++;
        return 0;
    }
    snapshot.head->rss_bytes = rss < 0 ? -1 : rss;
    int error = append_snapshot(&snapshot);
    if (kind == PMT_SNAPSHOT_EXIT)
        exit_snapshot = snapshots;
    return error;
}

/* One for every so much growth. */
static int add_growth_snapshot(int64_t live, uint32_t sites, int64_t rss)
{
    if (when.growth == 0 || live - growth_base < when.growth)
        return 0;
    growth_base = live;
    if (growths < GROWTHS_MAX) {
        growths++;
        return add_snapshot(PMT_SNAPSHOT_GROWTH, sites, rss);
    }
    if (lost_snapshots++ == 0)
        pmt_say(PMT_VERBOSE_PROBLEMS, "%d snapshots of --snapshot +SIZE are taken; further ones are only counted",
                GROWTHS_MAX);
    return 0;
}

/* ---- a tick */

/* What a tick is for. */
struct reason {
    enum pmt_ended ended;
    int status;
    bool wants_exit_snapshot;
};

static int write_changes(struct pmt_capture_state *state, const struct reason *reason)
{
    uint32_t mark_end = pmt_marks_count(); /* first: marks name strings, which are counted then */
    struct pmt_site_counts counts = pmt_site_count();
    uint32_t sites = has_sites() ? counts.sites : 0;
    struct pmt_figures all = read_totals(state);
    int error = pmt_meta_append();
    error = error < 0 ? error : pmt_changes_append(&counts);
    error = error < 0 ? error : pmt_marks_append(mark_end);
    error = error < 0 ? error : pmt_changes_put_sites(state, sites, &all);
    if (error == 0 && fork_snapshot.head)
        error = append_snapshot(&fork_snapshot);
    error = error < 0 ? error : add_growth_snapshot(all.live_bytes, sites, state->rss_bytes);
    if (error == 0 && reason->wants_exit_snapshot)
        error = add_snapshot(PMT_SNAPSHOT_EXIT, sites, state->rss_bytes);
    state->exit_snapshot = exit_snapshot;
    put_lost(state, &counts);
    ticked_live = all.live_bytes;
    return error;
}

/* 0, or -errno; -EAGAIN: not now. This thread may be in the middle of something of ours that a signal interrupted; or
 * there may be no descriptor left: at an end that is final. */
static int write_tick(const struct reason *reason)
{
    int64_t rss = pmt_rss_read();
    if (rss == -EAGAIN)
        return -EAGAIN;
    int error = pmt_streams_is_open() ? pmt_streams_ensure() : create_file();
    if ((error == -EMFILE || error == -ENFILE) && reason->ended == PMT_ENDED_RUNNING)
        return -EAGAIN;
    if (error < 0)
        return error;
    struct pmt_capture_state state = {
        .sequence = sequence + 1, .ended = (int32_t)reason->ended, .exit_status = reason->status};
    put_process(&state, rss);
    error = write_changes(&state, reason);
    error = error < 0 ? error : pmt_streams_commit(&state);
    if (error == 0)
        sequence = state.sequence;
    if (error == 0 && reason->ended != PMT_ENDED_RUNNING)
        pmt_streams_trim();
    pmt_streams_done();
    return error;
}

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Writes a tick, and finds out when the next one is due by what this one took. */
static void tick_locked(const struct reason *reason)
{
    int64_t start_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC), start_cpu_ns = pmt_sys_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int error = write_tick(reason);
    if (error < 0 && error != -EAGAIN) {
        give_up(error);
        return;
    }
    int64_t cpu_ns = pmt_sys_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_cpu_ns;
    int64_t now_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    int64_t pause_ns = max_of(cpu_ns * SHARE_OF_CPU, (now_ns - start_ns) * SHARE_OF_TIME);
    spent_ns += cpu_ns;
    worst_ns = max_of(worst_ns, cpu_ns);
    tick_ns = now_ns + max_of(TICK_NS, pause_ns);
    tick_least_ns = now_ns + max_of(TICK_LEAST_NS, pause_ns);
    __atomic_store_n(&due_ns, tick_least_ns, __ATOMIC_RELAXED);
}

static bool has_moved(void)
{
    int64_t live = pmt_count_total(PMT_OWNER_NATIVE).bytes + pmt_count_total(PMT_OWNER_PYTHON).bytes;
    int64_t moved = live < ticked_live ? ticked_live - live : live - ticked_live;
    return moved >= max_of(MOVED_LEAST, ticked_live / 100);
}

static void look_locked(void)
{
    int64_t now_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    if (is_off || now_ns < tick_least_ns)
        return;
    if (is_wanted() && (now_ns >= tick_ns || has_moved()))
        tick_locked(&(struct reason){PMT_ENDED_RUNNING, -1, false});
    else
        __atomic_store_n(&due_ns, now_ns + LOOK_NS, __ATOMIC_RELAXED);
}

/* Such a stack may be too small for a tick, which takes 2 KiB. */
static bool is_on_signal_stack(void)
{
    stack_t stack = {.ss_flags = 0};
    return pmt_sys(SYS_sigaltstack, 0, (long)&stack, 0, 0, 0, 0) == 0 && stack.ss_flags & SS_ONSTACK;
}

/* Something may be due. A child of vfork shares this memory, and a file that is not its own. */
static PMT_SLOW void look(void)
{
    uint64_t signals;
    if (pmt_life_is_forked())
        pmt_life_child();
    if (pmt_state != PMT_ON || pmt_sys_getpid() != pmt_pid || is_on_signal_stack())
        return;
    pmt_sys_hold_signals(&signals);
    if (pmt_lock_try(&pmt_capture_lock)) {
        look_locked();
        pmt_lock_drop(&pmt_capture_lock);
    }
    pmt_sys_release_signals(&signals);
}

/* Writes what is new, if it is time to. Any thread, where system calls do no harm; costs a look at a clock otherwise.
 */
void pmt_capture_tick(void)
{
    if (PMT_UNLIKELY(pmt_sys_clock_ns(CLOCK_MONOTONIC_COARSE) >= __atomic_load_n(&due_ns, __ATOMIC_RELAXED)))
        look();
}

/* A tick, due or not. */
static void tick_now(struct reason reason)
{
    uint64_t signals;
    pmt_sys_hold_signals(&signals);
    if (pmt_lock_take(&pmt_capture_lock)) {
        if (is_wanted())
            tick_locked(&reason);
        pmt_lock_drop(&pmt_capture_lock);
    }
    pmt_sys_release_signals(&signals);
}

/* ---- start, ends, fork */

static void start_clock(void)
{
    int64_t now_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC);
    tick_ns = now_ns + TICK_NS;
    tick_least_ns = now_ns + TICK_LEAST_NS;
    __atomic_store_n(&due_ns, tick_least_ns, __ATOMIC_RELAXED);
}

/* The staging buffer is made resident now, rather than by a tick, whose growth the event log would show. */
void pmt_capture_start(bool is_first)
{
    when = pmt_config_when();
    if (when.has_unbuilt && is_first)
        pmt_say(PMT_VERBOSE_PROBLEMS, "PMT_SNAPSHOT=%s: `N%%` and `signal` are not built yet, and take no snapshots",
                pmt_config.snapshot);
    for (size_t i = 0; i < sizeof pmt_staging && pmt_python_is_found; i += 4096)
        ((volatile char *)pmt_staging)[i] = 0;
    start_clock();
}

/* Python has run its atexit handlers, and nothing is torn down yet. */
void pmt_capture_final_reading(void)
{
    if (pmt_state == PMT_ON && pmt_sys_getpid() == pmt_pid)
        tick_now((struct reason){PMT_ENDED_RUNNING, -1, when.has_exit});
}

/* The process ends with `status`. */
void pmt_capture_end(int status)
{
    tick_now((struct reason){PMT_ENDED_EXIT, status & 0xff, when.has_exit && exit_snapshot == 0});
    __atomic_store_n(&due_ns, INT64_MAX, __ATOMIC_RELAXED);
    if (sequence > 0)
        pmt_say(PMT_VERBOSE_DEBUG, "capture: %lu ticks, %ld us of CPU each, the longest %ld us", sequence,
                spent_ns / 1000 / (int64_t)sequence, worst_ns / 1000);
}

/* The process becomes another program, or goes on if it cannot. A child of fork that has written nothing leaves
 * nothing.
 */
void pmt_capture_exec(void)
{
    if (!is_forked || pmt_streams_is_open())
        tick_now((struct reason){PMT_ENDED_EXEC, -1, false});
}

/* The file is about to be out of reach: it is made, if it is going to be, and stays open. */
void pmt_capture_pin(void)
{
    if (!pmt_streams_is_open())
        tick_now((struct reason){PMT_ENDED_RUNNING, -1, false});
    if (!pmt_lock_take(&pmt_capture_lock))
        return;
    if (pmt_streams_is_open() && !is_off)
        pmt_streams_pin();
    pmt_lock_drop(&pmt_capture_lock);
}

/* What a child of fork has inherited. It waits for the child's file, which may never come. */
static void take_fork_snapshot(void)
{
    uint32_t sites = has_sites() ? pmt_site_count().sites : 0;
    for (int i = 0; i < PMT_OWNERS; i++) {
        struct pmt_net live = pmt_count_total(i);
        inherited.bytes += live.bytes;
        inherited.blocks += live.blocks;
    }
    if (sites > FORK_SITES_MAX)
        pmt_capture_warn("what this process inherited is known in total only: more than 100,000 sites");
    else if (!pmt_snapshot_take(&fork_snapshot, PMT_SNAPSHOT_FORK, sites))
        lost_snapshots++;
}

/* In a child of fork: the tables are copies, the file is the parent's. */
void pmt_capture_after_fork(void)
{
    pmt_lock_reset(&pmt_capture_lock);
    pmt_streams_forget();
    pmt_changes_after_fork();
    pmt_meta_after_fork();
    pmt_snapshot_drop(&fork_snapshot);
    pmt_marks_after_fork();
    lost_snapshots = sequence = 0;
    snapshots = exit_snapshot = 0;
    growths = 0;
    status_ns = rss_peak = spent_ns = worst_ns = 0;
    inherited = (struct pmt_net){0, 0};
    is_off = false;
    is_forked = true;
    if (pmt_state != PMT_ON || !pmt_config.follow)
        return;
    if (is_wanted())
        take_fork_snapshot();
    growth_base = ticked_live = inherited.bytes;
    start_clock();
}

/* Path of the capture, NULL if there is none. */
const char *pmt_capture_file(void)
{
    return sequence > 0 ? pmt_streams_path() : NULL;
}
