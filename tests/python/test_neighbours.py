"""Programs with profilers and tracers of their own (neighbour.py): what they are told, what they print and what they can
ask is as without pmt, and the event log is that of sys.setprofile and sys.settrace as if nobody else were there. On every
CPython found.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import C_ROWS, between, check_same, check_whole, event_of, read_oracle, stretches
from pmttest import PYTHONS, check, each, equal, main, run

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "neighbour.py")
FLAGS = ["-S", "-s", "-B"]
LIBRARY = os.path.join(pmttest.BUILD, "tests", "lib_neighbour.so")
ENV = {"PYTHONHASHSEED": "0", "PYTHONPATH": None, "NEIGHBOUR": LIBRARY}
with open(PROGRAM, encoding="utf-8") as source:
    CASES = re.findall(r"^@case\ndef (\w+)", source.read(), re.M)
# Of these only what the program sees is compared. Functions that raise are ended by that, in the oracle as well; and
# some go another way than without them.
WITHOUT_ORACLE = ("failing_profile", "failing_trace", "left_set", "forked", "profile_calls_tracing", "all_threads",
                  "trace_of_lines_and_opcodes", "trace_jumps", "debugger_set_trace", "profile_dies")
# Of these the rows of the main thread depend on when the others begin.
WITH_THREADS = ("threads_of_their_own", "threads_by_threading", "threads_with_small_stacks")


class Case:
    def __init__(self, python, events):
        self.python, self.events = python, events

    def __str__(self):
        return "%s %s" % (self.events, self.python)


def expected_rows(case):
    """The oracle's events: of the main thread, of the others."""
    names = [name for name in CASES if name not in WITHOUT_ORACLE]
    record = os.path.join(pmttest.scratch(), "record")
    result = run([case.python.path, *FLAGS, PROGRAM, ",".join(names), record, case.events], pmt=False, env=ENV, timeout=300)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    main_thread, *others = [[event for event in thread if case.events != "python" or event.what not in C_ROWS]
                            for thread in read_oracle(record)]
    return main_thread, others


def regions(events):
    """{case: its events} of the main thread."""
    found = {}
    while any(event.function == b"begin" for event in events):
        region = between(events, b"begin", b"end")
        name = next(event.function for event in region if event.what == "CALL")
        found[name.decode()] = region
        events = events[[(event.what, event.function) for event in events].index(("RETURN", b"end")) + 1:]
    return found


def compare_rows(rows, case):
    threads = {}
    for row in rows:
        threads.setdefault(row.tid, []).append(event_of(row))
    got, (main_thread, others) = regions(threads.pop(None)), expected_rows(case)
    for name, expected in regions(main_thread).items():
        if name not in WITH_THREADS:
            check_same(got[name], expected, "%s: events" % name)
    got, expected = sorted(stretches(threads.values())), sorted(stretches(others))
    equal(len(got), len(expected), "the number of threads")
    for stretch, theirs in zip(got, expected):
        check_same(stretch, theirs, "events of a thread")


def without_strays(line):
    """A line without the ends of C functions whose beginning is not in it."""
    open_calls, kept = [], []
    for word in line.split(", "):
        event = re.search(r"'(\w+):([^:']+):\d+'", word)
        what, name = event.groups() if event else (None, None)
        if what == "c_call":
            open_calls.append(name)
        elif what in ("c_return", "c_exception"):
            if name not in open_calls:
                kept.append(re.sub(r"'[^']*'", "", word))  # the brackets of its list stay
                continue
            while open_calls.pop() != name:
                pass
        kept.append(word)
    return ", ".join(word for word in kept if word).replace("[, ", "[")


def printed(text, case):
    """From 3.12 on a program that sets a profile function is told of the return of every C function that is under way, if
    the code was instrumented before, for cProfile or for us. With a frame evaluator 3.11 keeps the arguments of a call on
    the caller's stack as well: sys.getrefcount() says one more."""
    if case.python.version[:2] == (3, 11) and case.events == "python":
        text = re.sub(r", \[[\d, ]+\]\]", "]", text)
    if case.python.version < (3, 12):
        return text.splitlines()
    lines = re.sub(r"'c_return:setprofile:\d+'(, )?", "", text).splitlines()
    below = lines.index("profile_set_below_c_functions") + 1
    lines[below] = re.sub(r"'c_return:(reduce|sorted):\d+'(, )?", "", lines[below])
    return [without_strays(line) for line in lines]


def compare(case, env, expected_lines):
    command = [case.python.path, *FLAGS, PROGRAM, ",".join(CASES)]
    before = run(command, pmt=False, env=env, timeout=300)
    equal((before.status, before.err), (0, ""), "the end without pmt")
    result = run(command, env=env, timeout=300, threshold=0, events=case.events)
    equal((result.status, result.err, result.pmt_lines), (0, "", expected_lines), "the end with pmt")
    check_same(printed(result.out, case), printed(before.out, case), "lines printed")
    mine = [log for log in result.logs if log.endswith("_%d.log" % result.pid)]
    equal(len(mine), 1, "the number of the program's logs")
    equal(len(result.logs), 2, "the number of logs, with that of the child")
    compare_rows(check_whole(mine[0], threshold=0), case)


@each([Case(python, events) for events in ("calls", "lines", "python") for python in PYTHONS])
def same_as_without_pmt(case):
    compare(case, ENV, [])


@each([Case(python, events) for events in ("calls", "lines", "python") for python in PYTHONS
       if python.version >= (3, 12)])
def same_when_tool_ids_are_taken(case):
    """Where the program has all tool ids of sys.monitoring, events come from a profile and a trace function."""
    compare(case, dict(ENV, NEIGHBOUR_TAKES_IDS="1"), [
        "pmt: sys.monitoring cannot be used: the program uses all its tool ids; events by another way, at a higher cost"])


# --- the debugger, with what is typed into it --------------------------------------------------------------------------

TYPED = """
b add
c
w
n
n
p total
until
r
!number = 5
cl 1
b 34
c
jump 35
p first, second
s
s
display last
u
d
tbreak numbers
debug add(2)
n
c
retval
a
ll
c
restart
b fails
c
u
n
n
n
interact
q
"""


@each([Case(python, events) for events in ("calls", "lines", "python") for python in PYTHONS])
def debugger_session(case):
    """Breakpoints, steps, a jump, a nested debugger, a second run: what pdb prints is the same."""
    command = [case.python.path, *FLAGS, "-m", "pdb", os.path.join(HERE, "debugged.py")]
    before = run(command, pmt=False, env=ENV, stdin=TYPED)
    check("Deleted breakpoint 1" in before.out and "-> skipped = last" in before.out, "the session did nothing", before.out)
    result = run(command, env=ENV, stdin=TYPED, events=case.events, threshold=0)
    check_same(result.out.splitlines(), before.out.splitlines(), "lines of pdb")
    equal((result.status, result.err, result.pmt_lines), (before.status, before.err, []), "the end with pmt")


# --- before our own start, and what is audited ------------------------------------------------------------------------

SITE = """
import sys, threading
seen = []
def profile(frame, event, argument):
    seen.append((event, frame.f_code.co_name))
def trace(frame, event, argument):
    seen.append((event, frame.f_code.co_name, frame.f_lineno))
    return trace
threading.setprofile(profile)
sys.setprofile(profile)
sys.settrace(trace)
"""
AFTER_SITE = """
import sys, sitecustomize
def work():
    return len("x")
work()
sys.settrace(None)
work()
print(sys.getprofile() is sitecustomize.profile)
sys.setprofile(None)
work()
print(*sitecustomize.seen, sep="\\n")
"""


@each([Case(python, events) for events in ("calls", "lines", "python") for python in PYTHONS])
def set_before_we_begin(case):
    """sitecustomize sets a profile and a trace function."""
    folder = pmttest.scratch()
    with open(os.path.join(folder, "sitecustomize.py"), "w", encoding="ascii") as file:
        file.write(SITE)
    command, env = [case.python.path, "-s", "-B", "-c", AFTER_SITE], dict(ENV, PYTHONPATH=folder)
    before = run(command, pmt=False, env=env)
    result = run(command, env=env, events=case.events, threshold=0)
    equal((result.status, result.err, result.pmt_lines), (before.status, before.err, []), "the end with pmt")
    check_same(result.out.splitlines(), before.out.splitlines(), "lines printed")
    events = [event_of(row) for row in check_whole(result.logs[0], threshold=0)]
    equal([event.what for event in events if event.function == b"work"], (
        ["CALL", "LINE", "RETURN"] if case.events == "lines" else ["CALL", "RETURN"]) * 3, "events of work()")


AUDITED = """
import sys, threading
heard = []
sys.addaudithook(lambda name, arguments: heard.append(name) if name.startswith("sys.set") else None)
def hook(*arguments):
    pass
def work():
    sys.setprofile(hook); sys.settrace(hook); sys.setprofile(None); sys.settrace(None)
work()
threading.setprofile(hook)
thread = threading.Thread(target=work)
thread.start(); thread.join()
def refuse(name, arguments):
    if name.startswith("sys.set"):
        raise RuntimeError(name)
sys.addaudithook(refuse)
for setter in (sys.setprofile, sys.settrace):
    try:
        setter(hook)
    except RuntimeError as error:
        print(repr(error))
print(sys.getprofile(), sys.gettrace(), heard)
"""


@each([Case(python, events) for events in ("calls", "lines") for python in PYTHONS if python.version >= (3, 8)])
def audited(case):
    """An audit hook of the program's hears nothing of ours, and may refuse its own functions."""
    command = [case.python.path, *FLAGS, "-c", AUDITED]
    before, result = run(command, pmt=False, env=ENV), run(command, env=ENV, events=case.events)
    equal((result.status, result.out, result.err, result.pmt_lines), (before.status, before.out, before.err, []), "the end")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
