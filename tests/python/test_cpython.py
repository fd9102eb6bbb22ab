"""CPython's own tests give the same result with libpmt.so as without, test by test.

Without PMT_SLOW: the quick modules, on one interpreter. With PMT_SLOW=1: all of them, on the oldest, a middle and the
newest interpreter that has its test package; and those that test profilers, tracers, threads and frames on more of them,
with every kind of events. A test whose outcomes differ is run again on both sides, alone, up to 3
times: a test that also flickers without pmt is not a difference.
"""
import collections
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import PYTHONS, check, each, main, run, skip, test

RECORDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unittest_record.py")
QUICK = ("test_json", "test_re", "test_os")
SLOW = ("test_subprocess", "test_signal", "test_asyncio", "test_multiprocessing_fork")
QUICK_NEIGHBOURS = ("test_sys_setprofile", "test_sys_settrace", "test_cprofile")
SLOW_NEIGHBOURS = ("test_monitoring", "test_threading", "test_pdb", "test_bdb", "test_profile", "test_trace",
                   "test_generators", "test_coroutines")
NEIGHBOURS_VERSIONS = ((3, 6), (3, 8), (3, 10), (3, 11), (3, 12), (3, 13))
IS_SLOW = bool(os.environ.get("PMT_SLOW"))
ROUNDS = 3


class Case(collections.namedtuple("Case", "python module events")):
    def __str__(self):
        return "%s %s %s" % self


def has_tests(python):
    probe = [python.path, "-c", "import test.support, test.test_json"]
    return subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0


def interpreters():
    able = [python for python in PYTHONS if has_tests(python)]
    chosen = [able[0], able[len(able) // 2], able[-1]] if able else []
    return chosen if IS_SLOW else chosen[1:2]


def has_module(python, module):
    probe = [python.path, "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('test.%s'))" % module]
    return subprocess.run(probe).returncode == 0


def cases():
    chosen = interpreters()
    found = [Case(python, module, "calls") for python in chosen for module in QUICK + (SLOW if IS_SLOW else ())]
    if not IS_SLOW:
        return found + [Case(python, module, events) for python in chosen for module in QUICK_NEIGHBOURS
                        for events in ("calls", "lines")]
    able = {python.version[:2]: python for python in PYTHONS if has_tests(python)}
    return found + [Case(able[version], module, events) for version in NEIGHBOURS_VERSIONS if version in able
                    for module in QUICK_NEIGHBOURS + SLOW_NEIGHBOURS if has_module(able[version], module)
                    for events in ("calls", "lines", "python")]


def outcomes(case, pmt, names=()):
    """{test: outcome} of a module, or of some of its tests; and the end of what it printed."""
    python, module, events = case
    record = os.path.join(pmttest.scratch(), "record")
    result = run([python.path, RECORDER, record, "test." + module, *names], pmt=pmt, env={"PYTHONPATH": None},
                 cwd=pmttest.scratch(), timeout=3000, **({"verbose": 0, "events": events} if pmt else {}))
    side = "with" if pmt else "without"
    check(os.path.exists(record), "%s did not come to its end %s pmt: status %d" % (module, side, result.status),
          result.err[-2000:])
    with open(record, encoding="utf-8") as lines:
        found = {name: outcome for outcome, name in (line.rstrip("\n").split(" ", 1) for line in lines)}
    check(found, "%s has no tests %s pmt" % (module, side), result.err[-2000:])
    return found, result.err


def differences(plain, ours):
    return sorted(name for name in plain.keys() | ours.keys() if plain.get(name) != ours.get(name))


def failures(found):
    return sorted(name for name, outcome in found.items() if outcome in ("fail", "error", "unexpected"))


def reports(text, name):
    """What unittest printed about the failures of a test."""
    method = name.rsplit(".", 1)[-1]
    return [block[:3000] for block in text.split("=" * 70 + "\n") if method in block.split("\n", 1)[0]]


CASES = cases()


@each(CASES)
def same_result(case):
    python, module, events = case
    plain, _ = outcomes(case, pmt=False)
    ours, printed = outcomes(case, pmt=True)
    different = first = differences(plain, ours)
    for _ in range(ROUNDS):
        if not different:
            break
        # set-up errors of a class or module have no name to run again by: run the whole module
        names = different if all(name.startswith("test.") for name in different) else []
        plain_again, _ = outcomes(case, False, names)
        ours_again, printed = outcomes(case, True, names)
        different = [name for name in different if plain_again.get(name) != ours_again.get(name)]
    print("  %-14s %-26s %-6s %4d tests, %d fail without pmt too%s" % (
        python, module, events, len(plain), len(failures(plain)),
        ", flickering: %s" % ", ".join(first) if first and not different else ""))
    check(not different, "%d of %d tests of %s differ" % (len(different), len(plain), module), *(
        "\n".join(["%s: %s without, %s with" % (name, plain.get(name), ours.get(name))] + reports(printed, name))
        for name in different))


if not CASES:
    @test
    def no_interpreter_has_tests():
        skip("no interpreter found has CPython's test package (Debian: package libpython3-testsuite)")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
