/* events.c: where events come from. Every engine tells the same events; the first that can serve is taken.
 *
 *    CPython -> engine -> pmt_events_log(what, code, position) -> log.c
 *
 * Until Python is ready the profile function waits; its first event, a CALL, is logged, and the chosen engine begins.
 */
#include "pyhooks.h"

#include "poison.h"

/* Cheapest first. */
static const struct pmt_engine *const engines[] = {&pmt_evalframe, &pmt_monitor, &pmt_profiler};

static const struct pmt_engine *engine; /* Protected by the GIL, as all here. */
enum pmt_events_state pmt_events_state;

/* In place of a profile function, until Python is ready. */
static int wait_until_ready(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    int64_t position;
    (void)unused;
    (void)argument;
    if (pmt_events_state != PMT_WAITING || !pmt_attach_wait(frame, what))
        return 0;
    pmt_events_state = engine ? PMT_LOGGING : PMT_IDLE;
    if (!engine || engine != &pmt_profiler)
        pmt_slots_observe(py.PyThreadState_Get(), PMT_SLOT_PROFILE, NULL);
    if (!engine)
        return 0;
    PyObject *code = pmt_pyver_place(frame, &position);
    pmt_events_log(PMT_CALL, code, position, NULL);
    engine->begin();
    return 0;
}

PMT_SLOW void pmt_events_log_slow(enum pmt_what what, PyObject *code, int64_t position, const char *c_name)
{
    int thread = pmt_thread_id();
    if (pmt_events_state == PMT_LOGGING && pmt_state == PMT_ON)
        pmt_log_event(what, thread == pmt_pid ? 0 : thread, code, position, c_name);
}

static void choose_engine(size_t first)
{
    engine = NULL;
    for (size_t i = first; i < sizeof engines / sizeof *engines && pmt_config.events != PMT_EVENTS_OFF; i++)
        if (engines[i]->prepare()) {
            engine = engines[i];
            pmt_say(PMT_VERBOSE_DECISIONS, "events by %s", engine->name);
            break;
        }
}

/* The engine can serve no longer: the next one that can takes over, if need be in the middle of things. */
void pmt_events_fall_back(void)
{
    size_t at = 0;
    while (engines[at] != engine)
        at++;
    choose_engine(at + 1);
    if (!engine || pmt_events_state != PMT_LOGGING)
        return;
    engine->begin();
    if (engine->see_new_threads)
        engine->see_new_threads(py.PyThreadState_Get());
}

/* An interpreter starts. */
void pmt_events_start(const struct pmt_elf *python)
{
    choose_engine(0);
    pmt_events_state = PMT_WAITING;
    pmt_slots_start(py.PyThreadState_Get(), wait_until_ready,
                    engine == &pmt_profiler && pmt_config.events == PMT_EVENTS_LINES);
    pmt_setters_start(python);
}

/* Python is about to be torn down. Other threads may still come by; they find IDLE. A hook that may be somebody else's
 * by now stays. */
void pmt_events_stop(void)
{
    bool was_logging = pmt_events_state == PMT_LOGGING;
    pmt_events_state = PMT_IDLE;
    if (was_logging && engine->end)
        engine->end();
}

/* A thread is about to be made; called without knowing who holds the GIL. */
void pmt_events_thread_created(void)
{
    PyThreadState *current =
        pmt_events_state == PMT_LOGGING && engine->see_new_threads ? pmt_pyver_current_thread() : NULL;
    if (current)
        engine->see_new_threads(current);
}
