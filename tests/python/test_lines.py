"""The rows of --events lines against sys.settrace: the same script under the oracle and under libpmt.so, in two
processes, must show the same (What, File, line, Function), event by event; and without the LINE and EXCEPT rows they are
those of `calls`. On every CPython found.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import C_ROWS, between, check_same, check_whole, event_of, read_oracle, stretches
from pmttest import PYTHONS, each, equal, main, run

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(HERE, "line_driver.py")
FLAGS = ["-S", "-s", "-B"]  # nothing of the site, no .pyc written by the first run and read by the second
ENV = {"PYTHONHASHSEED": "0", "PYTHONPATH": None}


def script(name):
    return os.path.join(HERE, "scripts", name)


def oracle(python, name):
    """The script's events as sys.settrace tells them, in one list for each thread."""
    record = os.path.join(pmttest.scratch(), "record")
    result = run([python.path, *FLAGS, DRIVER, script(name), record], pmt=False, env=ENV,
                 timeout=600)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    return read_oracle(record)


def measured(python, name, events):
    """The events of the script's log at threshold 0, in a list for each thread."""
    result = run([python.path, *FLAGS, DRIVER, script(name)], env=ENV, timeout=600, threshold=0,
                 events=events)
    equal((result.status, result.out, result.err, result.pmt_lines), (0, "", "", []), "the end of the program")
    threads = collections.defaultdict(list)
    for row in check_whole(result.logs[0], threshold=0):
        threads[row.tid].append(event_of(row))
    return threads


def without(events, *kinds):
    return [event for event in events if event.what not in kinds]


def without_finalizers(python, events):
    """Up to 3.10 what locals hold lives longer, by a line or a call, under a trace function in Python, which is shown them
    all: so weak references end at other moments than in the log."""
    depth, kept = 0, []
    for event in events:
        depth += event.what == "CALL" and (depth > 0 or event.function == b"_remove")
        if depth == 0 or python.version >= (3, 11):
            kept.append(event)
        depth -= event.what == "RETURN" and depth > 0
    return kept


def compare(python, name):
    lines = between(measured(python, name, "lines")[None], b"begin", b"end")
    expected = between(oracle(python, name)[0], b"begin", b"end")
    check_same(without_finalizers(python, without(lines, *C_ROWS)), without_finalizers(python, expected), "events")
    calls = between(measured(python, name, "calls")[None], b"begin", b"end")
    if python.version < (3, 10):  # there sys.setprofile and sys.settrace do not agree on the line of a return
        lines, calls = ([event._replace(line=0) for event in events] for events in (lines, calls))
    check_same(without(lines, "LINE", "EXCEPT"), calls, "events without LINE and EXCEPT")


@each(PYTHONS)
def every_kind_of_line(python):
    compare(python, "line_events.py")
    if python.version >= (3, 12):
        compare(python, "line_events_new.py")


@each(PYTHONS)
def torture(python):
    compare(python, "torture.py")


@each(PYTHONS)
def threads(python):
    mine = measured(python, "threads.py", "lines")
    equal(stretches([mine.pop(None)]), [], "stretches of threads in the main thread")
    got = stretches([without(events, *C_ROWS) for events in mine.values()])
    expected = stretches(oracle(python, "threads.py"))
    equal((len(got), len(expected)), (6, 6), "the number of threads")
    for ours, theirs in zip(got, expected):
        check_same(ours, theirs, "events of a thread")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
