"""What the tests of allocation sites share: programs of tests/python/sites/ under pmt, beside the oracle or alone, their
captures, and both accounts in one form to be compared.
"""
import collections
import glob
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import capture as captures
from pmttest import BUILD, LIB, check, equal, run, scratch

ORACLE = os.path.join(BUILD, "tests", "libsites.so")
FLAGS = ["-s", "-B"]
ENV = {"PYTHONPATH": None, "PYTHONMALLOC": None, "PYTHONTRACEMALLOC": None, "PYTHONHASHSEED": "0"}
FIGURES = ("live_bytes", "live_blocks", "peak_bytes", "total_bytes", "total_blocks", "temporary_blocks")
NOTHING = (0,) * len(FIGURES)

# stacks: for each stack its figures; a stack is a tuple of (file, line, function), innermost first, and ends in None if
# outer frames are missing. native: figures of what the malloc family holds. no_thread: of blocks of Python's allocators
# without a stack: no Python code runs, or the GIL is not held. peak_bytes: the highest total.
Account = collections.namedtuple("Account", "stacks native no_thread peak_bytes")


class Case(collections.namedtuple("Case", "python what")):
    def __str__(self):
        return "%s %s" % self


def source(name):
    return os.path.join(HERE, "sites", name + ".py")


def program(python, name, *arguments, flags=(), env=None, status=0, timeout=240, **options):
    """Runs a program of sites/ under pmt, without events unless they are asked for, to the end that it is to have."""
    result = run([python.path, *FLAGS, *flags, source(name), *map(str, arguments)], timeout=timeout,
                 env=dict(ENV, **env or {}), **dict({"events": "off"} if options.get("pmt", True) else {}, **options))
    equal((result.status, result.err), (status, ""), "the end of the program")
    equal(result.pmt_lines, [], "what pmt says")
    return result


def capture_of(result):
    """The run's only capture, read strictly, which adds up."""
    found = glob.glob(os.path.join(glob.escape(result.dir), "*.pmt"))
    equal(len(found), 1, "the number of captures")
    capture = captures.read(found[0])
    captures.check_sums(capture)
    return capture


def line_of(file, text):
    """The number of the only line that contains the text."""
    with open(file, encoding="utf-8") as lines:
        found = [number for number, line in enumerate(lines, 1) if text in line]
    equal(len(found), 1, "lines of %s with %r" % (file, text))
    return found[0]


# --- both accounts in one form ----------------------------------------------------------------------------------------

def add(into, key, figures):
    into[key] = tuple(map(sum, zip(into.get(key, NOTHING), figures)))


def figures_of(row):
    return tuple(row[name] for name in FIGURES)


def with_oracle(python, name, *arguments, **options):
    """Runs a program that ends at the oracle's account (see there); returns both, the capture's and the oracle's."""
    check(os.path.exists(ORACLE), "no library %s: build first" % ORACLE)
    out = os.path.join(scratch(), "oracle")
    result = program(python, name, ORACLE, out, *arguments, preload=[LIB, ORACLE], **options)
    return capture_of(result), read_oracle(out)


def read_oracle(path):
    with open(path, encoding="ascii") as lines:
        rows = [json.loads(line) for line in lines]
    special, stacks = {"native": NOTHING, "no thread": NOTHING}, {}
    peak = rows.pop()["peak_bytes"]
    for row in rows:
        if isinstance(row["stack"], str) or not row["stack"]:
            add(special, row["stack"] or "no thread", figures_of(row))
            continue
        stack = tuple(frame and (frame[0], frame[2], frame[3]) for frame in row["stack"])
        add(stacks, stack, figures_of(row))
    return Account(stacks, special["native"], special["no thread"], peak)


def account_of(capture, label=None):
    """The capture's sites as of its last tick."""
    stacks, others = {}, {"native": NOTHING, "no thread": NOTHING}
    for site in capture.sites:
        figures = tuple(getattr(site, name) for name in FIGURES)
        stack = tuple((frame.file, frame.line, frame.function) for frame in site.stack) + (None,) * site.is_cut
        if site.owner == "native":
            add(others, "native", figures)
        elif site.label == label and stack:
            add(stacks, stack, figures)
        else:
            add(others, "no thread", figures)
    return Account(stacks, others["native"], others["no thread"], capture.state.peak_bytes)


def in_exit_snapshot(capture):
    """Live (bytes, blocks) of each stack of Python's allocators in the snapshot that was taken at exit."""
    check(capture.exit_snapshot, "no exit snapshot")
    stacks = {}
    for number, held in capture.exit_snapshot.held.items():
        site = capture.sites[number]
        if site.owner == "python":
            stack = tuple((frame.file, frame.line, frame.function) for frame in site.stack) + (None,) * site.is_cut
            before = stacks.get(stack, (0, 0))
            stacks[stack] = (before[0] + held[0], before[1] + held[1])
    return stacks


def by_line(stacks, file=None):
    """The figures of each innermost (file, line), or of each line of one file."""
    lines = {}
    for stack, figures in stacks.items():
        if stack and stack[0] and (file is None or stack[0][0] == file):
            key = stack[0][:2] if file is None else stack[0][1]
            lines[key] = tuple(map(sum, zip(lines.get(key, (0,) * len(figures)), figures)))
    return lines


def show(stack):
    if stack is None or not isinstance(stack, tuple):
        return str(stack)
    return " < ".join("%s:%d %s" % (os.path.basename(frame[0]), frame[1], frame[2]) if isinstance(frame, tuple) else str(frame)
                      for frame in stack[:6])


def compare(got, expected, what, count=len(FIGURES), limit=8):
    """Fails unless both say the same of every key, in their first `count` figures; what holds zeros is as good as missing."""
    zeros = (0,) * count
    differences = []
    for key in set(got) | set(expected):
        mine, theirs = got.get(key, zeros)[:count], expected.get(key, zeros)[:count]
        if mine != theirs:
            differences.append((sum(abs(a - b) for a, b in zip(mine, theirs)), key, mine, theirs))
    differences.sort(key=lambda row: -row[0])
    check(not differences, "%s: %d of %d differ in %s" % (what, len(differences), len(expected), "/".join(FIGURES[:count])),
          *["pmt %s, oracle %s: %s" % (mine, theirs, show(key)) for _, key, mine, theirs in differences[:limit]])
