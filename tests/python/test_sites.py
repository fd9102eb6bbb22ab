"""Who holds the memory: captures against an oracle that keeps an account by itself (tests/oracle/sites.c), against
tracemalloc, and against figures that are known. On every CPython.
"""
import ast
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sitecheck import (BUILD, Case, account_of, by_line, capture_of, captures, compare, in_exit_snapshot, line_of, program,
                       source, with_oracle)
import pmttest
from pmttest import PYTHONS, check, each, equal, main, some_pythons

PROGRAM = source("random_program")


def of_program(stacks):
    """Stacks in which the program itself takes part: not those of the interpreter's start."""
    return {stack: figures for stack, figures in stacks.items() if any(frame and frame[0] == PROGRAM for frame in stack)}


def sum_up(account):
    return tuple(map(sum, zip(account.no_thread, *account.stacks.values())))


# ---- the oracle

RUNS = {"threads": (1, 3), "one thread": (2, 0)}  # seed, and threads besides the main one


def random_run(case, **options):
    return with_oracle(case.python, "random_program", *RUNS[case.what], **options)


@each([Case(python, run) for python in PYTHONS for run in RUNS])
def oracle(case):
    """Every full stack and every line of a random program holds what the oracle says, and has allocated it; the rest of
    Python's memory and the native memory come to the same sums."""
    capture, expected = random_run(case)
    got = account_of(capture)
    mine, theirs = of_program(got.stacks), of_program(expected.stacks)
    check(len(theirs) > 3000 and sum(figures[0] for figures in theirs.values()) > 1 << 20, "the program holds too little")
    check(any(stack[-1] is None for stack in theirs), "no stack is deeper than what is kept")
    compare(mine, theirs, "stacks", 2)
    compare(by_line(mine), by_line(theirs), "lines", 2)
    compare(mine, theirs, "stacks", 6 if case.what == "one thread" else 2)
    print("  %-14s %d stacks hold %d of %d bytes" % (case.python, len(theirs), sum(row[0] for row in theirs.values()),
                                                     sum_up(expected)[0]))
    mine, theirs = sum_up(got), sum_up(expected)
    equal(mine[:2], theirs[:2], "Python's memory, bytes and blocks")
    equal(got.native[:2], expected.native[:2], "native memory, bytes and blocks")
    if case.python.version >= (3, 7):  # else both look whether they are still in place, by blocks of 1 byte
        equal((mine[3:5], got.native[3:5]), (theirs[3:5], expected.native[3:5]), "Python's and native memory in all")


@each(PYTHONS)
def totals_with_threads(python):
    """What was allocated in all, and what was freed at once, is right with several threads too."""
    capture, expected = random_run(Case(python, "threads"))
    got, expected = of_program(account_of(capture).stacks), of_program(expected.stacks)
    keep = [0, 1, 3, 4, 5]
    compare({stack: tuple(row[i] for i in keep) for stack, row in got.items()},
            {stack: tuple(row[i] for i in keep) for stack, row in expected.items()}, "stacks", 5)


def is_before_posix(python, stack):
    """Whether paths were computed, or the import system was set up: by its end `posix` is there, and pmt with it. 3.7
    imports a few modules in between."""
    bootstrap = "<frozen importlib._bootstrap>"
    file, _, function = stack[-1] or (None, 0, None)
    return (file == "<frozen getpath>"
            or file == bootstrap and function in ("<module>", "_install", "_install_external_importers")
            or python.version[:2] == (3, 7) and all(frame and frame[0] == bootstrap for frame in stack))


@each(PYTHONS)
def at_start(python):
    """The same of what Python code at the interpreter's start has allocated: encodings, site, .pth files."""
    capture, expected = random_run(Case(python, "one thread"))
    got, expected = ({stack: row for stack, row in stacks.items() if not is_before_posix(python, stack)}
                     for stacks in (account_of(capture).stacks, expected.stacks))
    check(any("site" in frame[0] for stack in expected for frame in stack if frame), "site is not seen")
    compare(got, expected, "stacks", 2)


@each(PYTHONS)
def peak(python):
    """With one thread, what was live when all that is live was most, to the byte, for every stack and in total."""
    capture, expected = random_run(Case(python, "one thread"))
    got = account_of(capture)
    check(max(row[2] - row[0] for row in of_program(expected.stacks).values()) > 10000, "the peak is the end")
    compare(of_program(got.stacks), of_program(expected.stacks), "stacks", 3)
    equal((got.peak_bytes, capture.state.peak_error_bytes), (expected.peak_bytes, 0), "the peak and its error")
    equal((sum_up(got)[2], got.native[2]), (sum_up(expected)[2], expected.native[2]), "Python's and native memory at the peak")


@each([Case(python, depth) for python in some_pythons() for depth in (1, 5, 200)])
def depth(case):
    """--depth: the innermost so many frames, and whether there are more."""
    capture, expected = with_oracle(case.python, "random_program", 3, 0, depth=case.what,
                                    env={"ORACLE_DEPTH": str(case.what)})
    got = account_of(capture).stacks
    deepest = max(len(stack) - (stack[-1] is None) for stack in got)
    check(deepest == case.what or case.what == 200 and 100 < deepest < 200, "the deepest stack has %d frames" % deepest)
    is_kept = {stack: row for stack, row in expected.stacks.items() if stack[0] and stack[0][0] == PROGRAM}
    compare({stack: row for stack, row in got.items() if stack[0] and stack[0][0] == PROGRAM}, is_kept, "stacks", 2)


@each(PYTHONS)
def recursion(python):
    """Stacks that differ in nothing but how often a function has called itself are told apart."""
    functions, depths = 300, 72
    outermost = (source("recursion"), line_of(source("recursion"), "kept.append"), "<module>")
    held = in_exit_snapshot(capture_of(program(python, "recursion", functions, depths)))
    expected, last_lines = {}, set()
    for number in range(functions):
        line, file = number % 50 + 3, "<%d>" % number
        last_lines.add((file, line + 1, "call"))
        for depth in range(depths):
            frames = ((file, line + 1, "call"),) + ((file, line, "call"),) * depth + (outermost,)
            stack = frames if len(frames) <= 64 else frames[:64] + (None,)
            held_there = expected.get(stack, (0, 0))
            expected[stack] = (held_there[0] + 1033, held_there[1] + 1)
    compare({stack: row for stack, row in held.items() if stack and stack[0] in last_lines}, expected, "stacks", 2)


@each(PYTHONS)
def places(python):
    """Stacks of the same functions are told apart by their lines, all of them."""
    held = by_stack_of("<inner>", in_exit_snapshot(capture_of(program(python, "places", 1000, 25))))
    expected = {(inner, outer): (1033, 1) for inner in range(2, 27) for outer in range(2, 1002)}
    compare(held, expected, "pairs of lines", 2)


def by_stack_of(file, stacks):
    return {(stack[0][1], stack[1][1]): row for stack, row in stacks.items() if stack and stack[0][0] == file
            and stack[0][1] > 1}


# ---- the tool

@each(some_pythons())
def report(python):
    """`pmt report --json` shows what is in the capture, and so what the oracle says."""
    capture, expected = random_run(Case(python, "threads"))
    done = subprocess.run([os.path.join(BUILD, "pmt"), "report", "--json", capture.path], stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout.decode("utf-8", "surrogateescape"))
    got = {}
    for site in told["sites"]:
        check(all(frame["kind"] == "python" for frame in site["stack"]), "a frame that is not of Python", site)
        if site["stack"] and site["owner"] == "python":
            stack = tuple((frame["file"], frame["line"] or 0, frame["function"]) for frame in site["stack"])
            got[stack] = tuple(map(sum, zip(got.get(stack, (0, 0)), (site["live_bytes"], site["live_blocks"]))))
    cut = {}
    for stack, figures in of_program(expected.stacks).items():
        stack = stack if stack[-1] else stack[:-1]
        cut[stack] = tuple(map(sum, zip(cut.get(stack, (0, 0)), figures)))
    compare(of_program(got), cut, "stacks", 2)
    lives = [site["live_bytes"] for site in told["sites"]]
    equal(lives, sorted(lives, reverse=True), "the order of sites")
    totals = told["totals"]
    equal(sum(lives), totals["live_bytes"], "the sum of sites")
    equal(totals["python_live_bytes"] + totals["native_live_bytes"], totals["live_bytes"], "the sum of owners")


# ---- tracemalloc

def parse_lines(text, lines):
    return {line: figures for line, figures in ast.literal_eval(text).items() if line in lines}


@each(PYTHONS)
def tracemalloc(python):
    """Per file in total, and per line for str, bytes, int and large bodies, what tracemalloc says of the same program."""
    file = source("bodies")
    of_work = range(line_of(file, "def texts"), line_of(file, "def print_lines"))
    traced = parse_lines(program(python, "bodies", "trace", pmt=False).out, of_work)
    held = in_exit_snapshot(capture_of(program(python, "bodies", "end")))
    mine = by_line({stack: row for stack, row in held.items() if stack and stack[0][2] != "<module>"}, file)
    if python.version >= (3, 12):  # which makes a block for every function that runs where monitoring was ever used
        size = {(3, 12): 72, (3, 13): 64}[python.version[:2]]
        mine = {line: row for line, row in mine.items() if row != (size, 1) or line in traced}
    with open(file, encoding="utf-8") as lines:
        exact = [number for number, line in enumerate(lines, 1) if line.endswith("# exact\n")]
    check(len(exact) > 6, "too few lines are compared")
    compare({line: mine.get(line) for line in exact}, {line: traced.get(line) for line in exact}, "lines", 2)
    equal(tuple(map(sum, zip(*mine.values()))), tuple(map(sum, zip(*traced.values()))), "the file: bytes and blocks")


# ---- figures that are known

EATERS = {  # version -> n -> (bytes, blocks) of its three lines
    (3, 8): {12345: ((338464, 12088), (1245376, 12346), (63008, 1))},
    (3, 11): {12345: ((386816, 12088), (1245368, 12346), (63008, 1)),
              123450: ((3942176, 123193), (11921536, 123451), (753088, 1))},
    (3, 12): {12345: ((386816, 12088), (1146608, 12346), (63000, 1))},
    (3, 13): {12345: ((386816, 12088), (1146608, 12346), (63000, 1))},
}


@each([Case(python, n) for python in PYTHONS for n in EATERS.get(python.version[:2], {})])
def mem_eater(case):
    """The example of seeds/python-memory-debugging.md, to the byte."""
    file = source("memeater")
    capture = capture_of(program(case.python, "memeater", case.what))
    lines = by_line(in_exit_snapshot(capture), file)
    texts = ("for i in range(n):", "self._dict[i] = str(i)", "self._all = \" \"")
    got = tuple(lines[line_of(file, text)] for text in texts)
    equal(got, EATERS[case.python.version[:2]][case.what], "bytes and blocks of the lines of eat()")


# ---- off

@each(some_pythons())
def sites_off(python):
    """--sites off: a capture with totals and without sites."""
    for how in ("off", "sample"):
        capture = capture_of(program(python, "memeater", 12345, sites=how))
        equal((capture.sites, capture.header.features & captures.FEATURE_SITES), ([], 0), "sites with --sites %s" % how)
        check(capture.totals.live_bytes > 100000 and capture.totals.total_blocks > 1000, "the totals are missing", capture.totals)


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
