"""FAULTS.md 1 to 7, 13 to 17 for the capture: whatever happens to a process or its files, what it leaves is a whole
capture that says the truth."""
import contextlib
import glob
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time

from faulttest import (both, capture, captures_of, check_capture, check_complete, check_file, mount_small, need_root,
                       only_log, pmttest, private_mounts, python_argv, read_file, target, wait_gone)
from pmttest import LIB, check, clean_env, each, equal, main, run, scratch, some_pythons, test

PYTHONS = some_pythons()
KILLS = 50
SLACK = 1.0  # seconds by which a busy machine may delay a tick


def only_capture(result):
    check(len(result.captures) == 1, "%d captures, not one" % len(result.captures), *result.captures)
    return next(iter(result.captures.values()))


def blocks_of(found, function):
    """Live blocks at the sites whose innermost frame is the function."""
    return sum(site.live_blocks for site in found.sites if site.stack and site.stack[0].function == function)


def total_blocks_of(found, function):
    return sum(site.total_blocks for site in found.sites if site.stack and site.stack[0].function == function)


# ---- 16, 17: ends


ENDINGS = {  # how: (word, exit status in the capture)
    "_exit": ("exit", 5),
    "quick_exit": ("exit", 6),
    "exec": ("exec", -1),
    "SIGKILL": ("running", -1),
    "SIGTERM": ("running", -1),
    "SIGSEGV": ("running", -1),
    "abort": ("running", -1),
}


@each([(python, how) for python in PYTHONS for how in ENDINGS])
def ending(case):
    python, how = case
    result = both(python_argv(python, "ending.py", how, 2000), events="off", ignore=["counter"],
                  normalise=lambda text: re.sub(r"0x[0-9a-f]+", "0x...", text))
    found = only_capture(result)
    equal((found.ended, found.state.exit_status), ENDINGS[how], "the end that the capture states")
    equal(found.exit_snapshot is not None, found.ended == "exit", "there is an exit snapshot")


@each(PYTHONS)
def ordinary_end(python):
    """The exit snapshot is from before the teardown, with what the program still held."""
    code = "def keep():\n    return [bytearray(1000) for i in range(500)]\nx = keep()\nimport sys; sys.exit(3)"
    result = both([python.path, "-c", code], events="off")
    found = only_capture(result)
    equal((found.ended, found.state.exit_status), ("exit", 3), "the end that the capture states")
    keep = [site.id for site in found.sites if any(frame.function == "keep" for frame in site.stack)]
    held = sum(found.exit_snapshot.held.get(site, (0, 0))[1] for site in keep)
    check(1000 <= held <= 1002, "the exit snapshot has %d blocks of keep(), not 1,000 and a list" % held)
    check(sum(found.exit_snapshot.live_bytes) > found.totals.live_bytes, "the snapshot is from after the teardown")


def start_capturing(python, seconds):
    cwd, directory = scratch(), scratch()
    env = clean_env({"WITNESS_DIR": cwd}, [LIB], directory, {"events": "off", "summary": "off"})
    process = subprocess.Popen(python_argv(python, "capturing.py", seconds), cwd=cwd, env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return process, cwd, directory


def wait_for_capture(process, directory):
    deadline = time.monotonic() + 30
    while not os.listdir(directory):
        check(process.poll() is None, "the program ended before it was killed")
        check(time.monotonic() < deadline, "no capture within 30 s")
        time.sleep(0.002)


def check_reading(found, cwd):
    """What make() holds, by the capture, is what the program itself held at that moment. A bytearray is two blocks.
    False: the program had not begun."""
    path, readings = os.path.join(cwd, "readings"), []
    if os.path.exists(path):
        with open(path, "rb") as file:
            readings = sorted(pair for pair in struct.iter_unpack("<dQ", file.read()) if pair[0])
    if not readings:
        equal(blocks_of(found, "make"), 0, "blocks of a program that had not begun")
        return False
    moment = (found.header.start_unix_ns + found.state.time_ns) / 1e9
    near = [count for when, count in readings if abs(when - moment) < 0.02]
    near += [max(pair for pair in readings if pair[0] <= moment)[1]] if readings[0][0] <= moment else [0]
    near += [min(pair for pair in readings if pair[0] >= moment)[1]] if readings[-1][0] >= moment else []
    blocks = blocks_of(found, "make") / 2
    check(min(near) - 20 <= blocks <= max(near) + 20, "the capture has %s blocks" % blocks, "readings: %s" % near)
    return True


@each(PYTHONS)
def killed_at_any_moment(python):
    """SIGKILL at 50 random moments: the last state is whole, not old, and true when it was written."""
    moments, made, begun = random.Random(5), 0, 0
    for _ in range(KILLS):
        process, cwd, directory = start_capturing(python, 0)
        wait_for_capture(process, directory)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        killed = time.time()
        equal(process.wait(), -signal.SIGKILL, "status")
        process.stderr.close()
        (name,) = os.listdir(directory)
        check_file(os.path.join(directory, name))
        with contextlib.suppress(capture.Unfinished):
            found = check_capture(os.path.join(directory, name))
            made += 1
            equal(found.ended, "running", "the end that the capture states")
            age = killed - (found.header.start_unix_ns + found.state.time_ns) / 1e9
            check(age < 0.1 + SLACK, "the last state is %.3f s old" % age)
            begun += check_reading(found, cwd)
        pmttest.clean_scratch()
    check(made > KILLS * 0.9, "only %d of %d processes had written a state" % (made, KILLS))
    check(begun > KILLS * 0.4, "only %d of %d states were compared with readings" % (begun, KILLS))


@each(PYTHONS)
def read_while_it_is_written(python):
    process, cwd, directory = start_capturing(python, 3)
    wait_for_capture(process, directory)
    sequences = set()
    while process.poll() is None:
        with contextlib.suppress(capture.Unfinished):
            (name,) = os.listdir(directory)
            found = check_capture(os.path.join(directory, name))
            sequences.add(found.state.sequence)
    process.stderr.close()
    check(len(sequences) > 3, "only %d states were seen" % len(sequences))
    (name,) = os.listdir(directory)
    equal(check_capture(os.path.join(directory, name)).ended, "exit", "the end that the capture states")


# ---- 13 to 15: processes


@each(PYTHONS)
def nested_forks(python):
    """50 generations: a capture for each, which says what it inherited, and that it ended."""
    result = both(python_argv(python, "nested.py", 50), events="off", ignore=["pids"])
    depths = {int(pid): int(depth) for pid, depth in (line.split() for line in
                                                      read_file(result.cwd, "pids").splitlines())}
    equal(sorted(found.header.pid for found in result.captures.values()), sorted(depths), "processes with a capture")
    for found in result.captures.values():
        depth = depths[found.header.pid]
        equal(found.ended, "exit", "the end of depth %d" % depth)
        equal(found.state.exit_status, 0 if depth == 0 else 9, "the exit status of depth %d" % depth)
        equal([snapshot.kind for snapshot in found.snapshots], ["fork", "exit"] if depth else ["exit"], "snapshots")
        if depth:
            equal(depths[found.header.parent_pid], depth - 1, "the parent of depth %d" % depth)
            equal(sum(found.snapshots[0].live_bytes), found.state.inherited_bytes, "what depth %d inherited" % depth)
            check(found.state.inherited_bytes > 100000, "depth %d inherited nothing" % depth)


@each(PYTHONS)
def children_without_handlers(python):
    """A child of _Fork has a capture of its own; one that execs at once has none; the parent's is the parent's."""
    result = both(python_argv(python, "forkers.py"), events="off")
    equal(len(result.captures), 2, "the number of captures")
    (parent,) = captures_of(result, result.traced.pid)
    (child,) = [found for found in result.captures.values() if found is not parent]
    equal(child.header.parent_pid, parent.header.pid, "the child's parent")
    check(child.state.inherited_bytes > 2000000, "the child inherited %d bytes" % child.state.inherited_bytes)
    equal((child.ended, child.state.exit_status), ("exit", 9), "the child's end")
    equal((parent.ended, parent.state.exit_status), ("exit", 0), "the parent's end")
    check(total_blocks_of(child, "kept_by_the_child") + total_blocks_of(child, "<listcomp>") >= 80000,
          "what the child allocated is not in its capture")
    equal(total_blocks_of(parent, "kept_by_the_child"), 0, "blocks of the child in the parent's capture")


@each(PYTHONS)
def exec_of_itself(python):
    """The same process runs Python twice: two captures, each beside the log of the same run."""
    result = both(python_argv(python, "execs.py", 1))
    equal(sorted(found.ended for found in result.captures.values()), ["exec", "exit"], "ends")
    equal(sorted(path[:-4] for path in result.captures), sorted(path[:-4] for path in result.logs), "stems")
    for path, found in result.captures.items():
        equal(found.meta["argv"][-1], "1" if found.ended == "exec" else "2", "the last argument of %s" % path)


@each(PYTHONS)
def daemonised(python):
    """The capture of a daemon is where PMT_DIR was when the program started."""
    result = both(python_argv(python, "daemon.py"), events="off", settle=lambda cwd: wait_gone(
        int(read_file(cwd, "pid"))), ignore=["pid"], env={"PMT_DIR": "out"}, log_dir="out")
    equal(len(result.captures), 3, "the number of captures")
    (daemon,) = captures_of(result, read_file(result.cwd, "pid"))
    equal((daemon.ended, daemon.meta["cwd"][0].rpartition("/")[2]), ("exit", "cwd"), "end, directory at the start")
    check(total_blocks_of(daemon, "daemon_work") > 0 or daemon.totals.total_blocks > 0, "the daemon allocated nothing")


# ---- 1 to 4: descriptors


@each([(python, high) for python in PYTHONS for high in (4096, 0)])
def closerange(case):
    found = only_capture(both(python_argv(case[0], "closerange.py", case[1]), events="off"))
    equal(found.ended, "exit", "the end that the capture states")
    check(found.totals.peak_bytes > 10 << 20, "the 200,000 strings are not in the capture")


@each(PYTHONS)
def dup2_over_all(python):
    equal(only_capture(both(python_argv(python, "dup2.py"), events="off")).ended, "exit", "the end")


@each(PYTHONS)
def dup2_over_the_capture(python):
    """The application's file gets the numbers of pmt's own: nothing of pmt reaches it, and the capture is reopened, or
    was not open (it stays open only where the application cannot meet it)."""
    result = both(python_argv(python, "dup2log.py"), ignore=["taken"])
    check(int(read_file(result.cwd, "taken")) > 0, "the program found no descriptor of pmt to take over")
    equal(only_capture(result).ended, "exit", "the end that the capture states")


@each(PYTHONS)
def privileges_given_up(python):
    """The capture and the log go on, though they could not be opened again."""
    need_root()
    result = both(python_argv(python, "privileges.py"))
    equal(only_capture(result).ended, "exit", "the end that the capture states")
    check_complete(only_log(result))


@each(PYTHONS)
def standard_descriptors_closed(python):
    argv = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"] + python_argv(python, "stdclosed.py")
    equal(only_capture(both(argv, events="off")).ended, "exit", "the end that the capture states")


# ---- 5 to 7: the disk


def check_cut_short(result, least):
    """The capture ends at a state in mid-run, of which it has everything."""
    found = only_capture(result)
    equal(found.ended, "running", "the end that the capture states")
    check(len(found.sites) > least, "only %d sites are in the last state" % len(found.sites))


@each(PYTHONS)
def full_disk(python):
    with private_mounts():
        result = both(python_argv(python, "sites.py", 40000), prepare=mount_small("size=2m,mode=755"), log_dir="out",
                      env={"PMT_DIR": "out"}, events="off", problems=[r"\.pmt: no space left on device; the capture"])
    check_cut_short(result, 3000)


@each(PYTHONS)
def file_size_limit(python):
    result = both(python_argv(python, "sites.py", 40000, "SIGXFSZ"), events="off",
                  problems=[r"\.pmt: file size limit.*; the capture"])
    (path,) = result.captures
    check(os.path.getsize(path) <= 3 << 20, "the capture is larger than the limit")
    check_cut_short(result, 2000)


@each([(python, how) for python in PYTHONS for how in ("EIO", "EDQUOT")])
def writes_that_fail_later(case):
    """The file gives up after a megabyte: the state before is what is left."""
    python, how = case
    report = os.path.join(scratch(), "report")
    argv = [target("static_badwrite"), how, "1000000", report] + python_argv(python, "sites.py", 40000)
    words = {"EIO": "input/output error", "EDQUOT": "disk quota exceeded"}[how]
    result = both(argv, events="off", problems=[r"\.pmt: %s; the capture" % words])
    equal(int(read_file(report)), 1, "writes after the first that failed")
    check_cut_short(result, 500)  # how many there are depends on when the tick before came


@each([(python, how) for python in PYTHONS for how in ("short", "EINTR")])
def writes_that_must_be_repeated(case):
    python, how = case
    report = os.path.join(scratch(), "report")
    argv = [target("static_badwrite"), how, "0", report] + python_argv(python, "sites.py", 4000)
    found = only_capture(both(argv, events="off"))
    check(int(read_file(report)) > 50, "no write was spoilt: the test tested nothing")
    equal(found.ended, "exit", "the end that the capture states")
    made = {site.stack[0].function for site in found.sites if site.stack and site.total_blocks >= 2}
    equal(len([name for name in made if name.startswith("keep_")]), 4000, "functions that made a block")


# ---- which processes have one, and what is in it


def captures_in(directory):
    return [check_capture(path) for path in sorted(glob.glob(os.path.join(directory, "*.pmt")))]


@each(PYTHONS)
def short_lived(python):
    (found,) = captures_in(run([python.path, "-c", "pass"], events="off").dir)
    equal((found.ended, found.meta["python"]), ("exit", [".".join(map(str, python.version))]), "end, version")
    equal((found.meta["argv"], found.meta["cwd"]), ([python.path, "-c", "pass"], [os.getcwd()]), "arguments, directory")
    equal(found.header.features, capture.FEATURE_SITES | capture.FEATURE_PYTHON, "features")


@test
def without_python():
    program = ["sh", "-c", "true"]
    equal(captures_in(run(program).dir), [], "captures of a shell")
    equal(captures_in(run(program, all=1, env={"PMT_ENABLE": "0"}).dir), [], "captures with PMT_ENABLE=0")
    (found,) = captures_in(run(program, all=1).dir)
    equal((found.ended, found.state.exit_status, "python" in found.meta), ("exit", 0, False), "end, status, Python")
    equal([site.id for site in found.sites if site.total_blocks], [0], "sites that allocated")


@each([(python, sites) for python in PYTHONS for sites in ("off", "sample")])
def without_sites(case):
    python, sites = case
    (found,) = captures_in(run([python.path, "-c", "MEMPOINT('x')"], sites=sites).dir)
    equal((found.sites, found.header.features, found.meta["sites"]), ([], 0, [sites]), "sites, features, option")
    check(found.totals.live_bytes > 100000, "no totals")
    equal([mark.name for mark in found.marks], ["x"], "marks")
    check("rounds" in found.meta["warning"][0], "no warning that sizes are rounded", *found.meta["warning"])


@each(PYTHONS)
def names_that_hurt(python):
    """Arguments and directories with newlines, backslashes and bytes that are not UTF-8."""
    cwd = os.path.join(scratch(), "a\nb\\c=d")
    os.mkdir(cwd)
    words = [python.path, "-c", "pass", "x\ny", "\\n\\", "", "=", "\udcff\udcfe"]
    (found,) = captures_in(run(words, cwd=cwd).dir)
    equal((found.meta["argv"], found.meta["cwd"]), (words, [cwd]), "arguments, directory")


@test
def warnings():
    """What is not counted is said in the capture too."""
    (found,) = captures_in(run([target("own_malloc")], all=1).dir)
    check("not counted" in found.meta["warning"][0], "no warning", *found.meta["warning"])


@test
def long_command_line():
    (found,) = captures_in(run([PYTHONS[-1].path, "-c", "pass"] + ["x" * 100] * 500).dir)
    check(3 < len(found.meta["argv"]) < 100, "%d arguments" % len(found.meta["argv"]))
    check(any("command line" in words for words in found.meta["warning"]), "no warning that it is cut")


MARKS = """
import pmt
MEMPOINT('before')
with pmt.label('request \u0444'):
    x = [bytearray(100) for i in range(10)]
MEMPOINT()
"""


@each(PYTHONS)
def marks(python):
    (found,) = captures_in(run([python.path, "-c", MARKS], env={"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}).dir)
    equal([(mark.kind, mark.name) for mark in found.marks],
          [("point", "before"), ("begin", "request \u0444"), ("end", "request \u0444"), ("point", "None")], "marks")
    check(all(mark.memory > 100000 and mark.thread == 0 for mark in found.marks), "memory or thread", found.marks)
    labelled = sum(site.total_blocks for site in found.sites if site.label == "request \u0444")
    check(labelled >= 20, "%d blocks carry the label" % labelled)


@each(PYTHONS)
def growth_snapshots(python):
    code = "import time\nx = []\nfor i in range(40):\n    x.append(bytearray(1 << 20))\n    time.sleep(0.02)\n"
    result = run([python.path, "-c", code], snapshot="+10M,80%,exit,signal")
    check(len(result.pmt_lines) == 1 and "not built yet" in result.pmt_lines[0], "one line", *result.pmt_lines)
    (found,) = captures_in(result.dir)
    kinds = [snapshot.kind for snapshot in found.snapshots]
    equal(kinds, ["growth"] * (len(kinds) - 1) + ["exit"], "kinds of snapshots")
    check(2 <= len(kinds) - 1 <= 4, "%d snapshots of growth for 40 MiB" % (len(kinds) - 1))
    sizes = [0] + [sum(snapshot.live_bytes) for snapshot in found.snapshots[:-1]]
    check(all(later - earlier >= 10 << 20 for earlier, later in zip(sizes, sizes[1:])), "they are too near", sizes)
    (found,) = captures_in(run([python.path, "-c", "pass"], snapshot="peak").dir)
    equal(found.snapshots, [], "snapshots with --snapshot peak")


if __name__ == "__main__":
    sys.exit(main())
