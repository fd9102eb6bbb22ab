"""Programs that use sys.monitoring, or a profiler or debugger, themselves: prints what these are told and can ask.

    python tools.py CASE

Each case calls work() while somebody looks on, and the rows of work() in the event log must be the same whoever does.
CPython 3.12 and later.
"""
import gc
import os
import sys

MONITORING, EVENTS = sys.monitoring, sys.monitoring.events
DIRECT = {"PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "PY_UNWIND", "PY_THROW", "C_RETURN",
          "C_RAISE", "RAISE", "JUMP"}
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


# --- what is looked at ------------------------------------------------------------------------------------------------

def leaf(number):
    return len("x" * number)


def numbers(stop):
    for number in range(stop): yield str(number)


def fails(text):
    return int(text)


def work():
    total = sum(map(leaf, range(3)))
    try:
        fails("no number")
    except ValueError as error:
        str(error)
    text = "".join(numbers(3))
    return total, sorted(text, key=ord), str.upper(text)


# --- who looks on -----------------------------------------------------------------------------------------------------

class Tool:
    """A tool of sys.monitoring that keeps what it is told, but for what happens in this class."""

    def __init__(self, id, names, disables=False):
        self.id, self.told = id, []
        MONITORING.use_tool_id(id, "tool %d" % id)
        self.mask = 0
        for name in names:
            self.mask |= getattr(EVENTS, name)
            old = MONITORING.register_callback(id, getattr(EVENTS, name), self.callback(name, disables))
            assert old is None, old

    def callback(self, name, disables):
        def called(code, place, *rest):
            if code.co_filename == __file__:
                what = getattr(rest[0], "__name__", type(rest[0]).__name__) if rest and name != "JUMP" else ""
                self.told.append("%s:%s:%s%s" % (name, code.co_name, place, what and ":" + what))
            return MONITORING.DISABLE if disables else None
        return called

    def __str__(self):
        return "%d %s %s: %s" % (self.id, MONITORING.get_tool(self.id), MONITORING.get_events(self.id),
                                 " ".join(self.told))

    def free(self):
        for name in DIRECT:
            MONITORING.register_callback(self.id, getattr(EVENTS, name), None)
        MONITORING.free_tool_id(self.id)


def watch(id, names):
    """The function itself is not watched: it has begun."""
    tool = Tool(id, names)
    MONITORING.set_events(id, tool.mask)
    work()
    MONITORING.set_events(id, 0)
    work()
    print(tool)
    tool.free()


@case
def nobody():
    work()


@case
def each_id():
    for id in range(6):
        watch(id, DIRECT - {"LINE", "JUMP"})
        watch(id, {"PY_START", "LINE"})
        watch(id, {"CALL", "JUMP"})


@case
def several_ids():
    tools = [Tool(id, names) for id, names in ((3, {"PY_START", "PY_RETURN"}), (4, {"CALL", "C_RETURN", "C_RAISE"}),
                                               (5, {"LINE"}), (0, {"RAISE"}))]
    for tool in tools:
        MONITORING.set_events(tool.id, tool.mask)
        work()
    for tool in tools:
        print(tool)
        MONITORING.set_events(tool.id, 0)
        tool.free()
        work()


@case
def all_ids():
    tools = [Tool(id, {"PY_START"}) for id in range(6)]
    for tool in tools:
        MONITORING.set_events(tool.id, tool.mask)
    work()
    for tool in tools:
        MONITORING.set_events(tool.id, 0)
    work()
    print(*tools, sep="\n")


@case
def asked():
    """Nothing is to be seen of us."""
    def ask():
        print([MONITORING.get_tool(id) for id in range(6)], [MONITORING.get_events(id) for id in range(6)],
              MONITORING._all_events(), sys.getprofile(), sys.gettrace())

    ask()
    for id in range(6):
        work()
        print([MONITORING.register_callback(id, 1 << number, None) for number in range(15)])
        for function in (lambda: MONITORING.set_events(id, EVENTS.CALL), lambda: MONITORING.get_events(id),
                         lambda: MONITORING.set_local_events(id, work.__code__, EVENTS.LINE),
                         lambda: MONITORING.get_local_events(id, work.__code__), lambda: MONITORING.free_tool_id(id),
                         lambda: MONITORING.use_tool_id(id, 1), lambda: MONITORING.get_tool(str(id))):
            try:
                print(id, function())
            except (ValueError, TypeError) as error:
                print(id, error)
    for strange in (-1, 6, 2 ** 70, True, "4", None):
        try:
            print(strange, MONITORING.get_tool(strange))
        except (ValueError, TypeError, OverflowError) as error:
            print(strange, error)
    ask()
    print([thing for thing in gc.get_objects() if callable(thing) and getattr(thing, "__name__", "") == "pmt"])


@case
def disabled_and_restarted():
    tool = Tool(4, {"PY_START", "LINE", "CALL", "JUMP"}, disables=True)
    MONITORING.set_events(4, tool.mask)
    work()
    work()
    tool.told.append("restart")
    MONITORING.restart_events()
    work()
    MONITORING.set_events(4, 0)
    print(tool)


@case
def local_events():
    tool = Tool(3, {"CALL", "C_RETURN", "LINE"})
    MONITORING.set_local_events(3, leaf.__code__, EVENTS.CALL | EVENTS.LINE)
    work()
    MONITORING.set_local_events(3, sys._getframe().f_code, EVENTS.CALL)
    MONITORING.set_events(3, EVENTS.CALL)
    work()
    MONITORING.set_events(3, EVENTS.CALL | EVENTS.LINE)
    work()
    MONITORING.set_events(3, 0)
    print(tool, MONITORING.get_local_events(3, leaf.__code__))


@case
def begun_in_an_expression():
    tool = Tool(2, {"CALL", "C_RETURN", "C_RAISE"})
    print(MONITORING.set_events(2, tool.mask), MONITORING.get_events(2), work())
    MONITORING.set_events(2, 0)
    print(tool)


@case
def begun_wrongly():
    for arguments in ((2, EVENTS.CALL), (2, EVENTS.C_RETURN), (2, 1 << 40), (2, -1), (2,), (2, "x"), (9, EVENTS.CALL)):
        for _ in range(2):
            try:
                MONITORING.set_events(*arguments)
            except (ValueError, TypeError, OverflowError) as error:
                print(arguments, error)
            if MONITORING.get_tool(2) is None:
                MONITORING.use_tool_id(2, "wrong")
        work()
    print(MONITORING.get_events(2))


def profiled(set_function):
    told = []

    def seen(frame, event, argument):
        if frame.f_code.co_filename == __file__:
            told.append("%s:%s:%s:%s" % (event, frame.f_code.co_name, frame.f_lineno,
                                         getattr(argument, "__name__", "")))
        return seen
    set_function(seen)
    work()
    set_function(None)
    work()
    print(*told)


@case
def setprofile():
    profiled(sys.setprofile)
    print(sys.getprofile())


@case
def setprofile_over_another():
    sys.setprofile(lambda *arguments: None)
    profiled(sys.setprofile)


@case
def setprofile_by_c():
    profiled(lambda function: list(map(sys.setprofile, [function])))


@case
def setprofile_of_all_threads():
    import threading
    profiled(threading.setprofile_all_threads)


@case
def settrace():
    profiled(sys.settrace)


def stop_at_opcodes():
    frame, told = sys._getframe().f_back, []

    def seen(frame, event, argument):
        told.append("%s:%s" % (event, frame.f_lineno))
        return seen
    frame.f_trace = seen
    frame.f_trace_opcodes = True
    sys.settrace(seen)
    return told


@case
def traced_by_opcodes():
    told = stop_at_opcodes()
    work()
    sys.settrace(None)
    print(*told)


def print_calls(profiler):
    import pstats
    calls = pstats.Stats(profiler).stats
    print(sorted((key[1:], value[:2]) for key, value in calls.items() if key[0] in (__file__, "~")))


@case
def cprofile():
    import cProfile
    for times in range(2):
        profiler = cProfile.Profile()
        profiler.enable()
        work()
        profiler.disable()
        work()
        print_calls(profiler)


@case
def profile_in_python():
    import profile
    profiler = profile.Profile(bias=0)
    profiler.runcall(work)
    print_calls(profiler)


@case
def forked():
    pid = os.fork()
    if pid == 0:
        watch(4, {"PY_START", "CALL", "C_RETURN", "C_RAISE"})
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    watch(4, {"PY_START", "CALL", "C_RETURN", "C_RAISE"})


@case
def other_interpreters():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    for _ in range(2):
        other = interpreters.create()
        interpreters.run_string(other, """if True:
            import sys
            def called(): pass
            for id in range(6):
                sys.monitoring.use_tool_id(id, "other")
                sys.monitoring.set_events(id, sys.monitoring.events.CALL)
                called()
            print([sys.monitoring.get_tool(id) for id in range(6)], flush=True)
            sys.setprofile(lambda *arguments: None)
            called()""")
        work()
        interpreters.destroy(other)
    work()


def main():
    CASES[sys.argv[1]]()
    sys.stdout.flush()


main()
