"""FAULTS.md 10 to 17: forks, execs, and ways to die (of 16 and 17 the event log)."""
import contextlib
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time

from faulttest import (FILE_NAME, both, calls, capture, check_capture, check_complete, check_file, log_of, only_log,
                       pmttest, python_argv, read_file, target)
from pmttest import LIB, check, check_log, clean_env, each, equal, main, scratch, skip, some_pythons, test

PYTHONS = some_pythons()
COUNT = 2000  # calls before an end
KILLS = 50


# ---- 10 to 14: children


@test
def fork_within_malloc():
    both([target("forkthreads"), "30"], timeout=180)


@each(PYTHONS)
def fork_with_python_threads(python):
    result = both(python_argv(python, "forkthreads.py"), timeout=180)
    equal(len(result.logs), 31, "number of logs")


@each(PYTHONS)
def many_forks(python):
    """400 children of a program with one thread: a log for each, and from 3.12 no warning of threads."""
    argv = python_argv(python, "forks.py", 400)
    argv[1:1] = ["-W", "error::DeprecationWarning"]
    result = both(argv, timeout=180)
    equal(len(result.logs), 401, "number of logs")
    pids = {FILE_NAME.match(os.path.basename(path))[1] for path in result.logs}
    equal(len(pids), 401, "number of processes with a log")
    steps = sorted(calls(log, "step") for log in result.logs.values())
    equal(steps, [0] + [1] * 400, "calls of step() in the parent's log and in each child's")


@each(PYTHONS)
def multiprocessing_pools(python):
    result = both(python_argv(python, "pool.py"), timeout=180)
    equal(sum(calls(log, "square") for log in result.logs.values()), 1500, "calls in the children of the pools")
    equal(sum(calls(log, "feed") for log in result.logs.values()), 30, "calls in the children with queues")


@each(PYTHONS)
def nested_forks(python):
    """50 generations: a log for each, which holds what its process did and nothing of another."""
    result = both(python_argv(python, "nested.py", 50), ignore=["pids"])
    lines = [line.split() for line in read_file(result.cwd, "pids").splitlines()]
    equal(len(result.logs), 51, "number of logs")
    for pid, depth in lines:
        logs = log_of(result, pid)
        equal(len(logs), 1, "number of logs of process %s" % pid)
        names = {row.function for row in logs[0].rows if row.function.startswith("work_")}
        equal(names, {"work_" + depth}, "functions in the log of depth %s" % depth)
        expected = 20 if depth == "50" else 40
        equal(calls(logs[0], "work_" + depth), expected, "calls at depth %s" % depth)


@each(PYTHONS)
def subprocesses(python):
    check_complete(only_log(both(python_argv(python, "spawns.py"), timeout=180)), 200)


@test
def vforks_in_c():
    both([target("vforks")])


@each(PYTHONS)
def children_not_followed(python):
    """PMT_FOLLOW=0: the parent's log, and no other."""
    result = both(python_argv(python, "forks.py", 5), follow=0)
    equal(len(result.logs), 1, "number of logs")


# ---- 15: exec


@each(PYTHONS)
def exec_of_itself(python):
    """The same process runs Python twice: two logs, both whole; other preloads stay in the list, in their order."""
    result = both(python_argv(python, "execs.py", 1), after=[target("lib_early")])
    equal(len(result.logs), 2, "number of logs")
    check(len({FILE_NAME.match(os.path.basename(path))[1] for path in result.logs}) == 1, "not of the same process")
    first, second = sorted(result.logs.values(), key=lambda log: calls(log, "stage_2"))
    equal((calls(first, "stage_1"), calls(first, "step")), (1, 100), "calls before exec")
    equal((first.rows[-1].what, first.rows[-1].function), ("C_CALL", "execv"), "the last row before exec")
    equal(calls(second, "stage_2"), 1, "calls after exec")
    check_complete(second, 100)


@each(PYTHONS)
def exec_by_shells(python):
    inner = " ".join("'%s'" % word for word in python_argv(python, "execs.py", 2))
    argv = ["sh", "-c", "sh -c \"exec %s\"; exec %s" % (inner, inner)]
    result = both(argv, before=[target("lib_early")])
    equal(len(result.logs), 2, "number of logs")
    for log in result.logs.values():
        check_complete(log, 100)


@each(PYTHONS)
def environment_of_children(python):
    both(python_argv(python, "childenv.py"))


# ---- 16: ways to end


ENDINGS = {
    # how: (status, last row of the log of all events, or None)
    "_exit": (5, ("C_CALL", "_exit")),
    "quick_exit": (6, None),
    "exec": (8, ("C_CALL", "execv")),
    "SIGKILL": (-signal.SIGKILL, ("C_CALL", "kill")),
    "SIGTERM": (-signal.SIGTERM, ("C_CALL", "kill")),
    "SIGSEGV": (-signal.SIGSEGV, None),
    "abort": (-signal.SIGABRT, ("C_CALL", "abort")),
}


def hide_addresses(text):
    return re.sub(r"0x[0-9a-f]+", "0x...", text)


@each([(python, how) for python in PYTHONS for how in ENDINGS])
def ending(case):
    """Same status or signal, faulthandler's words intact, and every row is in the log, to the last."""
    python, how = case
    status, last = ENDINGS[how]
    result = both(python_argv(python, "ending.py", how, COUNT), normalise=hide_addresses, ignore=["counter"])
    equal(result.plain.status, status, "the status without pmt")
    log = only_log(result)
    equal((calls(log, "step"), calls(log, "step", "RETURN")), (COUNT, COUNT), "calls and returns of step()")
    if last:
        equal((log.rows[-1].what, log.rows[-1].function), last, "the last row")


def read_counter(directory):
    with open(os.path.join(directory, "counter"), "rb") as file:
        return struct.unpack("Q", file.read(8) or bytes(8))[0]


def start_counting(argv, threshold=0, **more):
    """Starts a program that counts its calls in a mapped file; returns (process, its directory, its PMT_DIR)."""
    cwd, directory = scratch(), scratch()
    env = clean_env({"WITNESS_DIR": cwd}, [LIB], directory, {"threshold": threshold, "summary": "off"})
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)
    deadline = time.monotonic() + 30
    while not (os.path.exists(os.path.join(cwd, "counter")) and read_counter(cwd)):
        if process.poll() is not None:
            check(False, "the program ended before it was killed", process.stderr.read()[-500:].decode())
        check(time.monotonic() < deadline, "the program does not start to count")
        time.sleep(0.001)
    return process, cwd, directory


def check_killed(cwd, directory):
    """The log reads to its last whole row, and lacks one row at most: after `done` calls, there were `done` CALLs and
    `done` RETURNs."""
    done = read_counter(cwd)
    paths = [os.path.join(directory, name) for name in os.listdir(directory)]
    (path,) = [path for path in paths if path.endswith(".log")]
    for other in paths:
        check_file(other)
        if other != path:
            with contextlib.suppress(capture.Unfinished):
                check_capture(other)
    log = check_log(path, 0, cut=True)
    rows = sum(row.function == "step" for row in log.rows)
    check(rows >= 2 * done - 1, "%d rows for %d calls" % (rows, done))
    return rows


@each(PYTHONS)
def killed_at_any_moment(python):
    """SIGKILL at 50 random moments."""
    moments = random.Random(4)
    for _ in range(KILLS):
        process, cwd, directory = start_counting(python_argv(python, "ending.py", "_exit", 0))
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        equal(process.wait(), -signal.SIGKILL, "status")
        process.stderr.close()
        check_killed(cwd, directory)
        pmttest.clean_scratch()


@test
def killed_for_memory():
    """The kernel's own kill in a memory cgroup. Needs one that may be changed: PMT_TEST_CGROUP, a directory."""
    parent = os.environ.get("PMT_TEST_CGROUP")
    if not parent:
        skip("needs a memory cgroup to limit: PMT_TEST_CGROUP names none")
    group = os.path.join(parent, "pmt-test-%d" % os.getpid())
    os.mkdir(group)
    limit = "memory.max" if os.path.exists(os.path.join(group, "memory.max")) else "memory.limit_in_bytes"

    def put(name, value):
        with open(os.path.join(group, name), "w") as file:
            file.write(str(value))

    try:
        put(limit, 64 << 20)
        process, cwd, directory = start_counting(python_argv(PYTHONS[-1], "oom.py"),
                                                 preexec_fn=lambda: put("cgroup.procs", os.getpid()))
        equal(process.wait(60), -signal.SIGKILL, "status")
        check_killed(cwd, directory)
    finally:
        os.rmdir(group)


if __name__ == "__main__":
    sys.exit(main())
