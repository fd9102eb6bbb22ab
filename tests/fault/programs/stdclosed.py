"""Run with descriptors 0 to 2 closed: its first three files get these numbers, and must hold only what it wrote."""
import os

import witness

fds = [os.open("file%d" % i, os.O_RDWR | os.O_CREAT) for i in range(3)]
for fd in fds:
    os.write(fd, b"fd %d\n" % fd)
print("lost")
for i in range(1000):
    witness.step()
