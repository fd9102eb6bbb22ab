"""Native memory taken from Python code, of known size: native.py. Each function keeps what it gets; one calls without the
GIL, as ctypes.CDLL does, the other with it."""
import ctypes
import threading

without, held = ctypes.CDLL(None).malloc, ctypes.PyDLL(None).malloc
free = ctypes.CDLL(None).free
for function in (without, held):
    function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_void_p
free.argtypes, free.restype = [ctypes.c_void_p], None


def take(function, n, size):
    last = None
    for _ in range(n):
        last = function(size)  # taken
    return last


def inner(n):
    return take(without, n, 3001)


def outer():
    free(inner(5))
    return take(held, 7, 2003)


threads = [threading.Thread(target=outer) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
outer()
