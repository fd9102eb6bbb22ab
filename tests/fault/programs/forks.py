"""forks.py COUNT: forks COUNT times, one child after the other, with no thread but its own."""
import os
import sys

import witness

good = 0
for i in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        witness.step()
        os._exit(3)
    good += os.waitpid(child, 0)[1] >> 8 == 3
print(good, "children ended well")
