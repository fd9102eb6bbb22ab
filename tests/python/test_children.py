"""Processes that fork, exec, spawn and end abruptly: a log of its own for each that ran Python, with every row, and the
parent's never touched by a child.
"""
import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import check_whole
from pmttest import PYTHONS, check, each, equal, main, run

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "children.py")
NAME = re.compile(r"(\d{6}_\d{6})_(\d+)(?:-(\d+))?\.log$")
# programs in which every run of Python says what it did, and programs with helpers that do not
ALL_SAID = ["fork", "fork_exit", "fork_nested", "fork_in_thread", "killed", "exits_at_once", "exec_again", "exec_other",
            "exec_by_shell", "run_leaf", "prepared"]
HELPED = ["pool_fork", "pool_spawn", "pool_forkserver"]
# the C function called last in a run of Python that ends so
LAST = {"_exit": "_exit", "killed": "kill", "execv": "execv"}


def run_children(python, name, **options):
    """Runs a program of children.py; returns {pid: [(count, end) of each run of Python in it]} and the result."""
    argv = [python.path, "-B", "-S", "-s", "-W", "ignore", SCRIPT, name]
    result = run(argv, env={"PYTHONPATH": None}, threshold=0, timeout=120, **options)
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of %s" % name)
    said = collections.defaultdict(list)
    for line in result.out.splitlines():
        pid, count, end = line.split()
        said[int(pid)].append((int(count), end))
    check(said, "%s said nothing" % name)
    return said, result


def logs_by_pid(result):
    """{pid: [rows of each of its logs]}, in the order in which the logs were made."""
    names = [NAME.search(path) for path in result.logs]
    check(all(names), "a name is not YYMMDD_HHMMSS_PID.log", *result.logs)
    logs = collections.defaultdict(list)
    for name in sorted(names, key=lambda name: (name[1], int(name[3] or 0))):
        logs[int(name[2])].append(check_whole(name.string, threshold=0))
    return logs


def calls_of_work(rows):
    return sum(1 for row in rows if (row.what, row.function, row.file) == ("CALL", "work", SCRIPT))


def check_run(pid, rows, count, end):
    """One run of Python: its log holds the calls it said it made, and the event that ended it."""
    equal(calls_of_work(rows), count, "calls of process %d, which ends by %s" % (pid, end))
    check(all(row.tid != pid for row in rows), "the main thread of %d names itself" % pid)
    if end in LAST:
        equal((rows[-1].what, rows[-1].function), ("C_CALL", LAST[end]), "the last row of process %d" % pid)


def check_children(python, name, **options):
    said, result = run_children(python, name, **options)
    logs = logs_by_pid(result)
    for pid, runs in said.items():
        equal(len(logs[pid]), len(runs), "the number of logs of process %d" % pid)
        for rows, (count, end) in zip(logs[pid], runs):
            check_run(pid, rows, count, end)
    others = {pid: sum(map(calls_of_work, logs[pid])) for pid in logs if pid not in said}
    check(not any(others.values()), "calls in logs of processes that made none: %s" % others)
    return said, logs


def check_alone(python, name):
    """A program of which every run of Python says so: no other process has a log."""
    said, logs = check_children(python, name)
    equal(sorted(logs), sorted(said), "the processes that have logs")


@each(PYTHONS)
def children(python):
    """Every program of children.py; the verdicts as one row of a table."""
    verdicts, problems = [], []
    for name in ALL_SAID + HELPED:
        try:
            if name in ALL_SAID:
                check_alone(python, name)
            else:
                check_children(python, name, events="python")
            verdicts.append("%s: yes" % name)
        except AssertionError as problem:
            verdicts.append("%s: NO" % name)
            problems.append("%s: %s" % (name, str(problem).replace("\n", "\n    ")))
    print("  %-14s %s" % (python, "  ".join(verdicts)))
    check(not problems, "%d of %d programs failed" % (len(problems), len(verdicts)), *problems)


@each(PYTHONS)
def not_followed(python):
    """With PMT_FOLLOW=0 the first process has its log and no other has one."""
    for name in ("fork", "run_leaf", "pool_fork", "pool_spawn"):
        said, result = run_children(python, name, follow=0)
        equal([int(NAME.search(path)[2]) for path in result.logs], [result.pid], "the processes that have logs")
        count = sum(count for count, end in said.get(result.pid, []))
        check_run(result.pid, check_whole(result.logs[0], threshold=0), count, "exit")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
