"""The rows of --events lines against sys.settrace, on CPython 3.12 and later: the same script under the oracle and under
libpmt.so, in two processes, must show the same (What, File, line, Function), event by event; and without the LINE and
EXCEPT rows they are those of `calls`.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
import test_oracle
from logcheck import C_ROWS, Event, between, check_same, check_whole, event_of, read_name
from pmttest import each, equal, main, run, skip, test

pmttest.TESTS.clear()  # of test_oracle, whose helpers are used here

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(HERE, "line_driver.py")
WHAT = {"call": "CALL", "return": "RETURN", "line": "LINE", "exception": "EXCEPT"}
PYTHONS = [python for python in pmttest.PYTHONS if python.version >= (3, 12)]


def script(name):
    return os.path.join(HERE, "scripts", name)


def oracle(python, name):
    """The script's events as sys.settrace tells them, in one list for each thread."""
    record = os.path.join(pmttest.scratch(), "record")
    result = run([python.path, *test_oracle.FLAGS, DRIVER, script(name), record], pmt=False, env=test_oracle.ENV,
                 timeout=600)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    threads = collections.defaultdict(list)
    with open(record, encoding="ascii") as lines:
        for line in lines:
            what, file, number, function, thread = line.split()
            threads[thread].append(Event(WHAT[what], read_name(file), int(number),
                                         read_name(function)))
    return list(threads.values())


def measured(python, name, events):
    """The events of the script's log at threshold 0, in a list for each thread."""
    result = run([python.path, *test_oracle.FLAGS, DRIVER, script(name)], env=test_oracle.ENV, timeout=600, threshold=0,
                 events=events)
    equal((result.status, result.out, result.err, result.pmt_lines), (0, "", "", []), "the end of the program")
    threads = collections.defaultdict(list)
    for row in check_whole(result.logs[0], threshold=0):
        threads[row.tid].append(event_of(row))
    return threads


def without(events, *kinds):
    return [event for event in events if event.what not in kinds]


def compare(python, name):
    lines = between(measured(python, name, "lines")[None], b"begin", b"end")
    expected = between(oracle(python, name)[0], b"begin", b"end")
    check_same(without(lines, *C_ROWS), expected, "events")
    calls = between(measured(python, name, "calls")[None], b"begin", b"end")
    check_same(without(lines, "LINE", "EXCEPT"), calls, "events without LINE and EXCEPT")


@each(PYTHONS)
def every_kind_of_line(python):
    compare(python, "line_events.py")


@each(PYTHONS)
def torture(python):
    compare(python, "torture.py")


@each(PYTHONS)
def threads(python):
    mine = measured(python, "threads.py", "lines")
    equal(test_oracle.stretches([mine.pop(None)]), [], "stretches of threads in the main thread")
    got = test_oracle.stretches([without(events, *C_ROWS) for events in mine.values()])
    expected = test_oracle.stretches(oracle(python, "threads.py"))
    equal((len(got), len(expected)), (6, 6), "the number of threads")
    for ours, theirs in zip(got, expected):
        check_same(ours, theirs, "events of a thread")


if not PYTHONS:
    @test
    def no_interpreter():
        skip("no CPython 3.12 or later here")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
