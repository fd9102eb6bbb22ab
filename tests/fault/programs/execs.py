"""execs.py STAGE: at 1, executes itself with stage 2 in the same process. Says if another preload is in its memory."""
import os
import sys

import witness


def stage_1():
    for _ in range(100):
        witness.step()


def stage_2():
    for _ in range(100):
        witness.step()


with open("/proc/self/maps") as file:
    print("stage", sys.argv[1], "lib_early" in file.read())
sys.stdout.flush()
if sys.argv[1] == "1":
    stage_1()
    os.execv(sys.executable, [sys.executable, "-B", __file__, "2"])
stage_2()
