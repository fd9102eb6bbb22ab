"""Threads that load and unload a library by ctypes while others allocate and call, for SECONDS."""
import _ctypes
import sys
import threading
import time

import witness

library, seconds = sys.argv[1], float(sys.argv[2])
end = time.monotonic() + seconds
good = []


def load():
    rounds = 0
    while time.monotonic() < end:
        handle = _ctypes.dlopen(library, 2)
        _ctypes.dlsym(handle, "plugin_sum")
        _ctypes.dlclose(handle)
        rounds += 1
    good.append(rounds > 0)


def allocate():
    while time.monotonic() < end:
        witness.step()
        [bytearray(n) for n in range(500)]
    good.append(True)


threads = [threading.Thread(target=function) for function in [load, allocate] * 3]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(good)
