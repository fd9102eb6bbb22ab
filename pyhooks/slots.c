/* slots.c: our functions before the program's own, in the two slots of a thread state.
 *
 *    c_profilefunc  observer                                       the program has none
 *    c_profileobj   NULL                                           sys.getprofile() is None
 *
 *    c_profilefunc  over[i] -> observer, then hosts[i] with ...    it has one, a C function: that of sys.setprofile,
 *    c_profileobj   <-----------------------------------+          that of cProfile, a debugger's
 *
 * So the objects, their reference counts and what the program can ask are as without us. A thread state says by its
 * function alone what is chained there: nothing is kept for a thread. Whoever sets a function finds the slot as the
 * program left it (pmt_slots_give), and we come back when he is through (pmt_slots_take): setters.c sees to that. */
#include "pyhooks.h"

#include <pthread.h>

#include "poison.h"

#define HOSTS_MAX 16 /* different C functions in a slot during a process */
#define OURS_MAX 4

static struct slot {
    Py_tracefunc observer;       /* ours; NULL: the slot is the program's alone */
    Py_tracefunc ours[OURS_MAX]; /* every observer there was: other threads may still have a former one */
    Py_tracefunc hosts[HOSTS_MAX];
    const Py_tracefunc *over; /* over[i] calls the observer, then hosts[i] */
    int host_count;
    bool is_counted; /* ours, for the thread in which it was set first: see pmt_pyver_counts_functions() */
} slots[PMT_SLOTS];  /* Protected by the GIL. */

static bool are_known; /* slots can be written directly */

/* ---- one slot of one thread */

static bool is_ours(const struct slot *slot, Py_tracefunc function)
{
    for (int i = 0; i < OURS_MAX && slot->ours[i]; i++)
        if (function == slot->ours[i])
            return true;
    return false;
}

/* What the program has in a slot in which `function` is; NULL: nothing. */
static Py_tracefunc host_under(const struct slot *slot, Py_tracefunc function)
{
    for (int i = 0; i < slot->host_count; i++)
        if (function == slot->over[i])
            return slot->hosts[i];
    return is_ours(slot, function) ? NULL : function;
}

static Py_tracefunc over_host(struct slot *slot, Py_tracefunc host)
{
    static bool is_said;
    for (int i = 0; i < slot->host_count; i++)
        if (host == slot->hosts[i])
            return slot->over[i];
    if (slot->host_count < HOSTS_MAX) {
        slot->hosts[slot->host_count] = host;
        return slot->over[slot->host_count++];
    }
    if (!is_said)
        pmt_say(PMT_VERBOSE_PROBLEMS,
                "too many kinds of profilers and tracers in this process: Python events are lost");
    is_said = true;
    return host;
}

/* The slot becomes as the program left it. Whether an observer was in it. */
static bool give(PyThreadState *thread, enum pmt_slot which)
{
    Py_tracefunc *cell = pmt_pyver_slot(thread, which), function = *cell;
    *cell = host_under(&slots[which], function);
    return *cell != function;
}

static void take(PyThreadState *thread, enum pmt_slot which)
{
    struct slot *slot = &slots[which];
    Py_tracefunc *cell = pmt_pyver_slot(thread, which), host = host_under(slot, *cell);
    if (!slot->observer)
        return;
    *cell = host ? over_host(slot, host) : slot->observer;
    pmt_pyver_switch_on(thread);
}

/* ---- the functions over the program's */

static int pass_profile(int host, PyObject *object, PyFrameObject *frame, int what, PyObject *argument)
{
    struct slot *slot = &slots[PMT_SLOT_PROFILE];
    if (slot->observer)
        slot->observer(PMT_SLOTS_CHAINED, frame, what, argument);
    if ((what == PyTrace_C_RETURN || what == PyTrace_C_EXCEPTION) && !pmt_told_take(frame))
        return 0;
    int result = slot->hosts[host](object, frame, what, argument);
    if (what == PyTrace_C_CALL && result == 0)
        pmt_told_add(frame);
    take(py.PyThreadState_Get(), PMT_SLOT_PROFILE); /* the program may have set another function meanwhile */
    return result;
}

static int pass_trace(int host, PyObject *object, PyFrameObject *frame, int what, PyObject *argument)
{
    struct slot *slot = &slots[PMT_SLOT_TRACE];
    if (slot->observer)
        slot->observer(PMT_SLOTS_CHAINED, frame, what, argument);
    int result = slot->hosts[host](object, frame, what, argument);
    take(py.PyThreadState_Get(), PMT_SLOT_TRACE);
    return result;
}

#define OVER(slot, i)                                                                                                  \
    static int slot##_over_##i(PyObject *object, PyFrameObject *frame, int what, PyObject *argument)                   \
    {                                                                                                                  \
        return pass_##slot(i, object, frame, what, argument);                                                          \
    }
#define NAME(slot, i) slot##_over_##i,
#define EACH(do, slot)                                                                                                 \
    do                                                                                                                 \
    (slot, 0) do(slot, 1) do(slot, 2) do(slot, 3) do(slot, 4) do(slot, 5) do(slot, 6) do(slot, 7) do(slot, 8) do(      \
        slot, 9) do(slot, 10) do(slot, 11) do(slot, 12) do(slot, 13) do(slot, 14) do(slot, 15)
EACH(OVER, profile)
EACH(OVER, trace)
static const Py_tracefunc profile_over[HOSTS_MAX] = {EACH(NAME, profile)}, trace_over[HOSTS_MAX] = {EACH(NAME, trace)};

/* ---- setting functions (setters.c) */

/* The program is about to set a function in this thread: the slots become as without us. The caller holds the GIL. What
 * is to be given to pmt_slots_take(): the slots in which there was an observer. */
unsigned pmt_slots_give(PyThreadState *thread)
{
    unsigned given = 0;
    if (!are_known || !pmt_pyver_is_logged(thread))
        return 0;
    for (int which = 0; which < PMT_SLOTS; which++)
        given |= (unsigned)give(thread, which) << which;
    return given;
}

/* It has done so, or not. Where functions are counted an observer comes back only to where one was. */
void pmt_slots_take(PyThreadState *thread, unsigned given)
{
    if (!are_known || !pmt_pyver_is_logged(thread))
        return;
    for (int which = 0; which < PMT_SLOTS; which++)
        if (given >> which & 1 || !pmt_pyver_counts_functions())
            take(thread, which);
}

/* ---- threads */

static int thread_key = -1;   /* of the thread state in a thread's storage, if a new one is to be seen there. Atomic. */
static int thread_key_of_pid; /* a child of fork gets another key */

/* From 3.6 to 3.11 every thread puts its state into its storage before it runs anything with it, whoever made the
 * thread. The key is CPython's own; it is found by its value. */
static void find_thread_key(PyThreadState *current)
{
    int key = 0;
    while (key < PTHREAD_KEYS_MAX && pthread_getspecific((pthread_key_t)key) != current)
        key++;
    __atomic_store_n(&thread_key, key, __ATOMIC_RELAXED);
    thread_key_of_pid = pmt_pid;
}

/* The caller puts `value` into its storage: perhaps a thread state, which is nobody else's yet. Any thread, no GIL. */
void pmt_python_thread_stores(unsigned key, void *value)
{
    if ((int)key != __atomic_load_n(&thread_key, __ATOMIC_RELAXED) || thread_key_of_pid != pmt_pid || !value ||
        pmt_events_state != PMT_LOGGING || !pmt_pyver_is_logged(value))
        return;
    for (int which = 0; which < PMT_SLOTS; which++) {
        Py_tracefunc *cell = pmt_pyver_slot(value, which);
        if (*cell || !slots[which].observer)
            continue;
        *cell = slots[which].observer;
        pmt_pyver_switch_on(value);
    }
}

/* 3.13 lets nobody set a trace function in another thread. So the function of the caller's thread is counted a second
 * time, for that one. */
static void count_once_more(enum pmt_slot which)
{
    Py_tracefunc *cell = pmt_pyver_slot(py.PyThreadState_Get(), which), function = *cell;
    PyObject *object = *((PyObject **)(void *)cell + PMT_SLOTS);
    *cell = NULL;
    (which == PMT_SLOT_PROFILE ? py.PyEval_SetProfile : py.PyEval_SetTrace)(function, object);
}

/* Where slots cannot be written directly, or functions are counted: CPython's own function sets ours in any thread, if
 * there is no other. */
static void set_in(PyThreadState *thread, enum pmt_slot which)
{
    int (*set)(PyThreadState *, Py_tracefunc, PyObject *) =
        which == PMT_SLOT_PROFILE ? py._PyEval_SetProfile : py._PyEval_SetTrace;
    if (!slots[which].observer || (are_known && *pmt_pyver_slot(thread, which)))
        return;
    if (set && set(thread, slots[which].observer, NULL) < 0)
        py.PyErr_Clear(); /* of an audit hook that refuses it */
    if (!set && are_known) {
        count_once_more(which);
        *pmt_pyver_slot(thread, which) = slots[which].observer;
    }
}

static void see_new_thread(PyThreadState *thread)
{
    set_in(thread, PMT_SLOT_PROFILE);
    set_in(thread, PMT_SLOT_TRACE);
}

/* A thread is about to be made by the thread of `current`, who holds the GIL. CPython makes the state of a thread of
 * its own in the thread that starts it, before pthread_create: so it has its functions before its first frame. */
void pmt_slots_see_new_threads(PyThreadState *current)
{
    PyObject *type, *value, *traceback;
    if (!pmt_pyver_is_logged(current))
        return;
    if (are_known && !pmt_pyver_counts_functions()) {
        if (thread_key_of_pid != pmt_pid || thread_key == PTHREAD_KEYS_MAX)
            find_thread_key(current);
        return;
    }
    py.PyErr_Fetch(&type, &value, &traceback);
    pmt_pyver_each_new_thread(see_new_thread);
    py.PyErr_Restore(type, value, traceback);
}

/* ---- observing */

static enum pmt_slot observed; /* by what is being called for each thread */

static void begin_in(PyThreadState *thread)
{
    if (!pmt_pyver_counts_functions() || is_ours(&slots[observed], *pmt_pyver_slot(thread, observed)))
        take(thread, observed);
    else
        set_in(thread, observed);
}

static void end_in(PyThreadState *thread)
{
    give(thread, observed);
}

/* In the caller's thread, whatever is there. */
static void begin_counted(PyThreadState *current, enum pmt_slot which)
{
    struct slot *slot = &slots[which];
    Py_tracefunc *cell = pmt_pyver_slot(current, which);
    if (pmt_pyver_counts_functions() && !slot->is_counted) {
        slot->is_counted = true;
        if (!*cell)
            (which == PMT_SLOT_PROFILE ? py.PyEval_SetProfile : py.PyEval_SetTrace)(slot->observer, NULL);
        else
            count_once_more(which);
    }
    take(current, which);
}

static void keep_observer(struct slot *slot, Py_tracefunc observer)
{
    int i = 0;
    while (i < OURS_MAX - 1 && slot->ours[i] && slot->ours[i] != observer)
        i++;
    slot->ours[i] = observer;
}

/* From now on `observer` is called for every event of the slot, in every thread there is; NULL: nobody is. */
void pmt_slots_observe(PyThreadState *current, enum pmt_slot which, Py_tracefunc observer)
{
    void (*set)(Py_tracefunc, PyObject *) = which == PMT_SLOT_PROFILE ? py.PyEval_SetProfile : py.PyEval_SetTrace;
    observed = which;
    slots[which].observer = observer;
    if (observer)
        keep_observer(&slots[which], observer);
    if (!are_known)
        set(observer, NULL);
    else if (observer) {
        begin_counted(current, which);
        pmt_pyver_each_thread(begin_in);
    } else if (pmt_pyver_counts_functions() && is_ours(&slots[which], *pmt_pyver_slot(current, which))) {
        set(NULL, NULL);
        slots[which].is_counted = false;
    } else
        pmt_pyver_each_thread(end_in);
    if (are_known && !pmt_pyver_counts_functions())
        find_thread_key(current);
}

/* An interpreter starts: `observer` is in the profile slot of its thread from now on. A trace function may be set
 * later, with pmt_slots_observe(), if `with_tracer`. */
void pmt_slots_start(PyThreadState *current, Py_tracefunc observer, bool with_tracer)
{
    slots[PMT_SLOT_PROFILE] =
        (struct slot){.observer = observer, .ours = {observer}, .over = profile_over, .is_counted = true};
    slots[PMT_SLOT_TRACE] = (struct slot){.over = trace_over, .is_counted = with_tracer};
    are_known = pmt_pyver_check_slots(current, observer, with_tracer);
    if (!are_known)
        pmt_say(PMT_VERBOSE_DECISIONS,
                "this Python's thread states are not known: a profiler or tracer of the program's "
                "replaces ours");
}
