"""Functions as coroutines on stacks of their own (LIBRARY: lib_contexts), each a hundred frames deep by turns."""
import ctypes
import sys

import witness

library = ctypes.PyDLL(sys.argv[1])
library.contexts_run.argtypes = [ctypes.py_object, ctypes.c_int]
trail, numbers = [], iter(range(1000000))


def descend(depth, name):
    witness.step()
    kept = [str(number) for number in range(20)]
    if depth % 10 == 0:
        library.contexts_switch()
        trail.append((name, depth))
    return len(kept) + (descend(depth - 1, name) if depth else 0)


def run():
    name = next(numbers)
    for _ in range(3):
        try:
            trail.append((name, descend(100, name), sum(x for x in range(10))))
            library.contexts_switch()
            raise KeyError(name)
        except KeyError as error:
            library.contexts_switch()
            trail.append((name, error.args))


for _ in range(5):
    print(library.contexts_run(run, 8))
print(len(trail), trail[:50])
