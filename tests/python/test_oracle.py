"""The event log against plain sys.setprofile: the same script under the oracle and under libpmt.so, in two processes,
must show the same (What, File, line, Function), event by event. On every CPython found.
"""
import collections
import functools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import C_ROWS, Event, between, check_same, check_whole, event_of, name_bytes
from pmttest import PYTHONS, check, each, equal, main, run

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(HERE, "driver.py")
WHAT = {"call": "CALL", "return": "RETURN", "c_call": "C_CALL", "c_return": "C_RETURN", "c_exception": "C_EXCEPT",
        "line": "LINE", "exception": "EXCEPT"}
FLAGS = ["-S", "-s", "-B"]  # nothing of the site, no .pyc written by the first run and read by the second
ENV = {"PYTHONHASHSEED": "0", "PYTHONPATH": None}


def script(name):
    return os.path.join(HERE, "scripts", name)


@functools.lru_cache(maxsize=None)
def read_name(text):
    """The bytes of a recorded name. The log has one mark, "-", for the empty name and for the name "-"; readers take it
    for the empty one."""
    name = bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass")
    return b"" if name == "-" else name_bytes(name)


def oracle(python, name):
    """The script's events as sys.setprofile tells them, in one list for each thread."""
    record = os.path.join(pmttest.scratch(), "record")
    result = run([python.path, *FLAGS, DRIVER, script(name), record], pmt=False, env=ENV, timeout=300)
    equal((result.status, result.err), (0, ""), "the oracle's end")
    return read_oracle(record)


def read_oracle(record):
    threads = collections.defaultdict(list)
    with open(record, encoding="ascii") as lines:
        for line in lines:
            what, file, number, function, thread = line.split()
            threads[thread].append(Event(WHAT[what], read_name(file), int(number), read_name(function)))
    return list(threads.values())


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


def stretches(threads):
    """Each stretch of events between thread_begin() and thread_end(), shortest first. A thread's ID may be used again
    by a later thread, so that one list may hold several."""
    found = []
    for events in threads:
        while any(event.function == b"thread_begin" for event in events):
            found.append(between(events, b"thread_begin", b"thread_end"))
            end = [(event.what, event.function) for event in events].index(("RETURN", b"thread_end"))
            events = events[end + 1:]
    return sorted(found, key=len)


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
