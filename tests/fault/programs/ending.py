"""ending.py HOW COUNT: counts its calls of step() in the mapped file `counter`, and after COUNT of them ends by HOW.
COUNT 0 goes on for ever."""
import ctypes
import faulthandler
import mmap
import os
import signal
import sys

import witness

faulthandler.enable()
libc = ctypes.CDLL(None)
# No function that is an event in itself: only step() stands between two counts.
ENDINGS = {
    "_exit": lambda: os._exit(5),
    "quick_exit": lambda: libc.quick_exit(6),
    "exec": lambda: os.execv("/bin/sh", ["sh", "-c", "exit 8"]),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "abort": os.abort,
}


def count(limit):
    with open(os.path.join(witness.DIRECTORY, "counter"), "wb+") as file:
        file.write(bytes(4096))
        file.flush()
        counter = memoryview(mmap.mmap(file.fileno(), 4096)).cast("Q")
    step = witness.step
    done = 0
    while not limit or done < limit:
        step()
        done += 1
        counter[0] = done


count(int(sys.argv[2]))
ENDINGS[sys.argv[1]]()
