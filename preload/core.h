/* core.h: read second, after the README. What every file of the library shares.
 *
 *      host process                                                          files
 *      malloc free mmap ...     PyMem, PyObject domains     call, return
 *           |                          |                         |
 *      hook.c -> next           pyhooks/domains.c         pyhooks/events.c
 *           |                          |                         |
 *           +-----------+--------------+                  rss.c  resident bytes now
 *                       v                                        |
 *      account.h a block comes, a block goes              log.c  PREV, NEXT  ------>  YYMMDD_HHMMSS_PID.log
 *      shadow.h  size, owner and site of each live block         |
 *      count.c   bytes and blocks, per thread                    |
 *      site.h    per call stack; peak.c  the highest total       |
 *      maps.c    mapped regions                                  |
 *                       +-----------------------+----------------+
 *                                               v
 *                                          life.c  start, fork, exit: the lines on stderr
 *
 * Invariants
 *  - Nothing here allocates with malloc, uses stdio, ends or stops the host, or leaves errno changed.
 *  - No lock is held while calling the loader, the allocator or Python; but for names, which are read from code objects
 *    under pmt_log_lock: that neither runs code nor gives up the GIL (frames.c).
 *  - Descriptors that are kept are high, close on exec, and checked before use: keep.c. All I/O is system calls: sys.h.
 *
 * Locks, in the order in which they may be taken; the fork prepare handler (life.c) takes all but the last:
 *    pmt_points_lock  MEMPOINTs    pmt_capture_lock  the capture    pmt_log_lock  the event log
 *    pmt_large_lock   large blocks    pmt_site_lock  sites (a leaf)
 *    pmt_maps_lock    mapped regions; allocators take it while they hold locks of their own (a leaf too) */
#ifndef PMT_CORE_H
#define PMT_CORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Everything of ours is called and read without the loader's tables: they are not filled yet when an IFUNC resolver of
 * another library allocates. */
#pragma GCC visibility push(hidden)

#define PMT_LIKELY(x) __builtin_expect(!!(x), 1)
#define PMT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PMT_HOT static inline __attribute__((always_inline))
#define PMT_SLOW __attribute__((noinline, cold))
#define PMT_EXPORT __attribute__((visibility("default")))
#define PMT_PATH_SIZE 4352 /* PATH_MAX and a file name of ours */

/* ---- fmt.c: text without stdio. A full buffer is flushed if it can be, else the text is cut and says so. */
struct pmt_text {
    char *start, *at, *end;
    size_t total;                         /* bytes put so far, flushed ones included */
    bool (*flush)(struct pmt_text *text); /* empties the buffer; false: no more can be taken */
    bool is_cut;
};
void pmt_text_init(struct pmt_text *text, char *buffer, size_t size);
void pmt_text_bytes(struct pmt_text *text, const char *bytes, size_t size);

static inline void pmt_text_string(struct pmt_text *text, const char *string)
{
    pmt_text_bytes(text, string, __builtin_strlen(string)); /* of a literal known to the compiler */
}

void pmt_text_fill(struct pmt_text *text, char c, size_t count);
void pmt_text_pad(struct pmt_text *text, size_t field_start, size_t width);
void pmt_text_unsigned(struct pmt_text *text, uint64_t value);
void pmt_text_signed(struct pmt_text *text, int64_t value);
void pmt_text_signed_right(struct pmt_text *text, int64_t value, size_t width);
void pmt_text_grouped(struct pmt_text *text, int64_t value);
void pmt_text_mib(struct pmt_text *text, int64_t bytes);
void pmt_text_seconds(struct pmt_text *text, int64_t ns, int decimals);
void pmt_text_escaped_byte(struct pmt_text *text, unsigned char byte);
void pmt_text_name(struct pmt_text *text, const char *bytes, size_t size);
size_t pmt_utf8_put(char *bytes, uint32_t codepoint);
void pmt_text_codepoint(struct pmt_text *text, uint32_t codepoint);
void pmt_text_values(struct pmt_text *text, const char *format, va_list *values);
void pmt_text_format(struct pmt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *pmt_text_end(struct pmt_text *text);
const char *pmt_error_name(int error);
void pmt_utc_stamp(char stamp[14], int64_t unix_seconds);

/* ---- config.c: the options, from the table options.def. Written once, by the constructor. */
enum { PMT_EVENTS_OFF, PMT_EVENTS_PYTHON, PMT_EVENTS_CALLS, PMT_EVENTS_LINES };
enum { PMT_SUMMARY_OFF, PMT_SUMMARY_ON, PMT_SUMMARY_AUTO };
enum { PMT_VERBOSE_SILENT, PMT_VERBOSE_PROBLEMS, PMT_VERBOSE_DECISIONS, PMT_VERBOSE_DEBUG };
struct pmt_config {
#define PMT_FIELD_TEXT const char *
#define PMT_FIELD_WHEN const char *
#define PMT_FIELD_CHOICE int
#define PMT_FIELD_FLAG int
#define PMT_FIELD_COUNT int64_t
#define PMT_FIELD_SIZE int64_t
#define OPTION(field, kind, ...) PMT_FIELD_##kind field;
#define SHORTHAND(...)
#define INTERNAL(...)
#include "options.def"
#undef OPTION
#undef SHORTHAND
#undef INTERNAL
};
extern struct pmt_config pmt_config;
void pmt_config_load(char **environment, void (*problem)(const char *line));
const char *pmt_config_find(char **environment, const char *name);
const char *pmt_config_describe(size_t row_number, struct pmt_text *value, bool *is_initial);
struct pmt_when {
    bool has_exit, has_unbuilt; /* unbuilt: words that this version accepts and takes no snapshot for */
    int64_t growth;             /* 0: none */
};
struct pmt_when pmt_config_when(void);

/* ---- say.c: one line on stderr, "pmt: ...", if stderr is still the one the process was started with. */
void pmt_say_start(void);
void pmt_say_keep(void);
void pmt_say_after_fork(void);
bool pmt_say_is_terminal(void);
void pmt_say(int64_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pmt_say_line(const char *line, size_t size);

/* ---- lock.c: a lock that knows its owner, so that a signal handler on the owner's thread is refused, not hung. */
struct pmt_lock {
    int owner; /* thread ID and a flag, 0: nobody. Atomic. */
};
bool pmt_lock_take(struct pmt_lock *lock);
bool pmt_lock_try(struct pmt_lock *lock);
void pmt_lock_drop(struct pmt_lock *lock);
bool pmt_lock_is_mine(const struct pmt_lock *lock);
void pmt_lock_reset(struct pmt_lock *lock);
extern __thread int pmt_thread_number; /* kernel thread ID, 0 until it is asked for */
int pmt_thread_id_slow(void);

/* Kernel thread ID of the caller. */
static inline int pmt_thread_id(void)
{
    return PMT_LIKELY(pmt_thread_number != 0) ? pmt_thread_number : pmt_thread_id_slow();
}

/* ---- keep.c: descriptors that outlive a call. High, CLOEXEC, and checked to be ours before every use. */
struct pmt_kept {
    int fd; /* -1: none, or not now */
    unsigned uses;
    bool is_lasting; /* stays open between uses: out of the application's reach, or with too few to do without */
    bool is_modest;  /* set by the user: does without where the application has few */
    dev_t device;
    ino_t inode;
};
#define PMT_KEPT_NONE                                                                                                  \
    {                                                                                                                  \
        .fd = -1                                                                                                       \
    }
int pmt_keep_up(int fd, bool *is_lasting);
int pmt_keep_open(struct pmt_kept *kept, const char *path, int flags);
bool pmt_keep_is_ours(const struct pmt_kept *kept);
void pmt_keep_pin(struct pmt_kept *kept);
void pmt_keep_done(struct pmt_kept *kept);
void pmt_keep_close(struct pmt_kept *kept);
int pmt_read_file(const char *path, char *buffer, size_t size);

/* ---- gate.c: whether RSS may have moved since it was last read. */
extern int pmt_gate_dirty;
/* What must be as it was when pmt_gate_has_moved() was last called, for its answer to be no. */
struct pmt_gate_still {
    const volatile unsigned long long *heads[16]; /* data_head of the rings of all processors; they only grow, */
    uint64_t seen;                                /* so that none has moved if their sum is this */
    int quads;  /* fours of heads; the last of them may be something that never moves */
    int events; /* to the one at which it is to be called anyhow */
    int thread; /* ID of the one that may go by this; -1: nobody */
};
extern struct pmt_gate_still pmt_gate_still;
bool pmt_gate_has_moved(void);
void pmt_gate_stop(void);
void pmt_gate_after_fork(void);
void pmt_gate_thread_ends(void);
#define PMT_GATE_LARGE 65536 /* glibc may trim its heap, or unmap, when a block of this size is freed */

/* Something is happening that page faults do not show. */
static inline void pmt_gate_touch(void)
{
    __atomic_store_n(&pmt_gate_dirty, 1, __ATOMIC_RELAXED);
}

static inline uint64_t pmt_gate_sum(void)
{
    uint64_t sum = 0;
    const volatile unsigned long long *const *head = pmt_gate_still.heads;
    for (int i = 0; i < pmt_gate_still.quads; i++, head += 4)
        sum += *head[0] + *head[1] + *head[2] + *head[3];
    return sum;
}

/* True: nothing has moved. False: pmt_gate_has_moved() knows. */
static inline bool pmt_gate_is_still(int thread)
{
    return !__atomic_load_n(&pmt_gate_dirty, __ATOMIC_RELAXED) && thread == pmt_gate_still.thread &&
           --pmt_gate_still.events > 0 && pmt_gate_sum() == pmt_gate_still.seen;
}

/* ---- rss.c: resident bytes of this process. */
void pmt_rss_report(void);
bool pmt_rss_is_tested(void);
int64_t pmt_rss_now(bool has_moved);
int64_t pmt_rss_read(void);
int64_t pmt_rss_peak(void);
void pmt_rss_start(const char *proc_root, const char *replay_path);
void pmt_rss_forget(void);
void pmt_rss_pin(void);
extern int64_t pmt_page_size;

/* ---- count.c: bytes and blocks, per thread, no lock, no shared line. A block belongs to the outermost layer that
 * allocated it: what CPython's allocators take from malloc counts as Python's, once. Live is allocated less freed; a
 * resized block is freed and allocated. */
enum pmt_owner { PMT_OWNER_NATIVE, PMT_OWNER_PYTHON, PMT_OWNERS };
enum pmt_flow { PMT_ALLOCATED, PMT_FREED, PMT_FLOWS };
struct pmt_net {
    int64_t bytes, blocks;
};
struct pmt_tally { /* written by the owning thread only; anyone reads the sums */
    struct pmt_net sums[PMT_OWNERS][PMT_FLOWS];
    int64_t temporary_blocks[PMT_OWNERS];
    const void *latest;  /* the block that was allocated last, unless it was freed */
    int64_t unfolded;    /* peak.c: bytes that the total does not know of yet, */
    int64_t most, least; /* and how many it need not know of */
    void *stack;         /* pyhooks/stack.c: where a stack is gathered; stays for the next thread */
    int countdown;       /* allocations until pmt_count_due() */
    int is_owned;        /* atomic */
} __attribute__((aligned(64)));
extern __thread struct pmt_tally *pmt_tally_mine;
extern __thread int pmt_inside; /* a layer further out owns what is allocated now */
void pmt_count_slow(enum pmt_owner owner, enum pmt_flow flow, int64_t bytes, int64_t blocks);
void pmt_count_due(struct pmt_tally *mine);
void pmt_count_start(void);
void pmt_count_after_fork(void);
void pmt_count_when_next_called(void (*work)(void));
struct pmt_tally *pmt_count_mine(void);
extern int pmt_count_most_threads; /* atomic: so many had a tally at a time */
struct pmt_net pmt_count_sum(enum pmt_owner owner, enum pmt_flow flow);
struct pmt_net pmt_count_total(enum pmt_owner owner);
int64_t pmt_count_temporary(enum pmt_owner owner);

/* One instruction on x86-64, so that a signal handler of the same thread cannot come between load and store. */
static inline void pmt_add_own(int64_t *cell, int64_t value)
{
#ifdef __SANITIZE_THREAD__
    __atomic_fetch_add(cell, value, __ATOMIC_RELAXED);
#else
    __asm__("addq %1, %0" : "+m"(*cell) : "er"(value));
#endif
}

static inline void pmt_count(enum pmt_owner owner, enum pmt_flow flow, int64_t bytes, int64_t blocks)
{
    struct pmt_tally *mine = pmt_tally_mine;
    if (PMT_UNLIKELY(!mine)) {
        pmt_count_slow(owner, flow, bytes, blocks);
        return;
    }
    pmt_add_own(&mine->sums[owner][flow].bytes, bytes);
    pmt_add_own(&mine->sums[owner][flow].blocks, blocks);
}

/* ---- peak.c: the highest total of live bytes. */
struct pmt_peak {
    int64_t bytes, monotonic_ns, error_bytes; /* error: by how much it may be too low */
};
extern int64_t pmt_peak_held, pmt_peak_others, pmt_peak_highest;
extern uint64_t pmt_peak_epoch; /* counts new peaks */
void pmt_peak_fold(struct pmt_tally *mine);
void pmt_peak_stamp(void);
struct pmt_peak pmt_peak_now(void);
void pmt_peak_narrow(struct pmt_tally *tally);
void pmt_peak_expect_python(void);
void pmt_peak_expect_threads(void);

/* ---- maps.c: bytes mapped by the program itself, exact under overlaps, partial unmaps and MAP_FIXED. */
/* Whether the kernel could have a mapping there: else the call fails, and nothing may be entered for it. */
static inline bool pmt_maps_is_range(const void *start, size_t size)
{
    uintptr_t end;
    return !__builtin_add_overflow((uintptr_t)start, size, &end) && end <= (uintptr_t)1 << 47;
}
void pmt_maps_add(uintptr_t start, size_t size);
size_t pmt_maps_remove(uintptr_t start, size_t size);
void pmt_maps_total(int64_t *bytes, int64_t *regions);
void pmt_maps_moved_break(int64_t bytes);
int64_t pmt_maps_break(void);
void pmt_maps_after_fork(void);

/* ---- large.c: blocks of 128 KiB and more; see shadow.h. */
void pmt_large_start(void);

/* ---- cstack.c: where the C stack of the calling thread lies. */
struct pmt_cstack {
    uintptr_t low, high;
};
bool pmt_cstack_find(uintptr_t here, struct pmt_cstack *stack);

/* ---- elf.c: symbols of loaded objects, read from their own tables: no loader lock is waited for, nothing is bound. */
struct pmt_elf {
    uintptr_t base, low, high, data_low, data_high; /* data: what may be written to */
    const void *symbols, *hash, *gnu_hash, *versions, *dynamic;
    const char *strings;
    char path[256]; /* "" for the executable */
};
bool pmt_elf_find(const char *symbol, struct pmt_elf *object);
bool pmt_elf_find_next(const char *symbol, struct pmt_elf *object);
void *pmt_elf_symbol(const struct pmt_elf *object, const char *name);
uint64_t pmt_elf_load_count(void);
struct pmt_redirect {
    const char *name;
    void *from, *to; /* from: where it is defined */
};
bool pmt_elf_redirect(const struct pmt_redirect *table, size_t count, const struct pmt_elf *definer);

/* ---- output.c: a file of ours in PMT_DIR: its name, its descriptor, writes that harm nobody. */
enum pmt_output_kind { PMT_OUTPUT_LOG, PMT_OUTPUT_CAPTURE };
struct pmt_output {
    struct pmt_kept kept;
    char path[PMT_PATH_SIZE];
};
extern bool pmt_output_has_directory; /* it was made; a process made by fork finds it so */
int pmt_output_create(struct pmt_output *output, enum pmt_output_kind kind);
int pmt_output_ensure(struct pmt_output *output);
bool pmt_output_may_grow(uint64_t size);
int pmt_output_write(struct pmt_output *output, const void *bytes, size_t size, int64_t at);
void pmt_output_remove(struct pmt_output *output, enum pmt_output_kind kind);
void pmt_output_report(enum pmt_output_kind kind, int error);
void pmt_output_forget(struct pmt_output *output);

/* ---- logfile.c: the file of the event log. Protected by pmt_log_lock. */
int pmt_logfile_create(void);
void pmt_logfile_begin(struct pmt_text *text, int64_t size_limit);
int pmt_logfile_end(struct pmt_text *text);
void pmt_logfile_remove(void);
void pmt_logfile_forget(void);
const char *pmt_logfile_path(void);
int64_t pmt_logfile_size(void);
void pmt_logfile_pin(void);

/* ---- log.c: the event log. Protected by pmt_log_lock. */
enum pmt_what {
    PMT_CALL,
    PMT_RETURN,
    PMT_C_CALL,
    PMT_C_RETURN,
    PMT_C_EXCEPT,
    PMT_LINE,
    PMT_EXCEPT,
};
struct pmt_event;
/* Names are put only for rows that are written. A held place may be named after the event is over. */
struct pmt_namer {
    void (*put_file)(struct pmt_text *text, const void *place);
    void (*put_function)(struct pmt_text *text, const void *place);
    int (*line)(const void *place, int64_t position); /* 0: none */
    void (*hold)(void *place);
    void (*release)(void *place);
    void (*look)(void); /* at an event at which the gate was open; NULL: not wanted */
};
struct pmt_event {
    enum pmt_what what;
    int thread;         /* thread ID, 0 for the main thread */
    void *place;        /* code object */
    int64_t position;   /* within it; only the namer knows what it means */
    const char *c_name; /* C_ rows: name of the C function; else NULL */
};
extern struct pmt_lock pmt_log_lock;
void pmt_log_start(const struct pmt_namer *namer);
/* The last event, written at every one: the more of it is derived when it is needed, the better. */
struct pmt_log_last {
    struct pmt_event event;
    uint64_t count;              /* events so far */
    uintptr_t names, names_size; /* see pmt_log_lasting_names() */
    bool is_quick; /* an event at which RSS did not move is only kept: no lock, no clock, no system call */
};
extern struct pmt_log_last pmt_log_last; /* Protected by the GIL. */
void pmt_log_event(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name);
const char *pmt_log_copy_name(const char *name);
void pmt_log_hold(void *place, void *old);
void pmt_log_lasting_names(uintptr_t low, uintptr_t high);
void pmt_log_message(const char *text);
void pmt_log_mark(const char *label, const char *text, size_t size, int64_t memory);
void pmt_log_let_go(void);
void pmt_log_pin(void);
void pmt_log_finish(void);
void pmt_log_after_fork(void);
bool pmt_log_is_dead(void);
const char *pmt_log_file(uint64_t *rows, uint64_t *lost);

/* ---- capture.c: the capture, a file of tables that follows the memory. Protected by pmt_capture_lock. */
extern struct pmt_lock pmt_capture_lock;
void pmt_capture_start(bool is_first);
void pmt_capture_tick(void);
void pmt_capture_mark(int kind, const char *name, size_t size, int64_t memory);
void pmt_capture_warn(const char *words);
void pmt_capture_problem(const char *words);
void pmt_capture_final_reading(void);
void pmt_capture_end(int status);
void pmt_capture_exec(void);
void pmt_capture_pin(void);
void pmt_capture_after_fork(void);
const char *pmt_capture_file(void);

/* ---- real.c: the next definition of every interposed function; a pool for calls that come before they are known. */
#define PMT_POOL_SIZE 65536
extern char pmt_pool[PMT_POOL_SIZE];
/* How blocks are counted: by the size requested (shadow.h); by the size in glibc's chunk header; by malloc_usable_size
 * of another allocator. */
enum pmt_heap { PMT_HEAP_EXACT, PMT_HEAP_GLIBC, PMT_HEAP_OTHER };
extern enum pmt_heap pmt_heap;
extern bool pmt_is_behind; /* another object's malloc stands before ours */
bool pmt_real_is_bypassed(struct pmt_elf *first);
bool pmt_real_resolve(void);
void *pmt_pool_take(size_t size, size_t alignment);
size_t pmt_pool_size(const void *block);

/* ---- life.c: OFF -> ON -> STOPPED. */
enum pmt_state { PMT_OFF, PMT_ON, PMT_STOPPED };
extern enum pmt_state pmt_state;
extern int pmt_pid;
extern int64_t pmt_start_unix_ns, pmt_start_monotonic_ns;
extern char pmt_arguments[4096]; /* of the process, each with its NUL */
extern size_t pmt_arguments_size;
extern bool pmt_arguments_are_cut;
extern char pmt_working_directory[PMT_PATH_SIZE]; /* at the start; "" if unknown */
extern char pmt_directory[PMT_PATH_SIZE];
extern bool pmt_directory_is_default;
extern volatile char *pmt_life_alive;
bool pmt_life_has_other_pid(void);

/* Whether this is a child that ran no fork handler (_Fork, raw clone), and has not been told yet. */
static inline bool pmt_life_is_forked(void)
{
    return PMT_LIKELY(pmt_life_alive != NULL) ? !*pmt_life_alive : pmt_life_has_other_pid();
}

void pmt_life_child(void);

/* The event becomes the last one and holds its place: a PREV row may have to name it. Fields one by one: a struct
 * written so and then copied whole would stall the processor's store forwarding. */
PMT_HOT void pmt_log_keep(enum pmt_what what, int thread, void *place, int64_t position, const char *c_name)
{
    struct pmt_log_last *last = &pmt_log_last;
    void *old = last->event.place;
    if (c_name && (uintptr_t)c_name - last->names >= last->names_size)
        c_name = pmt_log_copy_name(c_name);
    last->event.what = what;
    last->event.thread = thread;
    last->event.place = place;
    last->event.position = position;
    last->event.c_name = c_name;
    if (place != old)
        pmt_log_hold(place, old);
}

/* place, position: the code object, and where in it; c_name: of the C function, for C_ events, else NULL. The caller
 * holds the GIL. False: the event is not logged yet, it is one for pmt_log_event(). True: it is of the thread of the
 * last one, and RSS is what it was. */
PMT_HOT bool pmt_log_event_quick(enum pmt_what what, void *place, int64_t position, const char *c_name)
{
    struct pmt_log_last *last = &pmt_log_last;
    if (PMT_UNLIKELY(!last->is_quick || !*pmt_life_alive || !pmt_gate_is_still(pmt_thread_number)))
        return false;
    last->count++;
    pmt_log_keep(what, last->event.thread, place, position, c_name);
    return true;
}

void pmt_life_end(int status);
void pmt_life_exec(void);
void pmt_life_abandon(void);
extern int pmt_life_quick_exit_status;
void pmt_life_final_reading(void);

/* ---- pyhooks/: called by life.c and notice.c. */
enum pmt_found { PMT_FOUND_NONE, PMT_FOUND_UNREADY, PMT_FOUND };
enum pmt_found pmt_python_look(void);
extern bool pmt_python_is_found;
extern bool pmt_python_is_starting; /* found, its `posix` module is not
                                       initialised yet */
void pmt_python_start(void);
void pmt_python_memory_mapped(void);
void pmt_python_unloaded(void);
extern struct pmt_lock pmt_points_lock, pmt_large_lock;
void pmt_python_thread_created(void);
void pmt_python_thread_stores(unsigned key, void *value);
void pmt_python_loading(void);
bool pmt_python_has_gil_slow(void);
extern bool pmt_python_has_stacks; /* stacks of Python can be read: set once, while Python starts */

/* Whether the caller holds the GIL of the main interpreter. */
static inline bool pmt_python_has_gil(void)
{
    return pmt_python_has_stacks && pmt_python_has_gil_slow();
}

const char *pmt_python_version(void);
bool pmt_python_has_started(void);
bool pmt_python_counts(void);

#pragma GCC visibility pop

#endif
