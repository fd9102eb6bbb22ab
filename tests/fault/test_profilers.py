"""FAULTS.md 26: other profilers, tracers, debuggers and checking allocators in the same program. They say what they say
without pmt, their hooks are theirs, and the program does what it does. That our figures stay right beside them is
tested in tests/python."""
import os
import re
import sys

from faulttest import both, check_complete, only_log, pmttest, program, python_argv
from pmttest import check, each, equal, main, run, scratch, skip, some_pythons

EVERY, SOME = pmttest.PYTHONS, some_pythons()
TOOLS = re.search(r"^TOOLS = \[(.*)\]$", open(program("profiled.py")).read(), re.MULTILINE)[1].split(", ")


def hide(text):
    """Addresses, and the line at which a thread happens to wait."""
    return re.sub(r"0x[0-9a-f]+|line \d+ in (wait|_wait_for_tstate_lock|join|start)\b", "...", text)


@each([(python, "calls", tool) for python in EVERY for tool in TOOLS] +
      [(python, events, tool) for python in SOME for events in ("python", "lines") for tool in TOOLS])
def tool_of_python(case):
    python, events, tool = case
    only_log(both(python_argv(python, "profiled.py", tool), events=events, threshold=1, normalise=hide))


# ---- allocators of CPython that check, and its development mode

ALLOCATORS = ("malloc", "malloc_debug", "pymalloc", "pymalloc_debug", "debug")


@each([(python, name) for python in EVERY for name in ALLOCATORS])
def allocator_of_choice(case):
    python, name = case
    check_complete(only_log(both(python_argv(python, "events.py", 1000), env={"PYTHONMALLOC": name})), 1000)


FLAGS = {"dev": ["-X", "dev"], "tracemalloc": ["-X", "tracemalloc=5"], "faulthandler": ["-X", "faulthandler"],
         "optimised": ["-OO"], "verbose": ["-v"], "bytes warnings": ["-bb"]}


def hide_verbose(text):
    """Addresses; and what -v tells of modules that pmt uses too: the import of atexit, the end of sys.monitoring."""
    return re.sub(r"0x[0-9a-f]+", "...", re.sub(r"(?m)^.*\b(atexit|sys\.monitoring)\b.*\n", "", text))


@each([(python, name) for python in EVERY for name in FLAGS])
def flags_of_python(case):
    python, name = case
    if name == "dev" and python.version < (3, 7):
        skip("3.6 has no -X dev")
    argv = python_argv(python, "events.py", 1000)
    result = both(argv[:1] + FLAGS[name] + argv[1:], normalise=hide_verbose)
    check_complete(only_log(result), 1000)


COMMANDS = "break %s:%d\ncontinue\nwhere\nstep\nreturn\nnext\nclear 1\nprint(depth)\ncontinue\nquit\n"


@each([(python, events) for python in EVERY for events in ("python", "calls")])
def pdb(case):
    python, events = case
    file = program("profiled.py")
    line = open(file).read().split("witness.step()")[0].count("\n") + 1
    result = both([python.path, "-B", "-m", "pdb", file, "traced_memory"], stdin=COMMANDS % (file, line), events=events,
                  threshold=1, normalise=hide)
    check("-> witness.step()" in result.plain.out and "(Pdb) 5\n" in result.plain.out, "pdb did not stop", result.plain.out)


@each([(python, events) for python in EVERY for events in ("python", "calls")])
def cprofile_of_a_program(case):
    """python -m cProfile: how often the functions of the program were called."""
    python, events = case
    argv = [python.path, "-B", "-m", "cProfile", "-s", "ncalls", program("profiled.py"), "count_lines"]
    result = both(argv, events=events, threshold=1, normalise=hide_times)
    check("profiled.py:" in hide_times(result.plain.out), "no table", result.plain.out)


def hide_times(text):
    """Of the table, the rows of the program's own functions, without times; what the library does depends on the
    environment."""
    rows = re.findall(r"^ +([\d/]+) +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ (profiled.py:.*)$", text, re.MULTILINE)
    table = re.search(r"\n +\d+ function calls", text)
    return hide(text[:table.start()] + "\n function calls\n" if table else text) + "\n".join(sorted(map(str, rows)))


# ---- tools that have to be installed

INSTALLED = {"coverage": ["-m", "coverage", "run", "--data-file", "coverage-data"],
             "memray": ["-m", "memray", "run", "-q", "-f", "-o", "memray-data"],
             "memory_profiler": ["-m", "memory_profiler"], "line_profiler": ["-m", "kernprof"]}


@each([(python, name) for python in EVERY for name in INSTALLED])
def installed_tool(case):
    python, name = case
    if run([python.path, "-c", "import " + name], pmt=False).status != 0:
        skip("%s cannot be imported" % name)
    argv = python_argv(python, "events.py", 100)
    result = both(argv[:1] + INSTALLED[name] + argv[2:], threshold=1, ignore=["coverage-data", "memray-data"],
                  normalise=hide_warning)
    equal(result.plain.status, 0, "status")
    if name == "coverage":
        check_coverage(python, result)


def hide_warning(text):
    """Memray says that it finds another mmap than libc's, and goes on."""
    return re.sub(r"(?m)^Memray WARNING: Correcting symbol for \w+ from .*\n", "", hide(text))


def check_coverage(python, result):
    """The lines that coverage saw are the same."""
    reports = [run([python.path, "-m", "coverage", "report", "-m", "--data-file", os.path.join(folder, "coverage-data")],
                   pmt=False, cwd=scratch()).out for folder in (os.path.join(os.path.dirname(result.cwd), "plain"), result.cwd)]
    equal(reports[1], reports[0], "coverage's report")
    check("events.py" in reports[0], "coverage saw nothing", reports[0])


if __name__ == "__main__":
    sys.exit(main())
