"""Works, gives its privileges up for a while, in which it may not open what it has made, and works on."""
import os
import time

import witness

kept = []


def work():
    end = time.time() + 0.4
    while time.time() < end:
        kept.append(bytearray(5000))
        witness.step()
        time.sleep(0.001)


work()
os.seteuid(65534)
work()
os.seteuid(0)
work()
print("alive")
