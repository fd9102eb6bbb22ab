"""MEMPOINT and its family on every CPython: the programs in points/ check themselves, inside the measured interpreter;
here are the seed's session, what a program prints, the shim beside a real package, and the marks in the event log.
"""
import ast
import collections
import doctest
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import PYTHONS, check, check_log, each, equal, main, run, skip

POINTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "points")
PROGRAMS = ("table", "intact", "hostile", "nowhere", "memtrace", "memtrace_async", "references", "threads", "processes",
            "interpreters", "shim")
FLAGS = ["-s", "-B"]


class Case(collections.namedtuple("Case", "python what")):
    def __str__(self):
        return "%s %s" % self


def point_program(python, name, *arguments, env=None, **options):
    return run([python.path, *FLAGS, os.path.join(POINTS, name + ".py"), *arguments], timeout=300,
               env=dict({"PYTHONPATH": None, "PYTHONIOENCODING": None}, **env or {}), **options)


def clean_end(result):
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of the program")


@each([Case(python, name) for python in PYTHONS for name in PROGRAMS])
def checks(case):
    result = point_program(case.python, case.what, events="off")
    check(result.status == 0, "status %d" % result.status, result.err[-3000:])
    clean_end(result)
    if result.out == "no sub-interpreters\n":
        skip("this CPython has no module for sub-interpreters")
    check(re.fullmatch(r"ok [1-9]\d*\n", result.out), "the program did not come to its end", result.out[-1000:])


@each([Case(python, name) for python in PYTHONS for name in ("table", "memtrace", "memtrace_async", "threads", "shim")])
def checks_with_events(case):
    """The same beside the profile function."""
    result = point_program(case.python, case.what)
    clean_end(result)
    check(re.fullmatch(r"ok [1-9]\d*\n", result.out), "the program did not come to its end", result.out[-1000:])


# ---- the session of perftester's documentation

SEED = os.path.join(POINTS, "perftester.txt")
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def bare_interpreter(python):
    """A virtual environment: its site-packages are empty."""
    directory = pmttest.scratch()
    subprocess.run([python.path, "-ISm", "venv", "--without-pip", "--symlinks", directory], check=True, env=pmttest.clean_env(),
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return os.path.join(directory, "bin", "python3")


def session_results(python, examples):
    """What each example prints, typed into the interpreter's own prompt (which is on stderr)."""
    mark = "<end of example>"
    typed = "".join("%s%s\nprint(%r)\n" % (example.source, "\n" if "\n    " in example.source else "", mark)
                    for example in examples)
    result = run([bare_interpreter(python), "-I", "-B", "-q", "-i"], stdin=typed, timeout=300, events="off")
    equal((result.status, result.pmt_lines), (0, []), "the end of the session")
    check("Error" not in result.err, "the session failed", result.err[-2000:])
    return result.out.split(mark + "\n")[:-1]


@each(PYTHONS)
def session_of_the_documentation(python):
    with open(SEED, encoding="utf-8") as file:
        examples = doctest.DocTestParser().get_examples(file.read())
    results = session_results(python, examples)
    equal((len(results), len(examples)), (37, 37), "number of results")
    checker, wrong = doctest.OutputChecker(), []
    for example, got in zip(examples, results):
        if not checker.check_output(example.want, got, ELLIPSIS):
            wrong.append((example, got))
    print("  %-14s %d of %d results" % (python, len(examples) - len(wrong), len(examples)))
    # the documentation leaves out what its last filter gives: nothing is named "after" in lower case
    equal([(example.source.strip(), example.want, got) for example, got in wrong],
          [('MEMLOGS.filter(lambda m: "after" in m.ID or "before" in m.ID)', "", "[]\n")], "results that are different")


# ---- what is printed

ENCODINGS = ("utf-8", "latin-1", "ascii", "utf-16", "cp1252", "ascii:backslashreplace", "ascii:strict", "utf-8:surrogateescape")


def printed_points(points, encoding, errors):
    text = "".join("{: < 4} {: <6} → {}\n".format(index, round(memory / 2**20, 1), ID)
                   for index, (ID, memory) in enumerate(points))
    lines = []
    for line in text.splitlines(keepends=True):
        try:
            lines.append(line.encode(encoding, errors))
        except UnicodeEncodeError:
            lines.append(line.encode(encoding, "replace"))
    return b"".join(lines)


@each([Case(python, encoding) for python in PYTHONS for encoding in ENCODINGS])
def memprint(case):
    encoding, _, errors = case.what.partition(":")
    result = point_program(case.python, "prints", env={"PYTHONIOENCODING": case.what}, events="off")
    equal((result.status, result.pmt_lines), (0, []), "the end of the program")
    points = ast.literal_eval(result.err)
    equal(len(points), 12, "number of points")
    got = result.out.encode("utf-8", "surrogateescape")
    if encoding == "utf-16":  # one BOM, at the beginning
        equal(got.decode("utf-16"), printed_points(points, "utf-8", "strict").decode(), "what MEMPRINT printed")
        return
    equal(got, printed_points(points, encoding, errors or "strict"), "what MEMPRINT printed")
    after = got.splitlines()[6]
    check(re.fullmatch(rb" 6   12[3-9]\.\d  \S+ 123 MiB more", after), "the line of a large figure", after)


@each(PYTHONS)
def memprint_closed(python):
    """stdout closed before Python starts, and a full device."""
    code = "MEMPOINT('a'); MEMPRINT(); import sys; sys.stderr.write('%d' % len(MEMLOGS))"
    for redirection in (">&-", ">/dev/full"):
        result = run(["sh", "-c", 'exec "$0" "$@" ' + redirection, python.path, *FLAGS, "-c", code + "; sys.stdout = None"],
                     events="off", env={"PYTHONIOENCODING": "ascii"})
        equal((result.out, result.err[:1], result.pmt_lines), ("", "2", []), "MEMPRINT with " + redirection)


# ---- a real package wins

@each(PYTHONS)
def real_package_wins(python):
    directory = pmttest.scratch()
    os.mkdir(os.path.join(directory, "perftester"))
    with open(os.path.join(directory, "perftester", "__init__.py"), "w", encoding="utf-8") as file:
        file.write("answer = 42\n")
    code = "import perftester; print(perftester.answer, hasattr(perftester, 'pp'), MEMLOGS.IDs)"
    result = run([python.path, *FLAGS, "-c", code], env={"PYTHONPATH": directory}, events="off")
    clean_end(result)
    equal(result.out, "42 False ['pmt start']\n", "the real package")
    code = ("import sys; sys.path.append(%r); import perftester; print(perftester.answer); del sys.modules['perftester'];"
            "sys.path.pop(); sys.path_importer_cache.clear(); import perftester; print(perftester.pp.__name__)" % directory)
    result = run([python.path, *FLAGS, "-c", code], env={"PYTHONPATH": None}, events="off")
    clean_end(result)
    equal(result.out, "42\npp\n", "the real package, and pmt's after it is gone")


@each(PYTHONS)
def not_there_without_pmt(python):
    code = "import builtins; print([hasattr(builtins, n) for n in ('MEMPOINT', 'MEMLOGS', 'MEMPRINT', 'MEMTRACE')])"
    for options in ({"pmt": False}, {"enable": 0}):
        result = run([python.path, *FLAGS, "-c", code + "\nimport pmt"], env={"PYTHONPATH": None}, **options)
        equal(result.out, "[False, False, False, False]\n", "builtins")
        check("No module named 'pmt'" in result.err, "import pmt", result.err)


# ---- marks in the event log

def id_bytes(name):
    """An ID as the event log keeps it."""
    return name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def marks_of(log):
    """(ID, memory, message) of the points in a log. An escaped name holds no blank before `memory=` but its own."""
    found = []
    for message in log.messages:
        match = re.match(r"MEMPOINT (.*) memory=(-?\d+)$", message.text)
        if match:
            name = match[1]
            plain = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda hexed: bytes([int(hexed[1], 16)]), name.encode())
            found.append(("" if name == "-" else plain.decode("utf-8", "surrogateescape"), int(match[2]), message))
    return found


@each(PYTHONS)
def marks(python):
    """At threshold 0 every point of the program stands between the call of MEMPOINT and its return; that of pmt itself is no
    mark."""
    result = point_program(python, "marks", threshold=0)
    clean_end(result)
    equal(len(result.logs), 1, "number of logs")
    log = check_log(result.logs[0], threshold=0)
    points = ast.literal_eval(result.out)[1:]
    found = marks_of(log)
    equal([(ID, memory) for ID, memory, _ in found], [(id_bytes(ID), memory) for ID, memory in points], "the marks")
    names = [ID for ID, _ in points]
    for (ID, _, message) in found:
        before, after = log.rows[message.before - 1], log.rows[message.before]
        equal([(row.what, row.function) for row in (before, after)], [("C_CALL", "MEMPOINT"), ("C_RETURN", "MEMPOINT")],
              "the rows around %r" % ID)
        equal((message.n, message.d_event), (before.n, 0), "the number of mark %r" % ID)
        check(before.clock <= message.clock <= after.clock, "the clock of %r: %s, %s, %s" % (
            ID, before.clock, message.clock, after.clock))
    row = log.rows[found[names.index("in function")][2].before]
    equal((row.line, os.path.basename(row.file)), (9, "marks.py"), "where a point was made")
    first, last = (found[names.index(name)][2].before for name in ("Before traced()", "After traced()"))
    between = [(row.what, row.function) for row in log.rows[first:last]]
    equal(between[1:-1], [("CALL", "traced"), ("C_CALL", "len"), ("C_RETURN", "len"), ("RETURN", "traced")],
          "rows between the points of MEMTRACE")


@each(PYTHONS)
def marks_at_any_threshold(python):
    for options in ({}, {"threshold": 10**6}, {"events": "python", "threshold": 0}):
        result = point_program(python, "marks", **options)
        clean_end(result)
        points = ast.literal_eval(result.out)[1:]
        equal([(ID, memory) for ID, memory, _ in marks_of(check_log(result.logs[0], options.get("threshold", 1)))],
              [(id_bytes(ID), memory) for ID, memory in points], "the marks with %s" % options)


@each(PYTHONS)
def marks_of_processes(python):
    result = point_program(python, "marks", "fork", "_exit")
    clean_end(result)
    points = [id_bytes(ID) for ID, _ in ast.literal_eval(result.out)[1:]]
    logs = {path.endswith("_%d.log" % result.pid): [ID for ID, _, _ in marks_of(pmttest.parse_log(path))]
            for path in result.logs}
    equal(logs.get(True), points + ["before fork", "after fork", "before _exit"], "marks of the parent")
    equal(logs.get(False), ["in child"], "marks of the child")


@each(PYTHONS)
def marks_of_threads(python):
    result = point_program(python, "threads", threshold=10**6)
    clean_end(result)
    found = [ID for ID, _, _ in marks_of(check_log(result.logs[0], 10**6))]
    equal((len(found), len(set(found))), (16001, 16001), "number of marks, and of different ones")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
