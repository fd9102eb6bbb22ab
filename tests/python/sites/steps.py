"""Holds more at every step, and tells of it, until it is killed: steps.py RECORD. A row has the number of steps done, the
moment (CLOCK_MONOTONIC) and Python's live bytes by pmt.live(). Step i keeps 5,033 + i % 1000 bytes of one line."""
import os
import random
import sys
import time

import pmt

record = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
kept = [None] * 1000000
chance = random.Random(1)
for i in range(1000000):
    os.write(record, b"%d %.6f %d\n" % (i, time.monotonic(), pmt.live().python))
    if i % 7 == 0:
        time.sleep(chance.random() / 100)
    size = 5000 + i % 1000
    kept[i] = b"x" * size  # the step
