"""Python events by the thousand while a C signal handler allocates every 200 us (LIBRARY: lib_alarms), until it has come
COUNT times. Prints whether all went well; the number of calls differs from run to run: it is in the file "calls"."""
import ctypes
import os
import sys

import witness

library, count = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
library.alarms_stop.restype = ctypes.c_long
alarms = ctypes.c_long.in_dll(library, "alarms_count")
calls = 0


def grow(kept):
    kept.append(bytearray(5000))
    return len(kept)


print(library.alarms_start())
while alarms.value < count:
    kept = []
    for _ in range(50):
        witness.step()
        grow(kept)
        calls += 1
print(library.alarms_stop() >= count)
with open(os.path.join(witness.DIRECTORY, "calls"), "w") as file:
    file.write("%d\n" % calls)
