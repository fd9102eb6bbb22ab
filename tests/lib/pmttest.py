"""Shared helpers of the Python test programs: running a program with and without libpmt.so, reading what pmt wrote
by the letter of EVENT-LOG.md, the list of interpreters to test on, and a small test registry.

A test program defines functions marked @test (or @each(values)), and ends in `sys.exit(main())`. A test fails by any
exception; it is skipped by `skip(reason)`, which is for missing tools only. Needs nothing but Python 3.11's library.
"""
import argparse
import atexit
import collections
import fnmatch
import functools
import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SRC = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("PMT_BUILD") or os.path.join(os.path.dirname(SRC), "build"))
LIB = os.path.join(BUILD, "libpmt.so")
OLDEST, NEWEST = (3, 6), (3, 15)

# --- the registry ---------------------------------------------------------------------------------------------------

TESTS = {}


class Skipped(Exception):
    """A tool that the test needs is not here."""


class Hang(AssertionError):
    """A program did not end in time."""


def test(function):
    """Registers a test under its function's name."""
    TESTS[function.__name__] = function
    return function


def each(values):
    """Registers one test for each value: `name[value]`, called with the value."""

    def register(function):
        for value in values:
            TESTS["%s[%s]" % (function.__name__, value)] = functools.partial(function, value)
        return function

    return register


def skip(reason):
    raise Skipped(reason)


def check(condition, message, *details):
    """Fails with `message`, and one indented line for each of `details`, unless the condition holds."""
    if not condition:
        raise AssertionError("\n".join([message] + ["%s" % (detail,) for detail in details]))


def equal(got, expected, what):
    check(got == expected, "%s differs" % what, "got:      %s" % short(got), "expected: %s" % short(expected))


def short(value, limit=1500):
    text = repr(value)
    return text if len(text) <= limit else "%s ... (%d characters)" % (text[:limit], len(text))


def run_one(name):
    """Runs one test; returns (outcome, lines that explain it)."""
    try:
        TESTS[name]()
        return "PASS", []
    except Skipped as reason:
        return "SKIP", [str(reason)]
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)
        here = [frame for frame in where if frame.filename != os.path.abspath(__file__)] or where
        return "FAIL", (str(error) or "assert").splitlines() + ["at line %d: %s" % (here[-1].lineno, here[-1].line)]
    except Exception as error:  # a broken test is a failed test, and the others still run
        return "FAIL", ["%s: %s" % (type(error).__name__, error)] + traceback.format_exc().splitlines()
    finally:
        clean_scratch()


def main():
    """Runs the tests named on the command line, or all. Returns the exit status."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("names", nargs="*", help="tests to run; all without")
    parser.add_argument("-k", metavar="PATTERN", help="tests whose name contains or matches PATTERN")
    parser.add_argument("--list", action="store_true", help="print the names only")
    args = parser.parse_args()
    names = [name for name in TESTS if not args.k or args.k in name or fnmatch.fnmatch(name, args.k)]
    for name in args.names:
        if name not in TESTS:
            parser.error("no test named %s" % name)
    names = args.names or names
    if args.list:
        print("\n".join(names))
        return 0
    counts = collections.Counter()
    for name in names:
        start = time.monotonic()
        outcome, lines = run_one(name)
        counts[outcome] += 1
        print("%s %s (%.1f s)%s" % (outcome, name, time.monotonic() - start, ": " + lines[0] if lines else ""))
        for line in lines[1:]:
            print("       " + line)
        sys.stdout.flush()
    print("%d passed, %d failed, %d skipped" % (counts["PASS"], counts["FAIL"], counts["SKIP"]))
    return 1 if counts["FAIL"] or not names else 0


# --- directories of the current test ----------------------------------------------------------------------------------

_scratch = []


def scratch():
    """A new empty directory, removed when the test ends. Outside the tree and the working directory."""
    _scratch.append(os.path.realpath(tempfile.mkdtemp(prefix="pmttest-")))
    return _scratch[-1]


def clean_scratch():
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)


atexit.register(clean_scratch)

# --- running programs -------------------------------------------------------------------------------------------------

# status: exit status, -N after signal N. out, err: text (surrogateescape); err without the lines of pmt, which are
# pmt_lines. logs: the event logs in dir, the run's own PMT_DIR, sorted by name. pid: of the program.
Result = collections.namedtuple("Result", "status out err pmt_lines logs dir pid")


# Programs that are made to crash leave no core file in their working directory, whatever the user's limit is.
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def clean_env(env=None, preload=(), directory=None, options=None):
    """The environment of a run: this process's, without its PMT_* and LD_PRELOAD, plus `env`, plus the options."""
    result = {key: value for key, value in os.environ.items() if not key.startswith("PMT_") and key != "LD_PRELOAD"}
    if preload:
        result["LD_PRELOAD"] = ":".join(preload)
    if directory:
        result["PMT_DIR"] = directory
    for name, value in (options or {}).items():
        result["PMT_" + name.upper()] = str(value)
    for name, value in (env or {}).items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def run(argv, pmt=True, env=None, cwd=None, stdin=None, timeout=60, preload=None, **options):
    """Runs argv, under libpmt.so unless pmt is false, and waits for it and for all that hold its output.

    `options` become PMT_* variables: threshold=0 is PMT_THRESHOLD=0. `env` adds variables (None removes one).
    `preload` is the whole list for LD_PRELOAD, in its order, in place of [LIB]. `stdin` is bytes or str.
    A program that does not end within `timeout` seconds is killed with its process group: Hang.
    """
    directory = scratch()
    libraries = preload if preload is not None else [LIB] if pmt else []
    if pmt and LIB in libraries:
        check(os.path.exists(LIB), "no library %s: build first, or set PMT_BUILD" % LIB)
    process = subprocess.Popen(
        [os.fspath(word) for word in argv], stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, start_new_session=True,
        env=clean_env(env, libraries, directory, options) if pmt else clean_env(env, libraries))
    try:
        out, err = process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        out, err = process.communicate()
        raise Hang("%s did not end within %s s" % (short(argv, 300), timeout) + "\nout: %s\nerr: %s"
                   % (short(out), short(err))) from None
    err, pmt_lines = split_pmt_lines(err.decode("utf-8", "surrogateescape"))
    return Result(process.returncode, out.decode("utf-8", "surrogateescape"), err, pmt_lines,
                  sorted(glob.glob(os.path.join(glob.escape(directory), "*.log"))), directory, process.pid)


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def split_pmt_lines(text):
    """Splits what came on stderr into the program's text and the list of pmt's lines."""
    lines = text.splitlines(keepends=True)
    mine = [line.rstrip("\n") for line in lines if line.startswith("pmt:")]
    return "".join(line for line in lines if not line.startswith("pmt:")), mine


# --- the exit summary -------------------------------------------------------------------------------------------------

# rss, peak, mapped: bytes to 0.1 MiB as printed. native, blocks, regions: exact.
Summary = collections.namedtuple("Summary", "command pid python seconds exit rss peak native blocks mapped regions brk")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
SUMMARY_LINES = (
    r"pmt: (.*)  pid (\d+)  (no Python|CPython \S+)  ([\d.]+) s  (exit \d+|.*)$",
    r"pmt: RSS ([\d.,]+ \w+) at exit, peak ([\d.,]+ \w+)",
    r"pmt: native live .+? \((-?[\d,]+) B in (-?[\d,]+) malloc blocks?\), mapped (-?[\d.,]+ \w+) in (-?[\d,]+) regions?,"
    r" brk (-?[\d.,]+ \w+)",
)


def to_bytes(text):
    number, unit = text.split()
    return int(float(number.replace(",", "")) * UNITS[unit])


def to_int(text):
    return int(text.replace(",", ""))


def parse_summary(pmt_lines):
    """The figures of the exit summary among pmt's lines; fails unless it is there once, in its documented shape."""
    found = []
    for pattern in SUMMARY_LINES:
        matches = [match for match in (re.match(pattern, line) for line in pmt_lines) if match]
        check(len(matches) == 1, "no line or several lines of the summary match %s" % pattern, *pmt_lines)
        found.append(matches[0].groups())
    (command, pid, python, seconds, status), (rss, peak), (native, blocks, mapped, regions, brk) = found
    return Summary(command, int(pid), python, float(seconds), status, to_bytes(rss), to_bytes(peak), to_int(native),
                   to_int(blocks), to_bytes(mapped), to_int(regions), to_bytes(brk))


# --- the event log ----------------------------------------------------------------------------------------------------

# d_event, d_rss and rss are ints, clock is a float, tid is None on the main thread; file and function are unescaped,
# with surrogateescape for bytes that are not UTF-8. text is the line as it stands in the file.
Row = collections.namedtuple("Row", "kind n d_event clock what file line function rss d_rss tid text")
Message = collections.namedtuple("Message", "n d_event clock text before")  # before: index of the row it stands before
Log = collections.namedtuple("Log", "rows messages cut")

HEADER = "      %-12s %-6s  %-12s %-8s %-79s #%4s %-32s %12s %12s" % (
    "Event", "dEvent", "Clock", "What", "File", "line", "Function", "RSS", "dRSS")
ROW = re.compile(r"^(NEXT|PREV): (\d+)\s+\+(\d+)\s+([\d.]+)\s+(\w+)\s+(.*?)\s*#\s*(-?\d+) (.+?)\s+(\d+)\s+(-?\d+)"
                 r"(?:\s+thread=(\d+))?$", re.ASCII)
MESSAGE = re.compile(r"^MSG:  (\d+) +\+(\d+) +(\d+\.\d{6}) +# (.*)$", re.ASCII)
WHATS = {"CALL", "RETURN", "C_CALL", "C_RETURN", "C_EXCEPT", "LINE", "EXCEPT"}


def unescape(name):
    """Undoes the log's \\xNN; `-` stands for the empty name."""
    if name == "-":
        return ""
    plain = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda match: bytes([int(match[1], 16)]), name.encode())
    return plain.decode("utf-8", "surrogateescape")


def parse_row(line):
    match = ROW.match(line)
    if not match or match[5] not in WHATS:
        return None
    kind, n, d_event, clock, what, file, number, function, rss, d_rss, tid = match.groups()
    return Row(kind, int(n), int(d_event), float(clock), what, unescape(file), int(number), unescape(function), int(rss),
               int(d_rss), int(tid) if tid else None, line)


def parse_log(path):
    """Reads an event log strictly: Log(rows, messages, cut). Raises AssertionError at any line that is not of its form.

    `cut` is true if the file ends within a row, which is left out. NULs at the end are ignored.
    """
    with open(path, "rb") as file:
        data = file.read().rstrip(b"\0")
    lines = data.split(b"\n")
    cut = lines.pop() != b"" or not lines
    if not lines:
        check(HEADER.encode().startswith(data), "%s: no header" % path, short(data))
        return Log([], [], True)
    rows, messages = [], []
    for number, raw in enumerate(lines, 1):
        line = raw.decode("utf-8")
        if number == 1:
            equal(line, HEADER, "%s: the header" % path)
            continue
        row, message = parse_row(line), MESSAGE.match(line)
        check(row or message, "%s:%d is no row of an event log" % (path, number), short(line))
        if row:
            rows.append(row)
        else:
            messages.append(Message(int(message[1]), int(message[2]), float(message[3]), message[4], len(rows)))
    return Log(rows, messages, cut)


def check_log(path, threshold=1, cut=False):
    """Reads an event log and checks what must hold for any: numbers, deltas, the first row. Returns the Log."""
    log = parse_log(path)
    check(cut or not log.cut, "%s ends within a row" % path)
    last = before = None
    for row in log.rows:
        check(before is None or row.n > before.n, "%s: event numbers do not rise" % path, short(row))
        if before is None:
            check(row.kind == "NEXT" and row.n == 0 and row.d_event == 0 and row.d_rss == row.rss,
                  "%s: the first row is not NEXT 0 +0 with dRSS = RSS" % path, row.text)
        elif row.kind == "NEXT":
            equal(row.d_event, row.n - last.n, "%s: dEvent of event %d" % (path, row.n))
        if before is not None and row.n == before.n + 1:
            equal(row.d_rss, row.rss - before.rss, "%s: dRSS of event %d" % (path, row.n))
        if row.kind == "NEXT":
            last = row
        before = row
    if threshold == 0:
        equal([row.n for row in log.rows], list(range(len(log.rows))), "%s: event numbers at threshold 0" % path)
        check(all(row.kind == "NEXT" for row in log.rows), "%s: a PREV row at threshold 0" % path)
    return log


# --- interpreters -----------------------------------------------------------------------------------------------------


class Python:
    """One interpreter: path, version as a tuple of three, kind "static" or "shared" (where libpython is)."""

    def __init__(self, path):
        self.path = path
        probe = "import sys; print(sys.implementation.name, *sys.version_info[:3])"
        answer = subprocess.run([path, "-ISc", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60,
                                check=True, env=clean_env()).stdout.split()
        if answer[0] != b"cpython":
            raise ValueError("not CPython")
        self.version = tuple(int(part) for part in answer[1:])
        # the loader's own listing, which is what ldd prints
        listing = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60,
                                 env=dict(clean_env(), LD_TRACE_LOADED_OBJECTS="1")).stdout
        self.kind = "shared" if b"libpython" in listing else "static"

    def __str__(self):
        return "%s-%s" % (".".join(str(part) for part in self.version), self.kind)

    __repr__ = __str__


def find_pythons():
    """Every CPython >= 3.6 here, oldest first, and (path, reason) of those that do not run."""
    paths = glob.glob("/usr/bin/python3.[0-9]*")
    paths += glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))
    paths += [path for path in os.environ.get("PMT_TEST_PYTHONS", "").split(":") if path]
    found, broken, seen = [], [], set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen or path.endswith("-config"):
            continue
        seen.add(real)
        try:
            python = Python(path)
        except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
            broken.append((path, error))
            continue
        if python.version >= OLDEST:
            found.append(python)
    return sorted(found, key=lambda python: (python.version, python.path)), broken


PYTHONS, BROKEN = find_pythons()


def describe_pythons():
    """Prints which interpreters the tests run on, and which minor versions are not here."""
    for python in PYTHONS:
        print("interpreter %-14s %s" % (python, python.path))
    for path, reason in BROKEN:
        print("interpreter left out: %s (%s)" % (path, reason))
    have = {python.version[:2] for python in PYTHONS}
    missing = ["3.%d" % minor for minor in range(OLDEST[1], NEWEST[1] + 1) if (3, minor) not in have]
    print("not here: %s" % (", ".join(missing) or "none"))


def some_pythons():
    """For tests that need not run everywhere: the oldest, Debian's own, and the newest."""
    own = [python for python in PYTHONS if python.path.startswith("/usr/bin/")]
    chosen = [PYTHONS[0]] + own[:1] + [PYTHONS[-1]] if PYTHONS else []
    return [python for index, python in enumerate(chosen) if python not in chosen[:index]]
