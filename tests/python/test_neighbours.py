"""Programs with profilers and tracers of their own (neighbour.py): what they are told, what they print and what they can
ask is as without pmt, and the event log is that of sys.setprofile and sys.settrace as if nobody else were there. On every
CPython found.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import between, check_same, check_whole, event_of
from pmttest import PYTHONS, check, each, equal, main, run
from test_oracle import FLAGS, read_oracle, stretches

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "neighbour.py")
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
    def __init__(self, python, name, events):
        self.python, self.name, self.events = python, name, events

    def __str__(self):
        return "%s %s %s" % (self.name, self.events, self.python)


def plain(case):
    result = run([case.python.path, *FLAGS, PROGRAM, case.name], pmt=False, env=ENV, timeout=300)
    equal((result.status, result.err), (0, ""), "the end without pmt")
    return result


def expected_rows(case):
    record = os.path.join(pmttest.scratch(), "record")
    result = run([case.python.path, *FLAGS, PROGRAM, case.name, record, case.events], pmt=False, env=ENV, timeout=300)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    return read_oracle(record)


def by_thread(rows):
    threads = {}
    for row in rows:
        threads.setdefault(row.tid, []).append(event_of(row))
    return threads.pop(None), list(threads.values())


@each([Case(python, name, events) for name in CASES for events in ("calls", "lines") for python in PYTHONS])
def same_as_without_pmt(case):
    before = plain(case)
    result = run([case.python.path, *FLAGS, PROGRAM, case.name], env=ENV, timeout=300, threshold=0, events=case.events)
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end with pmt")
    check_same(result.out.splitlines(), before.out.splitlines(), "lines printed")
    rows = check_whole(result.logs[0], threshold=0)
    if case.name in WITHOUT_ORACLE:
        return
    oracle = expected_rows(case)
    mine, others = by_thread(rows)
    if case.name not in WITH_THREADS:
        check_same(between(mine, b"begin", b"end"), between(oracle[0], b"begin", b"end"), "events")
    got, expected = stretches(others), stretches(oracle[1:])
    equal(len(got), len(expected), "the number of threads")
    for stretch, theirs in zip(got, expected):
        check_same(stretch, theirs, "events of a thread")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
