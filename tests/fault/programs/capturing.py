"""capturing.py SECONDS: keeps a changing number of bytearrays, made by make(), and writes down in the mapped file
`readings` when it had how many: times and numbers, as many as it has made. Ends after SECONDS; 0 goes on for ever."""
import mmap
import os
import struct
import sys
import time

import witness

ROOM = 65536
end = time.time() + (float(sys.argv[1]) or 1e9)


def make():
    return bytearray(1000)


with open(os.path.join(witness.DIRECTORY, "readings"), "wb+") as file:
    file.truncate(16 * ROOM)
    readings = mmap.mmap(file.fileno(), 16 * ROOM)
held = []
step = 0
while time.time() < end:
    held += [make() for i in range(20)]
    struct.pack_into("<dQ", readings, 16 * (step % ROOM), time.time(), len(held))
    if len(held) > 4000:
        del held[1000 + step % 3000:]
        struct.pack_into("<dQ", readings, 16 * (step % ROOM), time.time(), len(held))
    step += 1
    time.sleep(0.0001)
