"""Runs a script under something, and prints the CPU seconds that the script itself took.

    under.py WHAT[:MODE] SCRIPT [argument...]

WHAT is `nothing`, `pymemtrace` (its profiler, at its default threshold of one page), or one of the hooks that do nothing:
`profile`, `evalframe`, `monitor`; they are libraries in $EMPTY_HOOKS, and MODE is the argument of their install().
"""
import os
import sys
import time


def install(name, mode):
    import ctypes

    library = ctypes.PyDLL(os.path.join(os.environ["EMPTY_HOOKS"], "libempty_%s.so" % name))
    if library.install(*[mode.encode()] if mode else []) != 0:
        sys.exit("this Python cannot have an empty hook of the kind %s" % name)


def run():
    """As runpy does, but without the imports that it makes, and their events."""
    with open(sys.argv[0], "rb") as file:
        code = compile(file.read(), sys.argv[0], "exec")
    start = time.process_time()
    exec(code, {"__name__": "__main__", "__file__": sys.argv[0]})
    return time.process_time() - start


_, what, *sys.argv = sys.argv
what, _, mode = what.partition(":")
if what == "pymemtrace":
    from pymemtrace import cPyMemTrace

    with cPyMemTrace.Profile():
        seconds = run()
else:
    if what != "nothing":
        install(what, mode)
    seconds = run()
print("cpu %.6f" % seconds)
