"""The gate of the RSS readings (preload/gate.c): what moves the resident size is seen.

PMT_TEST_GATE=verify has RSS read at every event, and compared with what the gate says: page faults of the event's own
thread are seen at that event; everything else at the first event after a millisecond of CPU time, or before. With perf
events (a pair of rings per processor, or per thread, or with the time stamp counter for a clock) and without.
"""
import collections
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import PYTHONS, check, check_log, each, equal, main, run, scratch, skip, some_pythons, test

MOVES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gate", "moves.py")
LATEST_US = 1000
TRIES = 3  # the machine may stop for milliseconds, in the middle of anything
MODES = {"per processor": "verify", "per thread": "verify threads", "counter": "verify clock",
         "forbidden": "verify forbidden"}
WAYS = subprocess.run([sys.executable, "-B", MOVES, "--list"], stdout=subprocess.PIPE, check=True).stdout.decode().split()
OWN = [way for way in WAYS if way.startswith("own_")]  # user-mode page faults of the thread whose events they are
# of glibc, which raises them by itself: large blocks are mapped, and the heap is trimmed, all along
FIXED_THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}

REPORT = re.compile(r"pmt: gate: (\d+) events, (\d+) reads, (\d+) stale, (\d+) of them own, latest (\d+) us$")
Report = collections.namedtuple("Report", "events reads stale own latest")


class Case(collections.namedtuple("Case", "python way mode threads")):
    def __str__(self):
        return "%s %s, %s, %d threads" % self


def gate_of(python, words):
    """What the library says of the gate that it opens."""
    result = run([python.path, "-c", "pass"], verbose=2, env={"PMT_TEST_GATE": words})
    (line,) = [line for line in result.pmt_lines if line.startswith("pmt: RSS gate: ")]
    return line[len("pmt: RSS gate: "):]


def has_perf():
    return not gate_of(PYTHONS[-1], "verify").startswith("no perf")


PERF = has_perf()


def move(case):
    """One run: (Report, bytes by which RSS rose, and fell, by the log)."""
    result = run([case.python.path, "-s", "-B", MOVES, case.way, str(case.threads)], timeout=120,
                 env=dict(FIXED_THRESHOLDS, PMT_TEST_GATE=MODES[case.mode], WITNESS_DIR=scratch()))
    if result.status == 77:
        skip("the kernel does not let a process take another's pages away: %s" % result.out.strip())
    equal((result.status, result.err), (0, ""), "the end of the program")
    (report,) = [match for match in map(REPORT.match, result.pmt_lines) if match]
    equal(result.pmt_lines, [report[0]], "what pmt says")
    changes = [row.d_rss for row in check_log(result.logs[0]).rows[1:]]
    return Report(*map(int, report.groups())), sum(d for d in changes if d > 0), -sum(d for d in changes if d < 0)


def check_gate(case):
    if case.mode != "forbidden" and not PERF:
        skip("perf events are not allowed here")
    for number in range(TRIES):
        report, rose, fell = move(case)
        if report.latest <= LATEST_US:
            break
    print("  %s: %s" % (case, " ".join("%s=%d" % pair for pair in report._asdict().items())))
    check(min(rose, fell) > 2 << 20 and report.events > 10000, "the program moves too little: %d up, %d down" % (rose, fell))
    check(report.reads < report.events / 2, "the gate is open more often than not", report)
    check(report.latest <= LATEST_US, "RSS was wrong for more than a millisecond, %d times" % TRIES, report)
    if case.way in OWN and case.mode != "forbidden":
        equal(report.own, 0, "events that missed a page fault of their own thread")
    if case.way in OWN and case.mode != "forbidden" and case.threads == 1:
        equal(report.stale, 0, "events with a wrong RSS")


@each([Case(PYTHONS[-1], way, mode, threads) for way in WAYS for mode in MODES for threads in (1, 8)])
def seen(case):
    check_gate(case)


@each([Case(python, way, mode, 8) for python in PYTHONS[:-1] for way in ("own_faults", "give_up_unnoticed")
       for mode in ("per processor", "forbidden")])
def seen_everywhere(case):
    check_gate(case)


@test
def modes_are_what_they_are_called():
    """So that the tests above test them. Where there are more than eight processors, rings are per thread."""
    if not PERF:
        skip("perf events are not allowed here: %s" % gate_of(PYTHONS[-1], "verify"))
    equal(gate_of(PYTHONS[-1], "verify threads"), "a pair of rings per thread", "the gate")
    equal(gate_of(PYTHONS[-1], "verify forbidden"), "no perf events: the clock and our own hooks only", "the gate")
    check(gate_of(PYTHONS[-1], "verify") in ("a pair of rings per processor", "a pair of rings per thread"), "the gate")


FILTER = """
import ctypes, os, struct, sys
program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))  # one instruction: return ALLOW
prog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_void_p(ctypes.addressof(prog)), 0, 0):  # no new privileges; seccomp
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@each(some_pythons())
def under_a_system_call_filter(python):
    """A filter may end the process at a system call that it does not foresee: nothing is tried."""
    result = run([sys.executable, "-c", FILTER, python.path, "-c", "pass"], verbose=2)
    if result.status == 77:
        skip("seccomp filters are not allowed here")
    lines = [line for line in result.pmt_lines if line.startswith("pmt: RSS gate: ")]
    equal(lines[-1], "pmt: RSS gate: no perf events: the clock and our own hooks only", "the gate")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
