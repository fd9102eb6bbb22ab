"""Points for the event log; prints them."""
import os
import sys

NAMES = ["plain", "with # and \\ and \n", "é \N{SNOWMAN}", "lone \udc80", "", "x" * 3000, "plain"]


def function():
    MEMPOINT("in function")


@MEMTRACE
def traced():
    return len("abc")


for name in NAMES:
    MEMPOINT(name)
function()
traced()
sys.stdout.write(ascii([tuple(log) for log in MEMLOGS]))
sys.stdout.flush()
if "fork" in sys.argv:
    MEMPOINT("before fork")
    if os.fork() == 0:
        MEMPOINT("in child")
        os._exit(0)
    os.wait()
    MEMPOINT("after fork")
if "_exit" in sys.argv:
    MEMPOINT("before _exit")
    os._exit(0)
