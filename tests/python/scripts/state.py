"""Prints what a program can see of its interpreter, for comparison with and without libpmt.so. Left out is what pmt is
documented to add: its variables and its builtins.
"""
import sys

modules = sorted(sys.modules)  # before any import of ours
import gc
import os
import signal
import threading
import warnings



def depth():
    try:
        return depth() + 1
    except RecursionError:
        return 0


print("modules", modules)
print("recursion", depth())
print("profile", sys.getprofile(), sys.gettrace(), getattr(threading, "_profile_hook", None))
print("path", sys.path, sys.meta_path, sys.path_hooks)
print("argv", sys.argv, sys.flags, sys.getrecursionlimit(), sys.getswitchinterval())
documented = {"MEMPOINT", "MEMLOGS", "MEMPRINT", "MEMTRACE", "profile"}
print("builtins", sorted(set(vars(sys.modules["builtins"])) - documented))
documented = [name for name in os.environ if name.startswith("PMT_") or name == "LD_PRELOAD"]
print("environ", sorted((name, value) for name, value in os.environ.items() if name not in documented))
print("signals", [signal.getsignal(number) for number in range(1, signal.NSIG)])
print("threads", threading.active_count(), os.listdir("/proc/self/task") == [str(os.getpid())])
print("collector", gc.isenabled(), gc.get_threshold(), gc.callbacks)
print("warnings", warnings.filters)
with open(os.devnull) as file:
    print("descriptor", file.fileno())
