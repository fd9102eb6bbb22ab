"""Grows until the kernel kills it, counting its calls in the mapped file `counter`."""
import mmap
import os

import witness

with open(os.path.join(witness.DIRECTORY, "counter"), "wb+") as file:
    file.write(bytes(4096))
    file.flush()
    counter = memoryview(mmap.mmap(file.fileno(), 4096)).cast("Q")
held = []
step = witness.step
done = 0
while True:
    step()
    done += 1
    counter[0] = done
    held += [b"%d" % done * 1000]
