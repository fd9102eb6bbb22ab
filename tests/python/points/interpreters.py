"""Sub-interpreters: each has the builtins, objects of its own, and the process's list of points."""
import importlib
import sys
import threading

from checks import check, done, equal


def find_runner():
    """run(code) -> what went wrong, or None; in a new interpreter each time, by whatever this CPython has."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue

        def run(code):
            interpreter = module.create()
            try:
                return module.run_string(interpreter, code)
            except Exception as error:  # RunFailedError up to 3.12
                return error
            finally:
                module.destroy(interpreter)
        return run
    try:
        from _testcapi import run_in_subinterp
    except ImportError:
        return None
    return lambda code: run_in_subinterp(code) or None


run = find_runner()
if not run:
    sys.stdout.write("no sub-interpreters\n")
    sys.exit(0)

MEMPOINT("main")
CODE = """
import builtins, json
logs = builtins.MEMLOGS
assert MEMLOGS.IDs[:2] == ['pmt start', 'main'], MEMLOGS.IDs
assert id(logs) != %d and id(type(logs)) != %d
MEMPOINT('sub')
@MEMTRACE
def function():
    return 7
assert function() == 7
assert MEMLOGS[-1].ID.startswith('After function()'), MEMLOGS
assert type(MEMLOGS[-1]).__name__ == 'MemLog'
try:
    MEMLOGS.append(1)
except Exception as error:
    assert type(error).__name__ == 'IncorrectUseOfMEMLOGSError'
else:
    raise AssertionError('append')
import pmt
assert pmt.MEMLOGS is logs and pmt.live().python > 0
assert pmt.MemLogsList() is logs
json.dumps(list(logs))
""" % (id(MEMLOGS), id(type(MEMLOGS)))
first = MEMLOGS[0]
for number in range(8):
    equal(run(CODE), None, "run %d" % number)
equal([ID for ID in MEMLOGS.IDs if "sub" in ID], ["sub"] + ["sub-%d" % n for n in range(2, 9)], "points of sub-interpreters")
equal(MEMLOGS[0], first, "the first point")
equal(type(MEMLOGS[-1]), type(first), "the type of points")
equal(MEMLOGS[-1].ID, "After function()-8", "the last point")
check(run("import os, sys; sys.stderr = open(os.devnull, 'w'); raise ValueError") is not None, "an error in a sub-interpreter is not seen")

for number in range(100):  # more than there are places for
    equal(run("MEMPOINT('one of many')"), None, "interpreter %d" % number)
equal(MEMLOGS[-1].ID, "one of many-100", "the last point")
equal(run("import perftester; assert MEMLOGS[0].ID == 'perftester import', MEMLOGS[0]"), None, "perftester")
equal(MEMLOGS[0], first._replace(ID="perftester import"), "the first point after a sub-interpreter's import")

if sys.version_info >= (3, 12):  # interpreters with a GIL of their own run at the same time
    wrong = []

    def work():
        wrong.append(run("for _ in range(2000): MEMPOINT('parallel')"))

    count = len(MEMLOGS)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        MEMPOINT("parallel")
    for thread in threads:
        thread.join()
    equal(wrong, [None] * 4, "parallel interpreters")
    equal(sorted(MEMLOGS.IDs[count:]), sorted(["parallel"] + ["parallel-%d" % n for n in range(2, 10001)]), "their points")
done()
