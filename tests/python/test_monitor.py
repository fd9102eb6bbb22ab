"""Monitoring, the engine of CPython 3.12 and later, beside others: tools of sys.monitoring, profilers, tracers, other
interpreters, forks, threads. Programs (scripts/tools.py) are told and print what they do without pmt, in every mode;
and the event log shows work() as when nobody else looks on.
"""
import functools
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import between, check_same, check_whole, event_of
from pmttest import check, each, equal, main, run, skip, test

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "scripts", "tools.py")
PYTHONS = [python for python in pmttest.PYTHONS if python.version >= (3, 12)]
MODES = ("python", "calls", "lines")
FLAGS = ["-S", "-s", "-B"]
ENV = {"PYTHONHASHSEED": "0", "PYTHONPATH": None}
FALLS_BACK = "pmt: sys.monitoring cannot be used: the program uses all its tool ids; events by another way, at a higher cost"
with open(PROGRAM, encoding="ascii") as source:
    CASES = re.findall(r"^@case\ndef (\w+)", source.read(), re.M)


class Case:
    def __init__(self, python, mode, name=None):
        self.python, self.mode, self.name = python, mode, name

    def __str__(self):
        return " ".join(str(part) for part in (self.name, self.mode, self.python) if part)


def stretches(path):
    """What each call of work() shows in the log."""
    found, begin = [], None
    rows = [event_of(row) for row in check_whole(path, threshold=0)]
    for index, row in enumerate(rows):
        if row.function == b"work" and row.what in ("CALL", "RETURN"):
            if row.what == "RETURN":
                found.append(rows[begin:index + 1])
            begin = index
    return found


@functools.lru_cache(maxsize=None)
def stretch_of_nobody(path, mode):
    result = run([path, *FLAGS, PROGRAM, "nobody"], env=ENV, events=mode, threshold=0)
    found = stretches(result.logs[0])
    equal(len(found), 1, "the calls of work()")
    return found[0]


@each([Case(python, mode, name) for name in CASES for python in PYTHONS for mode in MODES])
def same_as_without_pmt(case):
    argv = [case.python.path, *FLAGS, PROGRAM, case.name]
    plain = run(argv, pmt=False, env=ENV)
    equal((plain.status, plain.err), (0, ""), "the end without pmt")
    result = run(argv, env=ENV, events=case.mode, threshold=0)
    equal((result.status, result.err), (0, ""), "the end with pmt")
    check_same(result.out.splitlines(), plain.out.splitlines(), "lines printed")
    equal(result.pmt_lines, [FALLS_BACK] if case.name == "all_ids" else [], "lines of pmt")
    found = [stretch for log in result.logs for stretch in stretches(log)]
    check(found, "no call of work() in the log")
    if case.name == "all_ids" and case.mode == "lines":  # the other way may have no rows of lines
        return
    for stretch in found:
        check_same(stretch, stretch_of_nobody(case.python.path, case.mode), "rows of work()")


# --- the end of the stack, of threads, of the interpreter ---------------------------------------------------------------

DEEP = """import sys
def down(depth):
    return depth and down(depth - 1)
def fails(depth):
    return fails(depth - 1) if depth else [][0]
def limited():
    return 1 + limited()
class Made:
    def __init__(self, depth):
        self.inner = Made(depth - 1) if depth else None
def generated(depth):
    if depth:
        yield from generated(depth - 1)
    yield depth
for function in (limited, lambda: Made(100000)):
    try:
        function()
    except RecursionError as error:
        print(error)
sys.setrecursionlimit(10 ** 6)
print(down(100000), len(list(generated(1000))))
try:
    fails(100000)
except IndexError as error:
    print(error)
"""


@each([Case(python, mode) for python in PYTHONS for mode in MODES])
def deep_recursion(case):
    argv = [case.python.path, *FLAGS, "-c", DEEP]
    plain, result = (run(argv, pmt=pmt, env=ENV, **({"events": case.mode} if pmt else {})) for pmt in (False, True))
    equal((plain.status, plain.err), (0, ""), "the end without pmt")
    equal((result.status, result.out, result.err, result.pmt_lines), (0, plain.out, "", []), "the end with pmt")


THREADS = """import _thread, ctypes, threading
def called(name): return name
def of_python(): called("python"); done.release()
def of_c(unused): called("c"); return 0
done = _thread.allocate_lock(); done.acquire()
_thread.start_new_thread(of_python, ()); done.acquire()
libc = ctypes.CDLL(None)
callback, handle = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(of_c), ctypes.c_ulong()
libc.pthread_join.argtypes = ctypes.c_ulong, ctypes.c_void_p
assert libc.pthread_create(ctypes.byref(handle), None, callback, None) == 0
assert libc.pthread_join(handle, None) == 0
"""


@each([Case(python, mode) for python in PYTHONS for mode in MODES])
def threads_of_python_and_of_c(case):
    result = run([case.python.path, *FLAGS, "-c", THREADS], env=ENV, events=case.mode, threshold=0)
    if "ctypes" in result.err:
        skip("this Python has no ctypes")
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of the program")
    rows = check_whole(result.logs[0], threshold=0)
    for name in ("of_python", "of_c"):
        mine = [row for row in rows if row.function == name]
        equal([row.what for row in mine if row.what in ("CALL", "RETURN")], ["CALL", "RETURN"], "rows of %s" % name)
        inner = [row.what for row in rows if row.tid == mine[0].tid and row.function == "called"]
        check(mine[0].tid and inner[0] == "CALL" and inner[-1] == "RETURN", "rows of the thread of %s" % name, inner)


DAEMONS = """import atexit, sys, threading, time
def busy(depth):
    return busy(depth - 1) if depth else len("x")
def forever():
    while True:
        busy(5)
class AtTheEnd:
    def __del__(self):
        busy(3)
kept = AtTheEnd()
sys.kept = AtTheEnd()
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
atexit.register(busy, 2)
time.sleep(0.02)
print("end")
"""


@each([Case(python, mode) for python in PYTHONS for mode in MODES])
def threads_that_outlive_python(case):
    for _ in range(5):
        result = run([case.python.path, *FLAGS, "-c", DAEMONS], env=ENV, events=case.mode)
        equal((result.status, result.out, result.err, result.pmt_lines), (0, "end\n", "", []), "the end of the program")
        check_whole(result.logs[0])


TAKEN = """import sys
for id in range(6):
    sys.monitoring.use_tool_id(id, "taken")
"""


@each([Case(python, mode) for python in PYTHONS for mode in MODES])
def ids_taken_before_the_program(case):
    """By the site, when nothing is logged yet: events come another way from the first on."""
    folder = pmttest.scratch()
    for name, text in (("sitecustomize", TAKEN), ("program", "def called(): return len('x')\ncalled()\n")):
        with open(os.path.join(folder, name + ".py"), "w", encoding="ascii") as file:
            file.write(text)
    program = os.path.join(folder, "program.py")
    result = run([case.python.path, "-B", program], env=dict(ENV, PYTHONPATH=folder), events=case.mode, threshold=0)
    equal((result.status, result.err, result.pmt_lines), (0, "", [FALLS_BACK]), "the end of the program")
    rows = [row for row in check_whole(result.logs[0], threshold=0) if row.file == program]
    got = [(row.what, row.function) for row in rows if row.what not in ("LINE", "EXCEPT")]
    inner = [("C_CALL", "len"), ("C_RETURN", "len")] if case.mode != "python" else []
    equal(got, [("CALL", "<module>"), ("CALL", "called"), *inner, ("RETURN", "called"), ("RETURN", "<module>")],
          "the rows")


@each(PYTHONS)
def events_made_by_extensions(python):
    """With the C API for monitoring (3.13) anything may be told as code."""
    suite = "test.test_monitoring.TestCApiEventGeneration"
    probe = [python.path, "-c", "import _testcapi, test.test_monitoring as tests; tests.TestCApiEventGeneration"]
    if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode != 0:
        skip("this Python has no such tests")
    result = run([python.path, "-m", "unittest", suite], env=ENV, threshold=0, cwd=pmttest.scratch())
    equal((result.status, result.pmt_lines), (0, []), "the end of %s" % suite)
    rows = check_whole(result.logs[0], threshold=0)
    check(any(row.file == "" and row.function == "" for row in rows), "no row of something that is no code")


if not PYTHONS:
    @test
    def no_interpreter():
        skip("no CPython 3.12 or later here")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
