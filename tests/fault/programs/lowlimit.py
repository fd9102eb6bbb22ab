"""Lowers RLIMIT_NOFILE while it runs, then forks and works on."""
import os
import resource

import witness

resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
for i in range(1000):
    witness.step()
files = [open(os.devnull) for i in range(8)]
print([file.fileno() for file in files])
child = os.fork()
if child == 0:
    witness.step()
    os._exit(0)
print(os.waitpid(child, 0)[1])
for file in files:
    file.close()
