"""The benchmark itself: it runs, its figures are those of the programs, and its comparisons are right."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, HERE)
import run  # noqa: E402
import pmttest  # noqa: E402
from pmttest import check, equal, main, test  # noqa: E402


@test
def comparisons_are_made_within_rounds():
    """Two slow rounds of the machine hit both sides and do not change the ratio."""
    base, figures = [1, 1, 5, 1, 9], [2, 2, 10, 2, 18]
    equal(run.compare(figures, base, "ratio"), (2, 2, 2), "ratio")
    equal(run.compare([3, 4, 8], [1, 2, 6], "difference"), (2, 2, 2), "difference")


@test
def the_interval_shows_the_spread():
    value, low, high = run.compare([1, 2, 3, 4, 5, 6, 7, 8, 9], [1] * 9, "ratio")
    equal(value, 5, "median")
    check(1 < low < 5 < high < 9, "the interval is not around the median", low, high)


@test
def every_workload_runs_in_every_configuration():
    """--quick, once; also that a figure is what it says: a pair takes nanoseconds, CPython's RSS is some MiB."""
    with tempfile.NamedTemporaryFile(suffix=".json") as table:
        done = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--quick", "--rounds", "1", "--json",
                               table.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        equal(done.returncode, 0, "status (output: %s)" % done.stdout.decode())
        rows = json.load(table)
    seen = {}
    for row in rows:
        seen.setdefault(row["workload"], []).append(row["configuration"])
        check(0 < row["min"] <= row["median"] <= row["max"], "no figure", row)
    with tempfile.TemporaryDirectory() as scratch:
        workloads = run.native_workloads(scratch, True) + run.python_workloads("/usr/bin/python3", True)
    expected = {workload.name: workload.configurations for workload in workloads if shutil.which(workload.argv[0])}
    for name, configurations in expected.items():
        equal(seen.get(name, [])[:len(configurations)], configurations, "configurations of %s" % name)
    figures = {(row["workload"], row["configuration"]): row["median"] for row in rows}
    check(1 < figures["malloc/free pair of 64 B", "none"] < 1000, "not the time of a pair", figures)
    check(2 < figures["RSS of python", "none"] < 100, "not the RSS of a small program", figures)
    check(figures["python, an event", "none"] < figures["python, an event", "calls, every event"], "events are free", figures)


@test
def events_are_counted_right():
    """fib(n) has as many calls as its log has CALL rows."""
    log = pmttest.run([sys.executable, os.path.join(HERE, "work", "fib.py"), "10"], threshold=0).logs[0]
    rows = [row for row in pmttest.check_log(log, 0).rows if row.function == "fib"]
    equal(run.fib_events(10), len(rows), "events of fib(10)")


@test
def every_empty_hook_is_what_it_is_called():
    """On each CPython an empty hook of either kind can be set, and the script runs under it."""
    for python in pmttest.PYTHONS:
        for configuration in ("none", "empty python", "empty calls"):
            workload = run.Workload("fib", "script", [python.path, run.work("fib.py"), "5"])
            with tempfile.TemporaryDirectory() as scratch:
                check(run.run_once(workload, configuration, python.version[:2], False, scratch) > 0, "no figure")


if __name__ == "__main__":
    sys.exit(main())
