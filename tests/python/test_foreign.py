"""Threads that C makes, which run Python: their events are in the log from the first one on, of each thread by itself. On
every CPython found, with and without the allocators counted.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import check_same, check_whole, event_of
from pmttest import PYTHONS, each, equal, main, run

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign.py")
LIBRARY = os.path.join(pmttest.BUILD, "tests", "lib_foreign.so")
THREADS, ROUNDS = 5, 3
NAMES = {b"work", b"leaf", b"<listcomp>", b"without_arguments", b"len", b"int"}
KINDS = (("calls", "exact"), ("calls", "off"), ("lines", "exact"), ("python", "off"))
Case = collections.namedtuple("Case", "python events sites")
Case.__str__ = lambda case: "%s %s %s" % (case.events, case.sites, case.python)


def by_thread(path):
    """The events in work() and without_arguments(), in a list for each thread; the main thread's under None."""
    threads = collections.defaultdict(list)
    for row in check_whole(path, threshold=0):
        event = event_of(row)
        if event.file == PROGRAM.encode() and event.function in NAMES:
            threads[row.tid].append(event)
    return threads


def check_child(path, length):
    threads = by_thread(path)
    threads.pop(None, None)
    equal(sum(map(len, threads.values())), (THREADS * ROUNDS + 1) * length, "events in the threads of the child")


@each([Case(python, events, sites) for events, sites in KINDS for python in PYTHONS])
def every_event(case):
    result = run([case.python.path, "-S", "-s", "-B", PROGRAM, LIBRARY], env={"PYTHONPATH": None}, threshold=0,
                 events=case.events, sites=case.sites)
    equal((result.status, result.err, result.pmt_lines, len(result.logs)), (0, "", [], 2), "the end of the program")
    parent, child = sorted(result.logs, key=lambda path: not path.endswith("_%d.log" % result.pid))
    threads = by_thread(parent)
    reference = threads.pop(None)  # work(), ROUNDS times
    bare = [event for events in threads.values() for event in events if event.function == b"without_arguments"]
    equal(len(bare), (3 if case.events == "lines" else 2) * THREADS * ROUNDS, "events of without_arguments()")
    working = [[event for event in events if event.function != b"without_arguments"] for events in threads.values()]
    equal(sum(map(len, working)), 2 * THREADS * len(reference), "events in all threads")
    for events in working:  # a thread's ID may be used again
        for at in range(0, len(events), len(reference)):
            check_same(events[at:at + len(reference)], reference, "events of a thread")
    check_child(child, len(reference) // ROUNDS)


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
