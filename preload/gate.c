/* gate.c: whether RSS may have moved since it was last read. Reading costs half a microsecond; asking here, a few
 * loads.
 *
 *    page fault of any thread  -> kernel -> ring of its CPU: data_head moves        no system call, seen at once
 *    a millisecond of CPU time -> kernel -> another ring                            whatever nothing else shows
 *    munmap, madvise, free of a large block, read() ... -> hook.c, notice.c -> pmt_gate_dirty
 *
 * The rings are perf events (perf_event_open(2)): PERF_COUNT_SW_PAGE_FAULTS with a period of one event, and
 * PERF_COUNT_SW_TASK_CLOCK with a period of 1 ms, mapped read-only (overwrite mode: the kernel never stops). Nobody
 * reads the records. Up to eight processors there is a pair of rings for each, inherited by threads; beyond that, one
 * for each thread, opened at its first event. Ticks of the clock that fall into the kernel are not recorded, which an
 * ordinary user may not ask for: so now and then the time stamp counter is looked at as well. Where perf is forbidden
 * it is the only clock, and page faults show within a millisecond. All state is protected by the GIL of the interpreter
 * that is logged, but for pmt_gate_dirty. */
#include "core.h"

#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "perf.h"
#include "sys.h"

#include "poison.h"

#define LOOK_EVENTS_MAX 32 /* between two looks at the time stamp counter, where there are rings */

int pmt_gate_dirty; /* atomic, relaxed: set by anyone */

struct pair {
    const volatile struct perf_event_mmap_page *faults, *clock;
};

/* For each processor, or (count 0) in the thread's own storage. */
static struct pair pairs[PMT_PERF_PROCESSORS_MAX];
static int pair_count;
struct pmt_gate_still pmt_gate_still = {.thread = -1, .events = 1};
static __thread struct pair thread_pair;
static __thread uint64_t thread_heads_seen;
static __thread int thread_generation, thread_forks; /* of its pair; a stop leaves it behind, a fork has unmapped it */
static int generation = 1, forks;

static enum { UNOPENED, PER_CPU, PER_THREAD, FORBIDDEN } mode;
static bool has_ring_clock; /* else the time stamp counter is looked at at every event */
static uint64_t clock_due, clock_ticks, last_look;
static int looks_after = 1;
static const void *last_looker; /* a thread, as an address of its own */

/* ---- rings */

/* A perf event of the calling thread (cpu -1), or of all threads on a processor, with a ring of its own. NULL: not
 * allowed. Two events could share a ring, but not without keeping a descriptor open. */
static const volatile struct perf_event_mmap_page *open_event(uint64_t what, int cpu)
{
    struct perf_event_attr attributes = pmt_perf_attributes(what, cpu);
    long fd = pmt_sys(SYS_perf_event_open, (long)&attributes, 0, cpu, -1, PERF_FLAG_FD_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    long at = pmt_sys(SYS_mmap, 0, 2 * pmt_page_size, PROT_READ, MAP_SHARED, fd, 0);
    pmt_sys_close((int)fd); /* the mapping keeps it counting */
    return at < 0 && at > -4096 ? NULL : (const volatile struct perf_event_mmap_page *)at;
}

static void close_event(const volatile struct perf_event_mmap_page **page)
{
    if (*page)
        pmt_sys(SYS_munmap, (long)*page, 2 * pmt_page_size, 0, 0, 0, 0);
    *page = NULL;
}

static void close_pair(struct pair *pair)
{
    close_event(&pair->faults);
    close_event(&pair->clock);
}

/* Both, or none. */
static bool open_pair(struct pair *pair, int cpu)
{
    pair->faults = open_event(PERF_COUNT_SW_PAGE_FAULTS, cpu);
    pair->clock = pair->faults ? open_event(PERF_COUNT_SW_TASK_CLOCK, cpu) : NULL;
    if (!pair->clock)
        close_pair(pair);
    return pair->clock != NULL;
}

/* The rings of the caller's thread go, unless a fork has left them behind: then their addresses may be another's. */
static void close_thread_pair(void)
{
    if (thread_forks == forks && !pmt_life_is_forked())
        close_pair(&thread_pair);
    thread_pair = (struct pair){NULL, NULL};
    thread_generation = 0;
}

static PMT_SLOW void open_for_thread(void)
{
    close_thread_pair();
    thread_generation = generation;
    thread_forks = forks;
    if (!open_pair(&thread_pair, -1))
        has_ring_clock = false;
    pmt_gate_dirty = 1;
}

/* Processors that may be numbered 0 to the result less one; parsed from the kernel, since sysconf() may allocate. */
static int count_processors(void)
{
    char text[256];
    int last = 0;
    if (pmt_read_file("/sys/devices/system/cpu/possible", text, sizeof text) <= 0)
        return PMT_PERF_PROCESSORS_MAX + 1;
    for (const char *at = text; *at; at++)
        last = *at >= '0' && *at <= '9' ? last * 10 + (*at - '0') : *at == '-' || *at == ',' ? 0 : last;
    return last + 1;
}

/* What /proc/self/status says of this process. */
struct status {
    bool is_single_threaded; /* threads that exist already have no part in events opened now */
    bool is_filtered;        /* by seccomp: a system call that is not foreseen may end the process */
};

static bool has_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    return at && at[strlen(line)] == '\n';
}

static struct status read_status(void)
{
    char text[4096];
    if (pmt_read_file("/proc/self/status", text, sizeof text) <= 0)
        return (struct status){false, true};
    return (struct status){has_line(text, "\nThreads:\t1"), !has_line(text, "\nSeccomp:\t0")};
}

/* Ticks of the time stamp counter in a millisecond, measured against the clock over a short spin, once. */
static void start_counter(void)
{
    if (clock_ticks)
        return;
    int64_t start_ns = pmt_sys_clock_ns(CLOCK_MONOTONIC), ns;
    uint64_t start = __rdtsc();
    do
        ns = pmt_sys_clock_ns(CLOCK_MONOTONIC) - start_ns;
    while (ns < 20000);
    clock_ticks = (__rdtsc() - start) * PMT_PERF_CLOCK_NS / (uint64_t)ns;
}

/* What a test asks for with PMT_TEST_GATE: some words of "verify", "forbidden", "threads", "clock". */
static bool is_asked_for(const char *word)
{
    const char *words = pmt_config_find(environ, "PMT_TEST_GATE");
    return words && strstr(words, word);
}

static void forget_processors(void)
{
    pair_count = pmt_gate_still.quads = 0;
    pmt_gate_still.thread = -1;
}

static void close_processors(void)
{
    for (int i = 0; i < pair_count; i++)
        close_pair(&pairs[i]);
    forget_processors();
}

static bool open_processors(int count)
{
    static const volatile unsigned long long nothing;
    struct pmt_gate_still *still = &pmt_gate_still;
    _Static_assert(sizeof still->heads / sizeof *still->heads == 2 * PMT_PERF_PROCESSORS_MAX,
                   "the rings of eight processors");
    while (pair_count < count) {
        struct pair *pair = &pairs[pair_count];
        if (!open_pair(pair, pair_count)) {
            close_processors();
            return false;
        }
        still->heads[2 * pair_count] = &pair->faults->data_head;
        still->heads[2 * pair_count++ + 1] = &pair->clock->data_head;
    }
    still->quads = (2 * count + 3) / 4;
    for (int i = 2 * count; i < 4 * still->quads; i++)
        still->heads[i] = &nothing;
    return true;
}

static PMT_SLOW void open_gate(void)
{
    int processors = count_processors();
    struct status status = read_status();
    if (status.is_filtered || is_asked_for("forbidden"))
        mode = FORBIDDEN;
    else if (processors <= PMT_PERF_PROCESSORS_MAX && !is_asked_for("threads") && open_processors(processors))
        mode = PER_CPU;
    else {
        open_for_thread();
        mode = thread_pair.clock ? PER_THREAD : FORBIDDEN;
    }
    has_ring_clock = mode != FORBIDDEN && status.is_single_threaded && !is_asked_for("clock");
    start_counter();
    static const char *const words[] = {"", PMT_PERF_PER_PROCESSOR, PMT_PERF_PER_THREAD, PMT_PERF_FORBIDDEN};
    pmt_say(PMT_VERBOSE_DECISIONS, "RSS gate: %s", words[mode]);
}

/* ---- asking */

static inline uint64_t heads_of(const struct pair *pair)
{
    return pair->faults->data_head + pair->clock->data_head;
}

/* The kernel writes to the page's `lock` whenever the thread gets the processor back: others may have run meanwhile,
 * whose page faults these rings do not show. */
static bool has_thread_moved(void)
{
    if (PMT_UNLIKELY(thread_generation != generation))
        open_for_thread();
    uint64_t heads = thread_pair.clock ? heads_of(&thread_pair) + thread_pair.clock->lock : 0;
    bool has_moved = heads != thread_heads_seen;
    thread_heads_seen = heads;
    return has_moved;
}

static bool is_clock_due(uint64_t now, uint64_t period)
{
    if (now < clock_due)
        return false;
    clock_due = now + period;
    return true;
}

/* The farther apart events are, the fewer of them pass before the next look: a quarter of a millisecond, or so. A
 * thread that has the GIL again may have waited long for it. */
static PMT_SLOW bool look_at_clock(void)
{
    uint64_t now = __rdtsc();
    bool is_often_enough = now - last_look < clock_ticks / 8;
    looks_after = !is_often_enough ? 1 : looks_after < LOOK_EVENTS_MAX ? looks_after * 2 : LOOK_EVENTS_MAX;
    pmt_gate_still.events = looks_after;
    pmt_gate_still.thread = mode == PER_CPU ? pmt_thread_id() : -1;
    last_look = now;
    last_looker = &thread_pair;
    return is_clock_due(now, clock_ticks / 2);
}

/* Whether RSS may have moved since the last call that said so. The caller reads it then. */
bool pmt_gate_has_moved(void)
{
    bool has_moved = __atomic_load_n(&pmt_gate_dirty, __ATOMIC_RELAXED);
    if (PMT_UNLIKELY(mode == UNOPENED)) {
        open_gate();
        has_moved = true;
    }
    uint64_t heads = pmt_gate_sum();
    has_moved |= heads != pmt_gate_still.seen;
    pmt_gate_still.seen = heads;
    if (mode == PER_THREAD)
        has_moved |= has_thread_moved();
    if (!has_ring_clock)
        has_moved |= is_clock_due(__rdtsc(), clock_ticks);
    else if (PMT_UNLIKELY(--pmt_gate_still.events <= 0 || last_looker != &thread_pair))
        has_moved |= look_at_clock();
    if (has_moved)
        __atomic_store_n(&pmt_gate_dirty, 0, __ATOMIC_RELAXED);
    return has_moved;
}

/* The caller's thread ends. */
void pmt_gate_thread_ends(void)
{
    if (thread_generation)
        close_thread_pair();
}

/* At the end of Python's events the rings of the processors go, so that page faults cost nothing any more; those of
 * other threads go when these end, or see an event again. */
void pmt_gate_stop(void)
{
    close_processors();
    pmt_gate_thread_ends();
    generation++;
    mode = UNOPENED;
}

/* In a child of fork the rings are not mapped: they must not be looked at. */
void pmt_gate_after_fork(void)
{
    forget_processors();
    forks++;
    generation++;
    mode = UNOPENED;
}
