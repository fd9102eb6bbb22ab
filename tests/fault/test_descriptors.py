"""FAULTS.md 1 to 9: descriptors and files."""
import contextlib
import os
import shutil
import stat
import subprocess
import sys

from faulttest import (both, calls, check_complete, in_namespace, mount_small, need_root, need_unshare, only_log,
                       pmttest, private_mounts, python_argv, read_file, stated_loss, target, wait_gone)
from pmttest import check, each, equal, main, run, scratch, skip, some_pythons, test

PYTHONS = some_pythons()
OWN = next((python for python in PYTHONS if python.path.startswith("/usr/bin/")), PYTHONS[-1])


# ---- 1 to 4: the application's descriptors


@each([(python, high) for python in PYTHONS for high in (4096, 0)])
def closerange(case):
    """Every descriptor is closed, up to 4096 or all: the log is reopened, or says what it lost."""
    result = both(python_argv(case[0], "closerange.py", case[1]))
    check_complete(only_log(result), 1001)


@each(PYTHONS)
def dup2_over_all(python):
    check_complete(only_log(both(python_argv(python, "dup2.py"))), 2000)


@each(PYTHONS)
def dup2_over_the_log(python):
    """The application's file gets the number of pmt's own: nothing of pmt reaches it."""
    result = both(python_argv(python, "dup2log.py"), ignore=["taken"])
    taken = int(read_file(result.cwd, "taken"))
    check(taken > 0, "the program found no descriptor of pmt to take over: the test tested nothing")
    log = only_log(result)
    check(calls(log, "the_end") == 1 or stated_loss(result) > 0, "rows are missing, and nothing says so")


@each([(python, summary) for python in PYTHONS for summary in ("on", "off")])
def standard_descriptors_closed(case):
    """Files of the application get the numbers 0, 1 and 2: no line of pmt may land in them."""
    python, summary = case
    argv = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"] + python_argv(python, "stdclosed.py")
    # the shell starts with a good stderr and can say what is wrong, once; the program that it executes cannot
    check_complete(only_log(both(argv, summary=summary, env={"PMT_NONSENSE": "1"}, problems=["PMT_NONSENSE"])), 1000)


def wait_for_daemon(cwd):
    wait_gone(int(read_file(cwd, "pid")))


@each([(python, where) for python in PYTHONS for where in ("relative", "absolute")])
def daemonised(case):
    """The log of a daemon is where PMT_DIR was when the program started, whatever its directory and umask are now."""
    python, where = case
    env = {"PMT_DIR": "out"} if where == "relative" else {}
    result = both(python_argv(python, "daemon.py"), settle=wait_for_daemon, ignore=["pid"], env=env,
                  log_dir="out" if env else None)
    # the intermediate process ends by os._exit, so it has a log too
    found = [log for log in result.logs.values() if calls(log, "daemon_work")]
    equal(len(result.logs), 3, "number of logs")
    equal([calls(log, "daemon_work") for log in found], [1001], "calls in the daemon's log")


# ---- 5 to 7: the disk

# The log and the capture are two files: each says that it ends, if it does.
CAPTURE_IS_FULL = r"the capture: no space left|\.pmt: no space left on device; the capture ends here"


@each(PYTHONS)
def full_disk(python):
    """Ten times what the disk holds: one line says so, the loss is counted, the application goes on."""
    with private_mounts():
        result = both(python_argv(python, "events.py", 50000), prepare=mount_small("size=2m,mode=755"), log_dir="out",
                      env={"PMT_DIR": "out"}, problems=[r"\.log: no space left"], possible=[CAPTURE_IS_FULL],
                      summary="on")
    log = only_log(result)
    check(len(log.rows) > 5000, "only %d rows on a disk of 2 MB" % len(log.rows))
    check_loss_counted(result, python, 50000)


def check_loss_counted(result, python, count):
    """The rows of the log and those that pmt says it lost are all the rows of a run that loses none.

    A run's number of events is its own (a file system's answers decide what the interpreter does at exit), so the
    comparison leaves room for some."""
    whole = only_log(both(python_argv(python, "events.py", count)))
    check_complete(whole, count)
    stated = stated_loss(result)
    check(stated > 0, "rows are lost, and nothing says how many", *result.traced.pmt_lines)
    got = len(only_log(result).rows) + stated
    check(abs(got - len(whole.rows)) < 200, "rows in the log + rows said to be lost are %d, a whole log has %d"
          % (got, len(whole.rows)), *result.traced.pmt_lines)


@each(PYTHONS)
def full_disk_from_the_start(python):
    def prepare(cwd):
        mount_small("size=64k,mode=755")(cwd)
        with contextlib.suppress(OSError), open(os.path.join(cwd, "out", "filler.log"), "wb", 0) as file:
            while True:
                file.write(bytes(4096))

    with private_mounts():
        base = scratch()
        prepare_only = os.path.join(base, "cwd")
        os.mkdir(prepare_only)
        prepare(prepare_only)
        directory = os.path.join(prepare_only, "out")
        result = both(python_argv(python, "events.py", 1000), env={"PMT_DIR": directory},
                      problems=[r"(?i)no space left"])
        equal(result.logs, {}, "logs in the run's own directory")
        left = [name for name in os.listdir(directory) if name != "filler.log"]
        for name in left:
            log = pmttest.parse_log(os.path.join(directory, name))
            check(log.cut or not log.rows, "rows on a full disk?", name)


@each([(python, how) for python in PYTHONS for how in ("short", "EINTR")])
def writes_that_must_be_repeated(case):
    """Short and interrupted writes are completed: nothing is lost, nothing said."""
    python, how = case
    report = os.path.join(scratch(), "report")
    argv = [target("static_badwrite"), how, "0", report] + python_argv(python, "events.py", 500)
    result = both(argv)
    check(int(read_file(report)) > 100, "no write was spoilt: the test tested nothing")
    check_complete(only_log(result), 500)


@each([(python, how, size) for python in PYTHONS for how in ("EIO", "ENOSPC", "EDQUOT") for size in (0, 100000)])
def writes_that_fail(case):
    """The disk fails at once, or after 100,000 bytes of a file: one line for each file, or one for both if there is
    neither; what is lost is counted, the rest is readable."""
    python, how, size = case
    report = os.path.join(scratch(), "report")
    argv = [target("static_badwrite"), how, str(size), report] + python_argv(python, "events.py", 1000)
    words = {"EIO": "input/output error", "ENOSPC": "no space left", "EDQUOT": "disk quota exceeded"}[how]
    expected = [r"\.log: " + words, "(the capture|files): " + words] if size else ["cannot write files: " + words]
    result = both(argv, problems=expected, summary="on")
    check(int(read_file(report)) > 0, "no write was spoilt: the test tested nothing")
    if size:
        check_loss_counted(result, python, 1000)
    else:
        equal([len(log.rows) for log in result.logs.values()], [0] * len(result.logs), "rows on a disk that takes none")


@each(PYTHONS)
def stderr_is_full(python):
    """pmt's own lines cannot be written: that is nobody's business."""
    argv = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"] + python_argv(python, "events.py", 100)
    check_complete(only_log(both(argv, summary="on")), 100)


@each(PYTHONS)
def stderr_is_a_broken_pipe(python):
    """Nor may they end the application by SIGPIPE."""
    words = 'import os, signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL); r, w = os.pipe(); os.close(r);' \
            'os.dup2(w, 2); os.close(w); os.execv(sys.argv[1], sys.argv[1:])'
    argv = [sys.executable, "-ISc", words] + python_argv(python, "events.py", 100)
    result = both(argv, summary="on")
    check(any(calls(log, "step") for log in result.logs.values()), "no log of the program")


@each(PYTHONS)
def file_size_limit(python):
    """RLIMIT_FSIZE: pmt stops before the limit, where a write would raise SIGXFSZ, and counts what it lost."""
    result = both(python_argv(python, "filesize.py"), problems=[r"(?i)file too large|file size limit"], summary="on")
    (path,) = result.logs
    check(os.path.getsize(path) <= 16 << 20, "the log is larger than the limit")
    check(stated_loss(result) > 10000, "rows are lost, and nothing says how many", *result.traced.pmt_lines)


@each(PYTHONS)
def log_max(python):
    """PMT_LOG_MAX: the file stays within it, a message says so, and the last one how many rows were left out."""
    result = both(python_argv(python, "events.py", 3000), log_max="100K")
    (path,) = result.logs
    log = only_log(result)
    check(os.path.getsize(path) <= 100 << 10, "the log is larger than PMT_LOG_MAX")
    check(len(log.messages) == 2 and "PMT_LOG_MAX" in log.messages[0].text, "messages are not as documented",
          *log.messages)
    check_loss_counted(result, python, 3000)


# ---- 8: the directory


def make_fifo(cwd):
    os.mkfifo(os.path.join(cwd, "out"))


def make_file(cwd):
    with open(os.path.join(cwd, "out"), "w") as file:
        file.write("mine")


def make_dangling(cwd):
    os.symlink("/nonexistent/place", os.path.join(cwd, "out"))


def make_loop(cwd):
    os.symlink("out", os.path.join(cwd, "out"))


def make_device(cwd):
    os.symlink("/dev/full", os.path.join(cwd, "out"))


BAD_DIRECTORIES = {
    "a FIFO": (make_fifo, "out", "Not a directory"),
    "a file": (make_file, "out", "Not a directory"),
    "below a file": (make_file, "out/deeper", "Not a directory"),
    "a dangling link": (make_dangling, "out", "No such file"),
    "a link to itself": (make_loop, "out", "too many (levels|symbolic links)"),
    "a device": (make_device, "out", "Not a directory"),
    "in /proc": (None, "/proc/pmt", "No such file"),
    "in /sys": (None, "/sys/pmt", "No such file|not permitted|Permission denied|Read-only"),
    "too long": (None, "/tmp/" + "long/" * 1000, "too long|No such file"),
}


@each(sorted(BAD_DIRECTORIES))
def bad_directory(name):
    """PMT_DIR cannot take files: one line says which and why, and the application runs."""
    prepare, directory, reason = BAD_DIRECTORIES[name]
    result = both(python_argv(OWN, "events.py", 1000), prepare=prepare, env={"PMT_DIR": directory},
                  problems=["(?i)" + reason])
    check(directory.rstrip("/")[-20:] in result.traced.pmt_lines[0] or name == "too long",
          "the line does not name the directory", *result.traced.pmt_lines)


@test
def read_only_directory():
    def prepare(cwd):
        mount_small("size=1m,ro")(cwd)

    with private_mounts():
        both(python_argv(OWN, "events.py", 1000), prepare=prepare, env={"PMT_DIR": "out"}, log_dir="out",
             problems=["(?i)read-only file system"])


@test
def directory_without_permission():
    need_root()
    if not shutil.which("setpriv"):
        skip("needs setpriv")
    for path in (pmttest.LIB, python_argv(OWN, "events.py")[2]):
        if not is_open_to_all(path):
            skip("%s is not readable for other users" % path)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + python_argv(OWN, "events.py", 100)

    def prepare(cwd):
        os.mkdir(os.path.join(cwd, "out"), 0o755)
        os.chmod(os.path.dirname(cwd), 0o755)
        os.chmod(cwd, 0o777)

    both(argv, prepare=prepare, env={"PMT_DIR": "out"}, log_dir="out", problems=["(?i)permission denied"])


def is_open_to_all(path):
    while path != "/":
        mode = os.stat(path).st_mode
        if not mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH):
            return False
        path = os.path.dirname(path)
    return True


GOOD_DIRECTORIES = {"missing": None, "deep/and/missing": None,
                    "a link": lambda cwd: (os.mkdir(os.path.join(cwd, "real")),
                                           os.symlink("real", os.path.join(cwd, "a link")))}


@each(sorted(GOOD_DIRECTORIES))
def good_directory(name):
    """PMT_DIR is created, its parents too; a link to a directory is as good as one."""
    top = name.split("/")[0]
    ignore = ["real"] if name == "a link" else [top]
    result = both(python_argv(OWN, "events.py", 100), prepare=GOOD_DIRECTORIES[name], env={"PMT_DIR": name},
                  ignore=ignore + [top], log_dir=name)
    check_complete(only_log(result), 100)


@each(PYTHONS)
def working_directory_deleted(python):
    """The program starts in a directory that is gone, and PMT_DIR is `.`: one line, and the application runs."""
    code = "import os\ndef f(): pass\nfor i in range(100): f()\nprint('ran')"

    def prepare(cwd):
        os.mkdir(os.path.join(cwd, "gone"))

    argv = ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", python.path, "-c", code]
    both(argv, prepare=prepare, env={"PMT_DIR": "."}, problems=["(?i)no such file"])


@each(PYTHONS)
def chroot(python):
    """The files that are open go on; the child's are where they belong, or a line says why not."""
    need_root()
    no_log, no_files = "cannot read the resident set size", "cannot write files"
    result = both(python_argv(python, "chroot.py"), possible=[no_log, no_files])
    said = " ".join(result.traced.pmt_lines)
    check(any(calls(log, "step") == 2000 for log in result.logs.values()), "the parent's log is not whole")
    check(any(found.ended == "exit" for found in result.captures.values()), "the parent's capture is not whole")
    equal(len(result.logs), 1 if no_log in said or no_files in said else 2, "the number of logs")
    equal(len(result.captures), 1 if no_files in said else 2, "the number of captures")


@each(PYTHONS)
def proc_is_missing(python):
    need_unshare()
    argv = in_namespace("umount -l /proc", python_argv(python, "noproc.py"))
    both(argv, problems=["resident set size"])


@each(PYTHONS)
def proc_is_empty(python):
    """As before, by the hidden variable."""
    both(python_argv(python, "noproc.py"), proc_root=scratch(), problems=["resident set size"])


# ---- 9: RLIMIT_NOFILE


def smallest_need(python, kind):
    """How many descriptors this interpreter needs for events.py, on top of those that are in use."""
    for spare in range(1, 20):
        argv = [target("static_fillfds"), kind, "64", str(spare)] + python_argv(python, "events.py", 10)
        if run(argv, pmt=False, cwd=scratch(), env={"WITNESS_DIR": scratch()}).status == 0:
            return spare
    raise AssertionError("%s does not run with 19 descriptors" % python)


@each([(python, kind) for python in PYTHONS for kind in ("soft", "hard")])
def few_descriptors_left(case):
    """All descriptors are in use before the start, but for those that the interpreter needs. With a limit that cannot
    be raised (`hard`), there are two more, for the log and for statm; else pmt takes none of what the limit allows."""
    python, kind = case
    spare = smallest_need(python, kind) + (2 if kind == "hard" else 0)
    result = both([target("static_fillfds"), kind, "64", str(spare)] + python_argv(python, "events.py", 1000))
    check_complete(only_log(result), 1000)


@test
def few_descriptors_left_in_c():
    """One is left, which the loader needs."""
    for kind in ("soft", "hard"):
        both([target("static_fillfds"), kind, "20", "1", target("own_malloc")], problems=[OWN_MALLOC])
        both([target("static_fillfds"), kind, "20", "1", "/bin/sh", "-c", "echo one left"])


OWN_MALLOC = r"malloc is .*: its blocks are not counted"


@each(PYTHONS)
def limit_lowered_while_running(python):
    """setrlimit below the numbers that pmt keeps: they stay usable, a child's log is a new one."""
    result = both(python_argv(python, "lowlimit.py"))
    check(any(calls(log, "step") == 1000 for log in result.logs.values()), "the parent's log is not whole")


if __name__ == "__main__":
    sys.exit(main())
