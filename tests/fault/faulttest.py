"""What every case of FAULTS.md shares: run the program without and with pmt, and compare all that it does.

both() runs it twice in the same working directory, made anew, and requires the same status, output, files of the
application and witness files (descriptors, environment, threads, signals, errno: see programs/witness.py); that what
pmt says on stderr is expected; and that every log and every capture is well-formed, named and protected as documented.
"""
import collections
import contextlib
import ctypes
import difflib
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import capture  # noqa: E402  (the path is set above)
import pmttest  # noqa: E402
from pmttest import LIB, check, check_log, equal, run, scratch, short, skip  # noqa: E402

# plain, traced: Results. logs, captures: for each of the traced run its Log or Capture, by path. cwd: what it left there.
Both = collections.namedtuple("Both", "plain traced logs captures cwd")

FILE_NAME = re.compile(r"^\d{6}_\d{6}_(\d+)(?:-\d+)?\.(?:log|pmt)$")
CLONE_NEWNS = 0x20000
LOST = re.compile(r"(\d[\d,]*) (?:rows? w\w+ (?:lost|left out)|more are not in it)")


def program(name):
    return os.path.join(HERE, "programs", name)


def python_argv(python, name, *arguments):
    """The command that runs a program of programs/ (-B: no caches in the tree)."""
    return [python.path, "-B", program(name)] + [str(argument) for argument in arguments]


def target(name):
    """The path of a program or library built from tests/target or tests/oracle."""
    for candidate in (name, name + ".so", "lib%s.so" % name):
        path = os.path.join(pmttest.BUILD, "tests", candidate)
        if os.path.exists(path):
            return path
    raise AssertionError("no test program %s in %s/tests: build first" % (name, pmttest.BUILD))


def read_tree(directory):
    """Contents of all files below a directory, by relative path; kinds of what is no file."""
    found = {}
    for where, names, files in os.walk(directory):
        for name in names + files:
            path = os.path.join(where, name)
            key = os.path.relpath(path, directory)
            if os.path.islink(path):
                found[key] = "link to %s" % os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[key] = file.read().decode("utf-8", "surrogateescape")
            else:
                found[key] = "no file"
    return found


def compare_texts(plain, traced, what):
    if plain != traced:
        lines = list(difflib.unified_diff(plain.splitlines(), traced.splitlines(), "without", "with", lineterm="", n=0))
        check(False, "%s differs with pmt" % what, *[short(line, 300) for line in lines[:20]])


def compare_trees(plain, traced, ignore):
    drop = [name for name in set(plain) | set(traced) if name.split("/")[0] in ignore]
    for name in drop:
        plain.pop(name, None)
        traced.pop(name, None)
    equal(sorted(traced), sorted(plain), "the set of the application's files")
    for name in plain:
        compare_texts(plain[name], traced[name], "file %s" % name)


def is_summary(line):
    return any(re.match(pattern, line) for pattern in pmttest.SUMMARY_LINES + ("pmt: wrote ", "pmt: Python live "))


def check_lines(lines, expected, possible=()):
    """Every line of pmt matches one of the patterns, and every pattern that is expected matches exactly one line; one
    that is possible, at most one."""
    for pattern in list(expected) + list(possible):
        count = sum(bool(re.search(pattern, line)) for line in lines)
        check(count == 1 or (count == 0 and pattern in possible), "%d lines of pmt match %s" % (count, pattern), *lines)
    left = [line for line in lines if not any(re.search(pattern, line) for pattern in [*expected, *possible])]
    check(not left, "pmt says what was not expected", *left)


def check_file(path):
    """Name and mode of a log or a capture; returns the process it names."""
    match = FILE_NAME.match(os.path.basename(path))
    check(match, "the file's name is not as documented: %s" % path)
    equal(oct(os.stat(path).st_mode & 0o777), "0o600", "the mode of %s" % path)
    return int(match[1])


def both(argv, before=(), after=(), env=None, ignore=(), problems=(), possible=(), prepare=None, settle=None,
         normalise=None, threshold=0, cut=False, log_dir=None, **options):
    """Runs argv without pmt, then with; compares; returns Both.

    before, after: other preloaded libraries, around LIB; the plain run has them too. ignore: names in the working
    directory that may differ. problems: patterns of the lines that pmt must write, one each; None leaves them to the
    caller. possible: of those that it may write. prepare(cwd) fills the working directory; settle(cwd) waits for what outlives the program.
    normalise(text) hides from out and err what differs from run to run. cut: a log may end within a row. log_dir: below
    cwd, where logs go in place of PMT_DIR.
    """
    base = scratch()
    cwd, results, trees = os.path.join(base, "cwd"), [], []
    for pmt in (False, True):
        os.mkdir(cwd)
        if prepare:
            prepare(cwd)
        preload = list(before) + ([LIB] if pmt else []) + list(after)
        more = dict(options, threshold=threshold) if pmt else {}
        more.update((key, options[key]) for key in ("stdin", "timeout") if key in options)
        result = run(argv, pmt=pmt, cwd=cwd, preload=preload, env=dict({"WITNESS_DIR": cwd}, **(env or {})), **more)
        if settle:
            settle(cwd)
        trees.append(read_tree(cwd))
        results.append(result)
        os.rename(cwd, os.path.join(base, "traced" if pmt else "plain"))
    plain, traced = results
    said = [line for line in traced.pmt_lines if options.get("summary") != "on" or not is_summary(line)]
    if problems is not None:
        check_lines(said, problems, possible)
    same = normalise or (lambda text: text)
    equal(traced.status, plain.status, "exit status (err: %s)" % short(traced.err))
    compare_texts(same(plain.out), same(traced.out), "stdout")
    compare_texts(same(plain.err), same(traced.err), "stderr")
    compare_trees(trees[0], trees[1], set(ignore) | {log_dir})
    after_run = os.path.join(base, "traced")
    directory = os.path.join(after_run, log_dir) if log_dir else traced.dir
    logs, captures, names = {}, {}, sorted(os.listdir(directory))
    for number, name in enumerate(names):
        path = os.path.join(directory, name)
        pid = check_file(path)
        if name.endswith(".log"):
            logs[path] = check_log(path, threshold, cut)
        elif len(names) > 200 and number % 20:  # of hundreds, some are read whole
            capture.check_states(path)
        else:
            captures[path] = check_capture(path)
            equal(captures[path].header.pid, pid, "the process that %s is of" % name)
    return Both(plain, traced, logs, captures, after_run)


def check_capture(path):
    """Reads a capture strictly, and checks that it adds up."""
    found = capture.read(path)
    capture.check_sums(found)
    return found


def captures_of(result, pid):
    """The captures of one process."""
    return [found for found in result.captures.values() if found.header.pid == int(pid)]


def read_file(*parts):
    with open(os.path.join(*parts)) as file:
        return file.read()


def calls(log, function, what="CALL"):
    return sum(row.what == what and row.function == function for row in log.rows)


def only_log(result):
    check(len(result.logs) == 1, "%d logs, not one" % len(result.logs), *result.logs)
    return next(iter(result.logs.values()))


def log_of(result, pid):
    """The logs of one process."""
    return [log for path, log in result.logs.items() if FILE_NAME.match(os.path.basename(path))[1] == str(pid)]


def stated_loss(result):
    """How many rows pmt says it lost, in the logs or else in the exit summary; both must agree."""
    messages = [message.text for log in result.logs.values() for message in log.messages]
    in_logs, in_lines = ([int(match[1].replace(",", "")) for match in map(LOST.search, texts) if match]
                         for texts in (messages, result.traced.pmt_lines))
    if in_logs and in_lines:
        equal(sum(in_logs), sum(in_lines), "rows lost, as the log says, and as the summary says,")
    return sum(in_logs or in_lines)


def check_complete(log, steps=None):
    """The log goes from the first event to the last function of witness.py, with `steps` calls of step()."""
    check(calls(log, "the_end", "RETURN") == 1, "the log lacks the end of the program",
          *[row.text for row in log.rows[-2:]])
    check(not log.messages, "messages in a log that should be whole", *log.messages)
    if steps is not None:
        equal(calls(log, "step"), steps, "number of calls of step() in the log")


def wait_gone(pid, timeout=30):
    """Waits until a process that is not our child has ended."""
    for _ in range(timeout * 100):
        try:
            with open("/proc/%d/stat" % pid) as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.01)
    raise pmttest.Hang("process %d did not end within %d s" % (pid, timeout))


def need_root():
    if os.geteuid() != 0:
        skip("needs root")


def need_unshare():
    """For cases that mount: a mount namespace of their own."""
    need_root()
    if shutil.which("unshare") is None or run(["unshare", "-m", "true"], pmt=False).status != 0:
        skip("needs unshare -m, which is not permitted here")


def in_namespace(script, argv):
    """The command that runs `script` in a mount namespace of its own, and then argv in the same process."""
    return ["unshare", "-m", "sh", "-c", script + '; exec "$@"', "sh"] + list(argv)


@contextlib.contextmanager
def private_mounts():
    """What is mounted within is seen by this process and its children only, and unmounted at the end."""
    need_unshare()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        skip("unshare is not permitted")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    try:
        yield
    finally:
        with open("/proc/self/mountinfo") as file:
            mounts = [line.split()[4] for line in file if "/pmttest-" in line.split()[4]]
        for path in mounts:
            subprocess.run(["umount", "-l", path], check=False)


def mount_small(options):
    def prepare(cwd):
        os.mkdir(os.path.join(cwd, "out"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", os.path.join(cwd, "out")], check=True)

    return prepare


__all__ = ["Both", "both", "calls", "capture", "captures_of", "check_capture", "check_complete", "check_file",
           "check_log", "in_namespace", "log_of", "mount_small", "need_root", "need_unshare", "only_log", "pmttest",
           "private_mounts", "program", "python_argv", "read_file", "stated_loss", "target", "wait_gone"]
