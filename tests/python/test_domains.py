"""The figure of MEMPOINT: against an oracle that counts the same domains by itself, beside every allocator and tool that
takes their places, and what pmt.live() makes of it. On every CPython.
"""
import ast
import collections
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import BUILD, LIB, PYTHONS, check, each, equal, main, run, some_pythons

POINTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "points")
ORACLE = os.path.join(BUILD, "tests", "libdomains.so")
FLAGS = ["-s", "-B"]
MB = 10**6


class Case(collections.namedtuple("Case", "python what")):
    def __str__(self):
        return "%s %s" % self


def program(python, name, *arguments, flags=(), env=None, **options):
    result = run([python.path, *FLAGS, *flags, os.path.join(POINTS, name + ".py"), *arguments], timeout=120,
                 env=dict({"PYTHONPATH": None, "PYTHONMALLOC": None, "PYTHONTRACEMALLOC": None}, **env or {}),
                 **dict({"events": "off"} if options.get("pmt", True) else {}, **options))
    equal((result.status, result.err), (0, ""), "the end of the program")
    return result


def figures(python, *arguments, **options):
    result = program(python, *arguments, **options)
    equal(result.pmt_lines, [], "what pmt says")
    return ast.literal_eval(result.out)


# ---- the oracle

SEEDS = (1, 2, 3)


@each([Case(python, seed) for python in PYTHONS for seed in SEEDS])
def oracle(case):
    """At 100 moments of a random program the figure is the oracle's, to the byte."""
    check(os.path.exists(ORACLE), "no library %s: build first" % ORACLE)
    result = program(case.python, "random_program", str(case.what), ORACLE, preload=[ORACLE, LIB])
    equal(result.pmt_lines, [], "what pmt says")
    moments = [tuple(map(int, line.split())) for line in result.out.splitlines()]
    equal(len(moments), 100, "number of moments")
    check(len({theirs for theirs, _ in moments}) > 90, "the program does not move its memory")
    differences = [ours - theirs for theirs, ours in moments]
    print("  %-14s %d to %d bytes live" % (case.python, min(moments)[0], max(moments)[0]))
    equal(collections.Counter(differences), {0: 100}, "pmt's figure less the oracle's")


# ---- sizes

def bare_figures(python, *words, count=1000000):
    code = "MEMPOINT(); li = [i for i in range(%d)]; MEMPOINT(); del li; MEMPOINT(); print(MEMLOGS.memories)" % count
    directory = pmttest.scratch()
    subprocess.run([python.path, "-ISm", "venv", "--without-pip", "--symlinks", directory], check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=pmttest.clean_env())
    result = run([os.path.join(directory, "bin", "python3"), *words, "-c", code], events="off", timeout=300)
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of the program")
    return ast.literal_eval(result.out)


@each(PYTHONS)
def bare_interpreter(python):
    """The first point of an interpreter with an empty site-packages lies between 1.0 and 3.75 MB, in both meanings of MB."""
    for words in (["-I"], []):
        first, before, during, after = bare_figures(python, *words)
        print("  %-14s %s first point %.3f MB" % (python, "".join(words), first / MB))
        check(2**20 <= first <= 3.75 * MB, "the first point has %d bytes" % first)
        check(during - after > 32 * MB, "a million ints: %d" % (during - after))
        check(abs(after - before) <= 4096, "after del %d, before %d" % (after, before))


@each(some_pythons())
def ten_million_ints(python):
    first, before, during, after = bare_figures(python, "-I", count=10000000)
    check(during > 100 * before and during > 100 * after, "%d, %d, %d" % (before, during, after))
    check(abs(after - before) <= 4096, "after del %d, before %d" % (after, before))


@each(PYTHONS)
def nothing_accumulates(python):
    for options in ({}, {"events": "calls", "threshold": 1000}):
        result = program(python, "accumulate", **options)
        check(re.fullmatch(r"ok [1-9]\d*\n", result.out), "the program did not come to its end", result.out)


@each(PYTHONS)
def live(python):
    result = program(python, "live")
    check(re.fullmatch(r"ok [1-9]\d*\n", result.out), "the program did not come to its end", result.out)


# ---- other allocators

ALLOCATORS = ("malloc", "malloc_debug", "pymalloc", "pymalloc_debug", "debug", "default")


def allocators(python):
    return [name for name in ALLOCATORS if python.version >= (3, 7) or name != "default"]


def check_alike(python, expected, **options):
    got = figures(python, "figure", "100000", **options)
    for index, (one, other) in enumerate(zip(expected, got)):
        check(abs(one - other) <= 0.05 * one, "point %d has %d bytes, %d in the default run" % (index, other, one),
              expected, got)


@each(PYTHONS)
def allocator_of_choice(python):
    """PYTHONMALLOC and -X dev put other allocators in place: the figure is the default run's, within 5 %."""
    expected = figures(python, "figure", "100000")
    check(expected[2] - expected[1] > 3 * MB and 0 <= expected[4] - expected[3] - MB < 4096,
          "the default run's figures", expected)
    for name in allocators(python):
        check_alike(python, expected, env={"PYTHONMALLOC": name})


@each([python for python in PYTHONS if python.version >= (3, 7)])
def dev_mode(python):
    """-X dev imports more: its figures are compared as growth."""
    expected = figures(python, "figure", "100000")
    for words in (["-X", "dev"], ["-X", "dev", "-I"]):
        got = figures(python, "figure", "100000", flags=words)
        for a, b, c, d in zip(expected[1:], expected[2:], got[1:], got[2:]):
            check(abs((b - a) - (d - c)) <= 0.05 * abs(b - a) + 4096, "growth %d, %d by default" % (d - c, b - a))


# ---- tracemalloc

STARTS = (((), {}), (("-X", "tracemalloc"), {}), (("-X", "tracemalloc=10"), {}), ((), {"PYTHONTRACEMALLOC": "3"}))
ORDERS = ("m", "m+m", "m+m-m", "+m-m+m-m", "-m", "-m+m-m")


@each([Case(python, order) for python in PYTHONS for order in ORDERS])
def with_tracemalloc(case):
    """Started before and after, stopped, in each order: both see the same block, and our figure comes back."""
    base = figures(case.python, "tracing", "m")[0][2]
    for flags, env in STARTS:
        plain = figures(case.python, "tracing", case.what, flags=flags, env=env, pmt=False)
        ours = figures(case.python, "tracing", case.what, flags=flags, env=env)
        equal(len(plain), case.what.count("m"), "number of measurements")
        for (_, expected), (is_tracing, traced, growth, rest) in zip(plain, ours):
            check(abs(traced - expected) <= 512, "tracemalloc sees %d bytes, %d without pmt" % (traced, expected))
            # from 3.9 on it takes 16 bytes for each block it traces out of the raw domain: ours if it stands above us
            own = 16 * 100000 if is_tracing and case.python.version >= (3, 9) else 0
            check(min(abs(growth - base), abs(growth - own - base)) <= 16384,
                  "100,000 ints in a list are %d bytes, %d alone" % (growth, base))
            check(abs(rest) <= 4096, "after del %d bytes are left" % rest)


# ---- wrappers that are taken away

@each([Case(python, domain) for python in PYTHONS for domain in (0, 1, 2)])
def taken_away(case):
    """Noticed at a later MEMPOINT, said in one line, and put right."""
    result = program(case.python, "removed", str(case.what))
    first, second, third = ast.literal_eval(result.out)
    check(first > 300000, "the growth before is %d" % first)
    equal((abs(second - first) <= 2048, abs(third - first) <= 2048), (True, True), "growth %s" % [first, second, third])
    equal(len(result.pmt_lines), 1, "lines of pmt: %s" % result.pmt_lines)
    check(re.search("alloc", result.pmt_lines[0]), "the line does not say what happened", *result.pmt_lines)


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
