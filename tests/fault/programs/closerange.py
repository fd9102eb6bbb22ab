"""closerange.py HIGH: closes every descriptor from 3 on, as daemons do, then works with files of its own."""
import os
import sys

import witness

high = int(sys.argv[1]) or os.sysconf("SC_OPEN_MAX")
witness.step()
os.closerange(3, high)
files = [open("file%d" % i, "wb") for i in range(8)]
for file in files:
    file.write(b"8 bytes\n")
    file.flush()
objects = [str(i) for i in range(200000)]
for i in range(1000):
    witness.step()
print([file.fileno() for file in files], len(objects))
