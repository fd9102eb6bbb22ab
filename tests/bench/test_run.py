"""The benchmark itself: it runs, its figures are those of the programs, and its comparisons are right."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, HERE)
import run  # noqa: E402
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
        done = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--quick", "--rounds", "2", "--json",
                               table.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        equal(done.returncode, 0, "status (output: %s)" % done.stdout.decode())
        rows = json.load(table)
    seen = {}
    for row in rows:
        seen.setdefault(row["workload"], []).append(row["configuration"])
        check(0 < row["min"] <= row["median"] <= row["max"], "no figure", row)
    with tempfile.TemporaryDirectory() as scratch:
        expected = {workload.name: workload.configurations for workload in run.workloads("python3", scratch, True)}
    for name, configurations in expected.items():
        equal(seen.get(name, [])[:len(configurations)], configurations, "configurations of %s" % name)
    figures = {(row["workload"], row["configuration"]): row["median"] for row in rows}
    check(1 < figures["malloc/free pair of 64 B", "none"] < 1000, "not the time of a pair", figures)
    check(2 < figures["RSS of python", "none"] < 100, "not the RSS of a small program", figures)


if __name__ == "__main__":
    sys.exit(main())
