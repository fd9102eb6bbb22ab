/* evalframe.c: the engine of `--events python` on CPython 3.6 to 3.11, a frame evaluator (PEP 523): Python calls it for
 * every frame of every thread, in place of its own.
 *
 *    Python -> *slot: evaluate() -- CALL --> next evaluator: Python's own, or one that was there before -- RETURN -->
 *              other frames: the net, a profile function
 *
 * A frame that an evaluator of ours runs is the `innermost` of its thread when it begins and when it ends, and is told
 * by the evaluator. Any other is told by the net, which is spread while there can be such frames:
 *  - Where a share of the C stack is used up, the evaluator steps aside. It makes Python use more of the C stack for
 *    each call (on 3.11, use it at all), and a program must get as deep as without us.
 *  - Another tool has put an evaluator in our place, and it has not been seen to call ours.
 * All state is protected by the GIL of the interpreter that is logged, but for `mine`. */
#include "pystate.h"

#include "poison.h"

#define SHARE 4               /* the part of a C stack that evaluators may use, */
#define SHARE_MOST (2u << 20) /* and the most of it: enough for thousands of calls */

typedef PyObject *(*old_evaluator)(char *frame, int throw);
typedef PyObject *(*new_evaluator)(PyThreadState *thread, char *frame, int throw);

static PyInterpreterState *interpreter;
static enum pmt_frame_kind kind;
static void **slot;         /* where the interpreter keeps its evaluator */
static void *ours, *before; /* what we put there, and what was there before */
static void *expected;      /* what was there when we last looked */
static void *next;          /* an old_evaluator or a new_evaluator */

static const char *first_frame; /* the one that ran when logging began, until it returns */
static int asides;              /* evaluators that have stepped aside, and wait for their frames to return */
static bool is_doubted;         /* another evaluator is in our place, and has not been seen to call ours */
static bool is_given_up;        /* this Python is not as it should be: the profile function serves */

static __thread struct {
    uintptr_t low, room;   /* on the C stack, evaluators may stand here; room 0: not known yet */
    const char *innermost; /* the last frame that an evaluator of ours runs */
    int netted;            /* frames that the net has told the CALL of, and not yet the RETURN */
} mine;

PMT_HOT PyObject *call_next(enum pmt_frame_kind of, PyThreadState *thread, char *frame, int throw)
{
    return of == PMT_FRAME_OLD ? ((old_evaluator)next)(frame, throw) : ((new_evaluator)next)(thread, frame, throw);
}

PMT_HOT void tell(enum pmt_frame_kind of, enum pmt_what what, const char *frame)
{
    pmt_events_log(what, pmt_pystate_pointer(frame, PMT_FRAME_CODE), pmt_pystate_place(of, frame), NULL);
}

/* ---- the net */

static bool is_net_wanted(void)
{
    return (asides > 0 || is_doubted) && pmt_events_state == PMT_LOGGING;
}

/* A frame is entered while another evaluator is in our place. */
static PMT_SLOW void judge_other(bool calls_ours)
{
    static bool is_said;
    if (calls_ours)
        is_doubted = false;
    else if (asides == 0 && !is_said) {
        is_said = true;
        pmt_say(PMT_VERBOSE_PROBLEMS,
                "another frame evaluator has taken the place of pmt's: events come from a profile "
                "function, which costs more");
    }
}

static int tell_netted(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)unused;
    (void)argument;
    if (what != PyTrace_CALL && what != PyTrace_RETURN)
        return 0;
    bool is_call = what == PyTrace_CALL, is_ours = pmt_pyver_inner_frame(frame) == mine.innermost;
    if (is_call && is_doubted)
        judge_other(is_ours);
    if (!is_ours && (is_call || mine.netted > 0)) {
        int64_t position;
        PyObject *code = pmt_pyver_place(frame, &position);
        mine.netted += is_call ? 1 : -1;
        if (pmt_events_state == PMT_LOGGING)
            pmt_events_log(is_call ? PMT_CALL : PMT_RETURN, code, position, NULL);
    }
    if (mine.netted == 0 && !is_net_wanted())
        pmt_pystate_set_profiler(py.PyThreadState_Get(), NULL);
    return 0;
}

/* A thread with a profile function of the program's own keeps it. */
static void spread_net(void)
{
    static bool is_said;
    PyThreadState *thread = py.PyInterpreterState_ThreadHead(interpreter);
    for (; thread; thread = py.PyThreadState_Next(thread)) {
        Py_tracefunc profiler = pmt_pystate_profiler(thread);
        if (!profiler)
            pmt_pystate_set_profiler(thread, tell_netted);
        else if (profiler != tell_netted && !is_said) {
            is_said = true;
            pmt_say(PMT_VERBOSE_PROBLEMS, "the program has a profile function of its own: calls that pmt's frame "
                                          "evaluator cannot see, of deep recursions, are not all in the log");
        }
    }
}

/* Another evaluator is in our place, or has gone from it. */
static PMT_SLOW void see_other(void)
{
    expected = *slot;
    is_doubted = expected != ours && (asides == 0 || expected != before);
    if (is_net_wanted())
        spread_net();
}

/* ---- evaluators, the rare cases */

/* Until logging begins. A frame that is entered before has no RETURN, but for the one that is running then. */
static PyObject *evaluate_waiting(PyThreadState *thread, char *frame, int throw)
{
    const char *outer = mine.innermost;
    mine.innermost = frame;
    PyObject *result = call_next(kind, thread, frame, throw);
    mine.innermost = outer;
    if (frame == first_frame) {
        first_frame = NULL;
        if (pmt_events_state == PMT_LOGGING)
            tell(kind, PMT_RETURN, frame);
        if (*slot != expected)
            see_other();
    }
    return result;
}

static PyObject *evaluate_told(PyThreadState *thread, char *frame, int throw)
{
    const char *outer = mine.innermost;
    mine.innermost = frame;
    tell(kind, PMT_CALL, frame);
    PyObject *result = call_next(kind, thread, frame, throw);
    tell(kind, PMT_RETURN, frame);
    mine.innermost = outer;
    if (*slot != expected)
        see_other();
    return result;
}

/* This frame and those within it go without an evaluator of ours, those of other threads too: there is one for all. */
static PyObject *evaluate_aside(PyThreadState *thread, char *frame, int throw)
{
    asides++;
    *slot = expected = before;
    spread_net();
    PyObject *result = call_next(kind, thread, frame, throw);
    if (--asides == 0 && *slot == before)
        *slot = expected = ours;
    if (*slot != expected)
        see_other();
    thread = py.PyThreadState_Get();
    if (mine.netted == 0 && !is_net_wanted() && pmt_pystate_profiler(thread) == tell_netted)
        pmt_pystate_set_profiler(thread, NULL);
    return result;
}

/* On a stack that the program has made itself there is no room. */
static void find_room(uintptr_t here)
{
    struct pmt_cstack stack;
    mine.low = UINTPTR_MAX;
    mine.room = 1;
    if (!pmt_cstack_find(here, &stack))
        return;
    size_t size = (stack.high - stack.low) / SHARE;
    mine.room = size < SHARE_MOST ? size : SHARE_MOST;
    mine.low = stack.high - mine.room;
}

static bool has_room(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (!mine.room)
        find_room(here);
    return here - mine.low < mine.room;
}

static PMT_SLOW PyObject *evaluate_slowly(PyThreadState *thread, char *frame, int throw)
{
    PyThreadState *self = thread ? thread : py._PyThreadState_UncheckedGet();
    if (pmt_events_state == PMT_WAITING)
        return evaluate_waiting(thread, frame, throw);
    if (pmt_events_state != PMT_LOGGING || pmt_pystate_is_tracing(self) || pmt_pystate_makes_generator(kind, frame) ||
        pmt_pystate_is_too_deep(self))
        return call_next(kind, thread, frame, throw);
    return *slot != ours || has_room() ? evaluate_told(thread, frame, throw) : evaluate_aside(thread, frame, throw);
}

/* ---- evaluators, as nearly always */

/* Logging, with room on the C stack; not in a profile or trace function, which Python does not tell either; and Python
 * will enter the frame. */
PMT_HOT bool is_usual(enum pmt_frame_kind of, const PyThreadState *thread, const char *frame)
{
    uintptr_t stack;
    __asm__("mov %%rsp, %0" : "=r"(stack));
    return pmt_events_state == PMT_LOGGING && stack - mine.low < mine.room && !pmt_pystate_is_tracing(thread) &&
           !pmt_pystate_is_deep(of, thread) && !pmt_pystate_makes_generator(of, frame);
}

PMT_HOT PyObject *evaluate(enum pmt_frame_kind of, PyThreadState *thread, char *frame, int throw)
{
    const PyThreadState *self = of == PMT_FRAME_OLD ? py._PyThreadState_UncheckedGet() : thread;
    if (PMT_UNLIKELY(!is_usual(of, self, frame)))
        return evaluate_slowly(thread, frame, throw);
    const char *outer = mine.innermost;
    mine.innermost = frame;
    tell(of, PMT_CALL, frame);
    PyObject *result = call_next(of, thread, frame, throw);
    tell(of, PMT_RETURN, frame);
    mine.innermost = outer;
    if (PMT_UNLIKELY(*slot != expected))
        see_other();
    return result;
}

static PyObject *evaluate_old(char *frame, int throw)
{
    return evaluate(PMT_FRAME_OLD, NULL, frame, throw);
}

static PyObject *evaluate_middle(PyThreadState *thread, char *frame, int throw)
{
    return evaluate(PMT_FRAME_MIDDLE, thread, frame, throw);
}

static PyObject *evaluate_new(PyThreadState *thread, char *frame, int throw)
{
    return evaluate(PMT_FRAME_NEW, thread, frame, throw);
}

/* ---- the engine */

static bool prepare(void)
{
    void *evaluators[] = {(void *)evaluate_old, (void *)evaluate_middle, (void *)evaluate_new};
    interpreter = pmt_pyver_interpreter();
    if (pmt_config.events != PMT_EVENTS_PYTHON || !pmt_pystate_find(interpreter, &kind))
        return false;
    first_frame = NULL;
    asides = 0;
    is_doubted = is_given_up = false;
    slot = pmt_pystate.evaluator;
    ours = evaluators[kind];
    if (*slot != ours)
        before = *slot;
    next = before ? before : py._PyEval_EvalFrameDefault;
    *slot = expected = ours;
    return true;
}

static void begin(void)
{
    PyFrameObject *frame = py.PyEval_GetFrame();
    if (!pmt_pystate_holds(py.PyThreadState_Get(), frame)) {
        is_given_up = true;
        if (*slot == ours)
            *slot = before;
        pmt_say(PMT_VERBOSE_DECISIONS, "this Python is not laid out as its version is: events by %s",
                pmt_profiler.name);
        pmt_profiler.begin();
        return;
    }
    if (pmt_pyver_inner_frame(frame) == mine.innermost)
        first_frame = mine.innermost;
    else {
        mine.netted = 1;
        spread_net();
    }
    if (*slot != expected)
        see_other();
}

/* Threads have the evaluator that their interpreter has. */
static void see_new_threads(PyThreadState *current)
{
    if (is_given_up) {
        pmt_profiler.see_new_threads(current);
        return;
    }
    if (*slot != expected)
        see_other();
    if (is_net_wanted())
        spread_net();
}

const struct pmt_engine pmt_evalframe = {"a frame evaluator", prepare, begin, see_new_threads, NULL};
