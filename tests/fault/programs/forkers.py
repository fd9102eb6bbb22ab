"""forkers.py: children by ways that run no fork handlers, or exec at once. Says how each ended."""
import ctypes
import os
import subprocess
import sys
import time

import witness  # noqa: F401  (its witness files are what is wanted)


def kept_by_the_child():
    return [bytearray(100) for i in range(20000)]


libc = ctypes.PyDLL(None)
held = [bytearray(100) for i in range(20000)]
print("exec", subprocess.call(["true"], preexec_fn=lambda: None))
child = os.fork()
if child == 0:
    os.execv("/bin/true", ["true"])
print("fork and exec", os.waitpid(child, 0)[1])
child = libc._Fork() if hasattr(libc, "_Fork") else os.fork()
if child == 0:
    kept = kept_by_the_child()
    time.sleep(0.3)
    kept += kept_by_the_child()
    os._exit(9)
print("_Fork", os.waitpid(child, 0)[1] >> 8)
sys.stdout.flush()
