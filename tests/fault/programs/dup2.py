"""Points every descriptor from 3 to 1023 to the null device, and later closes them all."""
import os

import witness

devnull = os.open(os.devnull, os.O_RDWR)
for fd in range(3, 1024):
    if fd != devnull:
        os.dup2(devnull, fd)
for i in range(1000):
    witness.step()
os.closerange(3, 1024)
with open("app.txt", "w") as file:
    print(file.fileno(), file=file)
    for i in range(1000):
        witness.step()
