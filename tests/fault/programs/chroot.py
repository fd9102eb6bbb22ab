"""Works, changes its root to the working directory, works on, and has a child there."""
import atexit
import os
import sys

import witness

for i in range(1000):
    witness.step()
atexit.unregister(witness.finish)  # which needs files that are not here
atexit.register(witness.the_end)
os.chroot(".")
os.chdir("/")
for i in range(1000):
    witness.step()
sys.stdout.flush()
child = os.fork()
if child == 0:
    witness.step()
    os._exit(4)
print(os.waitpid(child, 0)[1] >> 8)
