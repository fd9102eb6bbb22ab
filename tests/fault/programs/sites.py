"""sites.py COUNT [SIGXFSZ]: makes COUNT functions, each of which keeps a block of its own, in batches of 1,000, and says
at the end how many there are. With SIGXFSZ its deadly default is restored, and files may not be larger than 3 MiB."""
import resource
import signal
import sys
import time

import witness  # noqa: F401  (its witness files are what is wanted)

if sys.argv[2:] == ["SIGXFSZ"]:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
held = []
for first in range(0, int(sys.argv[1]), 1000):
    names = {"held": held}
    exec("\n".join("def keep_%d():\n    held.append(bytearray(%d))\nkeep_%d()" % (i, 100 + i % 100, i)
                   for i in range(first, first + 1000)), names)
    time.sleep(0.02)
print(len(held), "blocks")
