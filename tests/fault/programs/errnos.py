"""errno as the application's C code sees it, with hooks between the call and the look at it."""
import ctypes
import os

import witness

libc = ctypes.CDLL(None, use_errno=True)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, use_errno=True)
seen = []


def record(what):
    witness.step()
    seen.append((what, ctypes.get_errno()))


@compare
def by_value(left, right):
    witness.step()
    return 0


for value in (0, 33):
    ctypes.set_errno(value)
    libc.free(libc.malloc(100))
    record("free")
    libc.open(b"/nonexistent", 0)
    record("open")
    ctypes.set_errno(value)
    libc.qsort((ctypes.c_int * 10)(*range(10)), 10, 4, by_value)
    record("qsort")
    try:
        os.stat("/nonexistent")
    except OSError as error:
        record(error.errno)
print(seen)
