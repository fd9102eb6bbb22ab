"""Runs a script (or `-c` code) under pymemtrace's profiler at its default threshold of one page, for comparison."""
import runpy
import sys

from pymemtrace import cPyMemTrace

del sys.argv[0]
with cPyMemTrace.Profile():
    if sys.argv[0] == "-c":
        exec(sys.argv[1])
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
