"""Threads made by C that run Python: lib_foreign.so calls work() in them, through ctypes or by code.

    python foreign.py LIBRARY
"""
import ctypes
import os
import sys
import threading

THREADS, ROUNDS = 5, 3
library = ctypes.CDLL(sys.argv[1])
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int)


def leaf():
    return len("x")


def work(number=0):
    leaf()
    try:
        int("x")
    except ValueError:
        pass
    return [leaf() for _ in range(2)]


def without_arguments():  # and so without an allocation before it runs
    pass


callback = CALLBACK(work)
bare = ctypes.CFUNCTYPE(None)(without_arguments)
for _ in range(ROUNDS):
    work()
assert library.foreign_call(callback, THREADS, ROUNDS) == THREADS
assert library.foreign_call(bare, THREADS, ROUNDS) == THREADS
assert library.foreign_code(b"work()", THREADS, ROUNDS) == THREADS
child = os.fork()  # in a child thread states are kept under another key
if not child:
    threading.Thread(target=work).start()
    library.foreign_call(callback, THREADS, ROUNDS)
    os._exit(0)
os.waitpid(child, 0)
