"""What FAULTS.md asks of every case, as files that must be the same with and without pmt: see tests/target/witness.h.

A program that imports this leaves witness-start and witness-end (at exit) in $WITNESS_DIR. Runs on Python 3.6 and later.
"""
import atexit
import os
import threading
import time

DIRECTORY = os.environ["WITNESS_DIR"]
OWNER = os.getpid()


def read_lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []


def count_threads():
    """Threads of this process. A thread that was joined may still be on its way out of the kernel: it gets a second."""
    for _ in range(100):
        count = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None
        if count is None or count <= threading.active_count():
            break
        time.sleep(0.01)
    return count


def note(name):
    """Writes down what pmt must not change, as it is now."""
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
    for fd in fds:
        os.close(fd)
    lines = ["new descriptors: %s" % fds]
    lines += ["environment: %s=%s" % (key, os.environ[key]) for key in sorted(os.environ)
              if key != "LD_PRELOAD" and not key.startswith("PMT_")]
    lines.append("threads: %s" % count_threads())
    lines += [line for line in read_lines("/proc/self/status") if line[:6] in ("SigBlk", "SigIgn", "SigCgt")]
    with open(os.path.join(DIRECTORY, "witness-" + name), "w") as file:
        file.write("\n".join(lines) + "\n")


def the_end():
    """The last function of a run: a log that has its RETURN is complete."""


def finish():
    if os.getpid() == OWNER:
        note("end")
        the_end()


def step():
    """The unit of work that tests count in the logs."""


note("start")
atexit.register(finish)
