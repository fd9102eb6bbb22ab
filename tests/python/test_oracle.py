"""The event log against plain sys.setprofile: the same script under the oracle and under libpmt.so, in two processes,
must show the same (What, File, line, Function), event by event. On every CPython found.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import C_ROWS, between, check_same, check_whole, event_of, read_oracle, stretches
from pmttest import PYTHONS, check, each, equal, main, run

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(HERE, "driver.py")
FLAGS = ["-S", "-s", "-B"]  # nothing of the site, no .pyc written by the first run and read by the second
ENV = {"PYTHONHASHSEED": "0", "PYTHONPATH": None}


def script(name):
    return os.path.join(HERE, "scripts", name)


def oracle(python, name):
    """The script's events as sys.setprofile tells them, in one list for each thread."""
    record = os.path.join(pmttest.scratch(), "record")
    result = run([python.path, *FLAGS, DRIVER, script(name), record], pmt=False, env=ENV, timeout=300)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    return read_oracle(record)


def measured(python, name, events):
    """The rows of the script's log at threshold 0, after every check of its form."""
    result = run([python.path, *FLAGS, DRIVER, script(name)], env=ENV, timeout=300, threshold=0, events=events)
    equal((result.status, result.out, result.err, result.pmt_lines), (0, "", "", []), "the end of the program")
    equal(len(result.logs), 1, "the number of logs")
    rows = check_whole(result.logs[0], threshold=0)
    check(all(row.tid != result.pid for row in rows), "a row of the main thread names its thread")
    return rows


def main_events(python, name, events):
    rows = measured(python, name, events)
    check(all(row.tid is None for row in rows), "a row of the only thread names a thread")
    return between([event_of(row) for row in rows], b"begin", b"end")


def compare(python, name):
    expected = between(oracle(python, name)[0], b"begin", b"end")
    check_same(main_events(python, name, "calls"), expected, "events")
    expected = [event for event in expected if event.what not in C_ROWS]
    check_same(main_events(python, name, "python"), expected, "events without the C rows")


@each(PYTHONS)
def seed_example(python):
    compare(python, "seed.py")


@each(PYTHONS)
def torture(python):
    compare(python, "torture.py")


@each(PYTHONS)
def threads(python):
    by_thread = collections.defaultdict(list)
    for row in measured(python, "threads.py", "calls"):
        by_thread[row.tid].append(event_of(row))
    check(not stretches([by_thread.pop(None)]), "rows of other threads stand as the main thread's")
    got, expected = stretches(by_thread.values()), stretches(oracle(python, "threads.py"))
    equal((len(got), len(expected)), (6, 6), "the number of threads")
    for mine, theirs in zip(got, expected):
        check_same(mine, theirs, "events of a thread")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
