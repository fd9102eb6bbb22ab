"""FAULTS.md 20 and 28: extensions imported in threads while others allocate; ten thousand short threads."""
import os
import sys

from faulttest import both, calls, only_log, pmttest, python_argv, read_file, target
from pmttest import check, each, equal, main, some_pythons, test

PYTHONS = some_pythons()
COUNT = 10000


# ---- 20: imports


@each([(python, events) for python in pmttest.PYTHONS for events in ("python", "calls")])
def extensions_imported_in_threads(case):
    python, events = case
    result = both(python_argv(python, "imports.py", target("lib_churn")), events=events, threshold=1, timeout=120)
    check(int(result.plain.out.split()[0]) > 3 * (40 + 20), "the program imports too little", result.plain.out)
    equal(result.plain.out.splitlines()[1], "[]", "what could not be imported")
    only_log(result)


# ---- 28: short threads


def check_growth(result):
    """What pmt itself takes, from the first tenth of the threads on, is less than 1 MB and no mapping for each."""
    plain = read_file(os.path.dirname(result.cwd), "plain", "growth").split()
    traced = read_file(result.cwd, "growth").split()
    grown, mappings = (int(with_pmt) - int(without) for with_pmt, without in zip(traced, plain))
    print("  %d bytes, %d mappings more than without pmt" % (grown, mappings))
    check(grown < 1 << 20, "own memory grows by %d bytes" % grown)
    check(mappings < 50, "own mappings grow by %d" % mappings)


@each(["off", "exact"])
def short_threads_in_c(sites):
    check_growth(both([target("short_threads"), str(COUNT)], ignore=["growth"], sites=sites, timeout=120))


@each([(python, events, gate) for python in PYTHONS for events in ("python", "calls") for gate in ("", "threads")])
def short_threads_in_python(case):
    """With events, and so with page fault rings, of each thread if the gate is so."""
    python, events, gate = case
    result = both(python_argv(python, "short_threads.py", COUNT), ignore=["growth"], events=events, threshold=1,
                  env={"PMT_TEST_GATE": gate}, timeout=180)
    check_growth(result)
    only_log(result)


@test
def every_thread_is_in_the_log():
    """Their numbers are those of the kernel; one thread's rows come in its own order."""
    log = only_log(both(python_argv(PYTHONS[-1], "short_threads.py", 500), ignore=["growth"], timeout=120))
    equal((calls(log, "live"), calls(log, "live", "RETURN"), calls(log, "step")), (500, 500, 500), "calls")
    rows = [row for row in log.rows if row.function in ("live", "step") and row.what in ("CALL", "RETURN")]
    expected = [("CALL", "live"), ("CALL", "step"), ("RETURN", "step"), ("RETURN", "live")]
    threads = {}
    for row in rows:
        check(row.tid, "a thread's row without its number", row.text)
        threads.setdefault(row.tid, []).append((row.what, row.function))
    for thread, seen in threads.items():
        equal(seen, expected * (len(seen) // 4), "the events of thread %d" % thread)


if __name__ == "__main__":
    sys.exit(main())
