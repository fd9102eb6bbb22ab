"""Forks while four threads allocate and call; every child starts a thread that does so, and has ten seconds."""
import os
import signal
import sys
import threading
import warnings

import witness

warnings.simplefilter("ignore", DeprecationWarning)
stop = False


def busy(count=0):
    rounds = 0
    while not stop and (not count or rounds < count):
        rounds += 1
        kept = [bytearray(100 + n) for n in range(300)]
        witness.step()
        del kept


threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
good = 0
for i in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        thread = threading.Thread(target=busy, args=(20,))
        thread.start()
        thread.join()
        os._exit(0)
    good += os.waitpid(child, 0)[1] == 0
stop = True
for thread in threads:
    thread.join()
print(good, "children ended well")
sys.exit(good != 30)
