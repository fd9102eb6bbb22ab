/* events.c: where events come from. Every engine tells the same events; the first that can serve is taken.
 *
 *    CPython -> engine -> pmt_events_log(what, code, position) -> log.c
 *
 * Until Python is ready the profile function waits; its first event, a CALL, is logged, and the chosen engine begins.
 */
#include "pyhooks.h"

#include "poison.h"

/* Cheapest first. */
static const struct pmt_engine *const engines[] = {&pmt_evalframe, &pmt_profiler};

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
    py.PyEval_SetProfile(NULL, NULL);
    if (!engine) {
        pmt_events_state = PMT_IDLE;
        return 0;
    }
    pmt_events_state = PMT_LOGGING;
    PyObject *code = pmt_pyver_place(frame, &position);
    pmt_events_log(PMT_CALL, code, position, NULL);
    engine->begin();
    return 0;
}

/* An interpreter starts. */
void pmt_events_start(void)
{
    engine = NULL;
    for (size_t i = 0; i < sizeof engines / sizeof *engines && pmt_config.events != PMT_EVENTS_OFF; i++)
        if (engines[i]->prepare()) {
            engine = engines[i];
            pmt_say(PMT_VERBOSE_DECISIONS, "events by %s", engine->name);
            break;
        }
    pmt_events_state = PMT_WAITING;
    py.PyEval_SetProfile(wait_until_ready, NULL);
}

/* Python is about to be torn down. Other threads may still come by; they find IDLE. */
void pmt_events_stop(void)
{
    pmt_events_state = PMT_IDLE; /* hooks stay: those set by now may be somebody else's */
}

/* A thread is about to be made; called without knowing who holds the GIL. */
void pmt_events_thread_created(void)
{
    PyThreadState *current =
        pmt_events_state == PMT_LOGGING && engine->see_new_threads ? pmt_pyver_current_thread() : NULL;
    if (current)
        engine->see_new_threads(current);
}
