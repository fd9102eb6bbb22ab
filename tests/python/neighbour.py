"""A program with profilers and tracers of its own: the cases below, each between calls of begin() and end().

    python neighbour.py CASE,... [RECORD calls|lines]

Prints what the profiler or tracer was told and what the program can ask. With RECORD the run is the oracle: the calls
that would set a function set nothing (they are calls of other C functions, recorded under the names of the real ones),
and the oracle's own function of sys.setprofile, for `lines` of sys.settrace too, writes every event there, as in
driver.py. Between begin() and end() the oracle must go the same way, line by line. Runs on CPython 3.6 and later.
"""
import bdb
import cProfile
import functools
import gc
import os
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # 3.15 has one of `profile`
import profile

from neighbour_tools import *


@case
def pure_profile():
    """First: it does not stand what 3.12 and later tell after others have been there."""
    profiler = profile.Profile(bias=0, timer=lambda: 0.0)
    profiler.runcall(work)
    work(0)
    say(asked())
    later(lambda: statistics(profiler))


@case
def profile_around():
    seen = Seen("around")
    setprofile(seen)
    work()
    say(asked(seen))
    setprofile(None)
    say(asked(seen), seen.events)
    work()


@case
def profile_begun_inside():
    seen = Seen("inside")

    def inner(depth):
        if depth:
            return inner(depth - 1)
        setprofile(seen)
        return work()

    inner(3)
    leaf(1)
    work()
    say(asked(seen))
    setprofile(None)
    say(seen.events)


@case
def profile_ended_inside():
    seen = Seen("inside")

    def inner(depth):
        if depth:
            return inner(depth - 1)
        setprofile(None)
        return work()

    setprofile(seen)
    inner(3)
    say(asked(seen), seen.events)
    work()


@case
def profile_set_below_c_functions():
    """Calls of C functions are under way when the function is set or ended, and set again."""
    first, second = Seen("first"), Seen("second")
    for chosen in (first, None, second, second, None, None, first, None):
        functools.reduce(lambda a, b: setprofile(chosen), [1, 2])
        leaf(1)
        sorted([3, 1, 2], key=lambda number: leaf(number))
    sorted([1, 2, 3], key=lambda number: [number, setprofile((None, first, None, first)[number])])
    leaf(1)
    sorted([1, 2, 3], key=lambda number: [number, setprofile((None, None, first, None)[number])])
    leaf(1)
    sorted([2], key=lambda number: sorted([1], key=lambda more: [setprofile(None), setprofile(second)]))
    leaf(1)
    sorted([2], key=lambda number: sorted([1], key=lambda more: [setprofile(None), leaf(1), setprofile(first)]))
    setprofile(None)
    say(first.events, second.events)


@case
def profile_set_by_c_functions():
    seen = Seen("by C")
    list(map(setprofile, [seen]))
    work()
    list(map(setprofile, [None, seen, None]))
    functools.partial(setprofile, seen)()
    work()
    functools.partial(setprofile, None)()
    say(asked(seen), seen.events)


@case
def profile_replaced():
    first, second = Seen("first"), Seen("second")
    setprofile(first)
    work(0)
    setprofile(second)
    work(0)
    setprofile(first)
    work(0)
    say(asked(first, second))
    setprofile(first)
    setprofile(None)
    setprofile(None)
    say(asked(first, second), first.events, second.events)


@case
def profile_in_a_generator():
    seen = Seen("generator")

    def inner():
        yield 1
        setprofile(seen)
        yield leaf(2)
        yield leaf(3)
        setprofile(None)
        yield leaf(4)

    for _ in inner():
        leaf(1)
    say(seen.events)
    left = inner()
    next(left), next(left)
    left.close()
    work()
    setprofile(None)
    say(seen.events)


@case
def profile_changes_itself():
    """The function sets another one, ends itself, and sets itself again, while it is called."""
    def change(frame, event, function):
        if function == "leaf":
            sys.setprofile({"call": second, "return": None}.get(event))
            asks.append((event, asked(first, second)))
            if event == "return":
                sys.setprofile(first)

    asks = []
    first, second = Seen("first", inside=change), Seen("second", inside=change)
    setprofile(first)
    work()
    setprofile(None)
    say(asks, first.events, second.events)


@case
def profile_calls_tracing():
    def again(frame, event, function):
        if function == "leaf" and event == "call":
            sys.call_tracing(fails, ("12",))

    seen = Seen("call_tracing", inside=again)
    setprofile(seen)
    work()
    setprofile(None)
    say(seen.events)


@case
def wrong_calls():
    seen = Seen("wrong")
    setprofile(seen)
    for arguments in ((), (1, 2)):
        try:
            setprofile(*arguments)
        except TypeError as error:
            say(str(error).replace("callable", "setprofile"))
    setprofile(None)
    say(seen.events, asked(seen), repr(sys.setprofile), sys.setprofile.__doc__[:20], sys.setprofile.__self__ is sys)


@case
def profile_dies():
    """The last reference to a function is its being set."""
    class Mortal(Seen):
        def __del__(self):
            say("gone", asked())

    setprofile(Mortal("first"))
    leaf(1)
    setprofile(Mortal("second"))
    leaf(2)
    setprofile(None)
    settrace(Mortal("third", is_tracer=True))
    leaf(3)
    settrace(None)


@case
def trace_around():
    seen = Seen("around", is_tracer=True)
    settrace(seen)
    work()
    say(asked(seen))
    settrace(None)
    say(asked(seen), seen.events)
    work()


@case
def trace_begun_and_ended_inside():
    seen = Seen("inside", is_tracer=True)

    def inner(depth):
        if depth:
            leaf(depth)
            inner(depth - 1)
            return leaf(depth)
        settrace(seen)
        [sys._getframe(1), seen][IS_ORACLE].f_trace = seen
        return work()

    inner(3)
    work()
    say(asked(seen))
    (lambda: settrace(None))()
    work()
    say(seen.events)


@case
def trace_of_lines_and_opcodes():
    def choose(frame, event, argument):
        events.append((event, frame.f_code.co_name, frame.f_lineno))
        if hasattr(frame, "f_trace_lines"):
            frame.f_trace_lines = frame.f_code.co_name != "leaf"
            frame.f_trace_opcodes = frame.f_code.co_name == "leaf"
        return choose if frame.f_code.co_name != "fails" else None

    events = []
    if sys.version_info >= (3, 7):
        settrace(choose)
        leaf(3)
        settrace(None)
    say(events)


@case
def trace_jumps():
    """What a debugger's `jump` does."""
    def inner():
        number = 1
        number = 2
        leaf(number)
        number = 4
        return number

    def jump(frame, event, argument):
        events.append((event, frame.f_lineno - first))
        if event == "line" and frame.f_lineno - first == 2 and frame.f_code is inner.__code__:
            frame.f_lineno = first + 5
        return jump

    events, first = [], inner.__code__.co_firstlineno
    settrace(jump)
    inner()
    settrace(None)
    say(events)


@case
def profile_and_trace():
    profile, trace = Seen("profile"), Seen("trace", is_tracer=True)
    for start, stop in (((setprofile, settrace), (setprofile, settrace)), ((settrace, setprofile), (setprofile, settrace)),
                        ((setprofile, settrace), (settrace, setprofile)), ((settrace, setprofile), (settrace, setprofile))):
        for function in start:
            function(profile if function is setprofile else trace)
        work(1)
        say(asked(profile, trace))
        for function in stop:
            function(None)
        work(0)
    say(profile.events, trace.events)


@case
def cprofile_around():
    profiler = cProfile.Profile()
    enable, disable = ([].copy, [].__reversed__) if IS_ORACLE else (profiler.enable, profiler.disable)
    enable()
    work()
    say(type(sys.getprofile()).__name__)
    disable()
    say(asked())
    work()
    later(lambda: statistics(profiler))


def statistics(profiler):
    profiler.create_stats()
    return sorted((place[2].split(" at 0x")[0], counts[0], counts[1]) for place, counts in profiler.stats.items())


class Debugger(bdb.Bdb):
    def note(self, frame, what):
        self.steps.append((what, frame.f_code.co_name, frame.f_lineno))
        self.set_step()

    def user_call(self, frame, arguments):
        self.note(frame, "call")

    def user_line(self, frame):
        self.note(frame, "line")

    def user_return(self, frame, value):
        self.note(frame, "return")

    def user_exception(self, frame, information):
        self.note(frame, "exception")


@case
def debugger():
    watcher = Debugger()
    watcher.steps = []
    watcher.runcall(work)
    say(watcher.steps, asked())


@case
def debugger_set_trace():
    watcher = Debugger()
    watcher.steps = []
    watcher.set_trace()
    leaf(2)
    watcher.set_continue()
    say(watcher.steps, asked())
    work()


@case
def c_tools():
    """Profilers and tracers in C that call PyEval_SetProfile and PyEval_SetTrace themselves, in each order."""
    thing = Seen("an object")
    for kinds in ("pP", "tT", "pqP", "ptPT", "ptTP", "tpPT", "pptTPT", "TPtp", "PT"):
        for kind in kinds:
            set_by_tool(ord(kind), thing)
            work(0)
            say(kind, asked(thing), TOOL.neighbour_seen())


@case
def c_and_python_tools():
    seen, tracer = Seen("Python's"), Seen("Python's", is_tracer=True)
    for steps in ("pfF", "fpP", "fpF", "pfP", "tgG", "gtT", "gtG", "fptgPTFG"):
        for step in steps:
            if step in "fF":
                setprofile(seen if step == "f" else None)
            elif step in "gG":
                settrace(tracer if step == "g" else None)
            else:
                set_by_tool(ord(step), seen)
            work(0)
            say(step, asked(seen, tracer), TOOL.neighbour_seen())
    say(seen.events, tracer.events)


@case
def forked():
    seen = Seen("forked")
    setprofile(seen)
    child = os.fork()
    if not child:
        work(0)
        setprofile(None)
        os.write(1, repr(seen.events).encode())
        os._exit(0)
    os.waitpid(child, 0)
    setprofile(None)


def failing(setter, is_tracer):
    for number in range(60):
        seen = Seen("failing", fail_at=number, is_tracer=is_tracer)
        try:
            setter(seen)
            work()
        except RuntimeError as error:
            say(number, str(error), asked(seen))
        try:
            setter(None)
        except RuntimeError as error:
            say(number, str(error), asked(seen))
            setter(None)
        say(number, seen.events, asked(seen))


@case
def failing_profile():
    failing(sys.setprofile, False)


@case
def failing_trace():
    failing(sys.settrace, True)


@case
def cprofile_orders():
    """cProfile and a function of sys.setprofile, each begun in the other, ended in both orders."""
    seen = Seen("setprofile")
    for first, last in ((0, 0), (0, 1), (1, 0), (1, 1)):
        profiler = cProfile.Profile(builtins=True)
        enable, disable = ([].copy, [].__reversed__) if IS_ORACLE else (profiler.enable, profiler.disable)
        starts, stops = [enable, lambda: setprofile(seen)], [disable, lambda: setprofile(None)]
        try:
            starts[first]()
            work(0)
            starts[1 - first]()
            work(1)
        except ValueError as error:  # two cProfiles
            say(str(error))
        stops[last]()
        work(0)
        stops[1 - last]()
        say(asked(seen), seen.events)
        work(0)
        later(functools.partial(statistics, profiler))


def threaded(*functions):
    def run(function):
        thread_begin()
        function()
        thread_end()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:  # one after the other: the order of what is seen is the same in each run
        thread.start()
        thread.join()


@case
def threads_of_their_own():
    """A function set in one thread is not that of another."""
    seen, tracer = Seen("thread"), Seen("thread", is_tracer=True)

    def one():
        setprofile(seen)
        work(1)
        setprofile(None)
        work(0)

    def two():
        work(1)
        settrace(tracer)
        work(0)
        settrace(None)

    def three():  # ends with its functions set
        settrace(tracer)
        setprofile(seen)
        leaf(2)

    threaded(one, two, lambda: work(2), three)
    work(0)
    say(asked(seen, tracer))
    later(lambda: (only(seen.events), only(tracer.events)))


def only(events):
    """Without those of the standard library, which differ with a thread's timing."""
    names = {"work", "leaf", "fails", "numbers", "<lambda>", "len", "sum", "sorted", "one", "two", "three"}
    return [event for event in events if event.split(":")[1] in names]


@case
def threads_by_threading():
    seen, tracer = Seen("threading"), Seen("threading", is_tracer=True)
    threading.setprofile(ORACLE["profile"] or seen)
    threading.settrace(ORACLE["trace"] or tracer)
    threaded(lambda: work(1), lambda: work(2))
    threading.setprofile(ORACLE["profile"])
    threading.settrace(ORACLE["trace"])
    threaded(lambda: work(0))
    say(asked(seen, tracer))
    later(lambda: (only(seen.events), only(tracer.events)))


@case
def all_threads():
    if not hasattr(threading, "setprofile_all_threads"):
        return
    seen, tracer, go, done = Seen("all"), Seen("all", is_tracer=True), threading.Event(), threading.Event()

    def other():
        go.wait()
        work(1)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    threading.setprofile_all_threads(seen)
    threading.settrace_all_threads(tracer)
    go.set()
    done.wait()
    threading.settrace_all_threads(None)
    threading.setprofile_all_threads(None)
    thread.join()
    say(asked(seen, tracer))
    later(lambda: (only(seen.events), only(tracer.events)))


@case
def threads_with_small_stacks():
    seen = Seen("small")

    def inner():
        setprofile(seen)
        leaf(1)
        setprofile(None)

    for size in (32, 64, 256) if sys.version_info < (3, 14) else (64, 256):
        threading.stack_size(size << 10)
        threaded(inner, lambda: leaf(2))
    later(lambda: only(seen.events))


@case
def cprofile_dies_enabled():
    profiler = cProfile.Profile()
    enable = [].copy if IS_ORACLE else profiler.enable
    enable()
    work(0)
    setprofile(None)
    del profiler, enable
    gc.collect()
    work(0)
    say(asked())


@case
def left_set():
    """Functions that are still set when the program ends."""
    seen, tracer = Seen("left"), Seen("left", is_tracer=True)
    setprofile(seen)
    settrace(tracer)
    work(0)


# --- the run ----------------------------------------------------------------------------------------------------------

def main(names, record_path=None, kind=None):
    gc.disable()
    if os.environ.get("NEIGHBOUR_TAKES_IDS"):
        for number in (0, 1, 3, 4, 5):  # 2 is cProfile's
            sys.monitoring.use_tool_id(number, "neighbour")
    events = []
    if record_path:
        start_oracle(events, kind == "lines")
    for name in names.split(","):
        say(name)
        begin()
        CASES[name]()
        end()
        later(lambda name=name: name)
    if record_path:
        sys.setprofile(None)
        sys.settrace(None)
        with open(record_path, "w", encoding="ascii") as out:
            for event, file, line, function, thread in events:
                out.write("%s %s %d %s %d\n" % (event, to_hex(file), line, to_hex(function), thread))
        return
    settrace(None)  # of the last case
    setprofile(None)
    for what in OUTPUT + [(function(),) for function in LATER]:
        print(*what)


if __name__ == "__main__":
    main(*sys.argv[1:])
