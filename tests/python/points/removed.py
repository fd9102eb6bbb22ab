"""Another tool takes our wrappers away: argv[1] is the domain. Prints what MEMPOINT sees of a list before and after."""
import ctypes
import sys

api, domain = ctypes.pythonapi, int(sys.argv[1])


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


class Chain(ctypes.Structure):
    """What stands at the context of a wrapper that keeps the allocator below."""
    _fields_ = [("below", Allocator)]


def growth():
    MEMPOINT()
    ballast = [bytes(300), bytearray(200000), [None] * 1000, {i: str(i) for i in range(1000)}]
    MEMPOINT()
    del ballast
    return MEMLOGS[-1].memory - MEMLOGS[-2].memory


ours = Allocator()
api.PyMem_GetAllocator(domain, ctypes.byref(ours))
below = ctypes.cast(ours.context, ctypes.POINTER(Chain))[0].below
first = growth()
api.PyMem_SetAllocator(domain, ctypes.byref(below))
kept = [bytes(300) for _ in range(100)]
MEMPOINT("notices")
second = growth()
api.PyMem_SetAllocator(domain, ctypes.byref(below))
MEMPOINT("notices again")
third = growth()
print([first, second, third])
