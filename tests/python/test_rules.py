"""PREV, NEXT, dEvent, RSS and dRSS at every threshold, derived anew from a log of every event.

A program is run at threshold 0, then again with the same readings of RSS (PMT_TEST_RSS replays them) at other
thresholds: each log must be, row by row, what the rules of EVENT-LOG.md make of the first. The readings are real ones
and made-up ones.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import PAGE, check_same, check_whole, comparable, derive
from pmttest import PYTHONS, check, each, equal, main, run, test

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["-S", "-s", "-B"]
THRESHOLDS = (0, 1, 2, 10, 256)


def log_rows(python, name, readings, threshold, events="calls"):
    """The rows of one run; `readings` is the text of PMT_TEST_RSS, or None for the real RSS."""
    path = os.path.join(pmttest.scratch(), "readings")
    with open(path, "w", encoding="ascii") as file:
        file.write(readings or "")
    # as many variables of as much text without a replay: os.environ is made in Python, with events for each
    env = {"PYTHONHASHSEED": "0", "PYTHONPATH": None, "PMT_TEST_RSS" if readings else "PMT_TEST_PAD": path}
    result = run([python.path, *FLAGS, os.path.join(HERE, "driver.py"), os.path.join(HERE, "scripts", name)], env=env,
                 threshold=threshold, events=events, timeout=300)
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of the program")
    equal(len(result.logs), 1, "the number of logs")
    return check_whole(result.logs[0], threshold)


def readings_text(numbers):
    return "".join("%d\n" % number for number in numbers)


def check_thresholds(python, name, readings, events="calls"):
    """Compares the log at each threshold with what the rules derive; returns the derived rows by threshold."""
    every = log_rows(python, name, readings_text(readings), 0, events)
    rss = [row.rss for row in every]
    check_same(rss, (list(readings) + [readings[-1]] * len(rss))[:len(rss)], "readings of a replay")
    derived = {threshold: derive(every, threshold) for threshold in THRESHOLDS}
    for threshold in THRESHOLDS:
        got = log_rows(python, name, readings_text(readings), threshold, events)
        check_same([comparable(row) for row in got], derived[threshold], "rows at threshold %d" % threshold)
    return derived


def nexts(rows):
    return [row for row in rows if row.kind == "NEXT"]


@test
def documented_example():
    """The checker itself, on the numbers of the example in the event log's documentation."""
    rss = [9101312] + [9101312 + 1052672 * (number // 4 + 1) for number in range(29)]
    events = [pmttest.Row("NEXT", n, 1, 0, "CALL", "f", 1, "f", value, 0, None, "") for n, value in enumerate(rss)]
    expected = [("NEXT", 0, 0)]
    for n in range(1, 30, 4):
        expected += [("PREV", n - 1, 3), ("NEXT", n, 4)] if n > 1 else [("NEXT", 1, 1)]
    equal([row[:3] for row in derive(events, 1)], expected, "the derived rows")
    equal(len(derive(events, 0)), 30, "the number of rows at threshold 0")


@each(PYTHONS)
def real_readings(python):
    runs = [("seed.py", "calls"), ("seed.py", "python")]
    if python in pmttest.some_pythons():
        runs.append(("torture.py", "calls"))
    for name, events in runs:
        recorded = [row.rss for row in log_rows(python, name, None, 0, events)]
        derived = check_thresholds(python, name, recorded, events)
        check(any(row.kind == "PREV" for row in derived[1]), "no PREV row at threshold 1: nothing was checked")


@each(PYTHONS)
def slow_growth(python):
    """10 MiB in steps of one page: at 256 pages the first event, and one row for each MiB."""
    derived = check_thresholds(python, "steps.py", [(1000 + step) * PAGE for step in range(2561)])
    equal([row.rss // PAGE - 1000 for row in nexts(derived[256])], list(range(0, 2561, 256)), "pages at the NEXT rows")


@each(PYTHONS)
def falls(python):
    """A fall counts as growth does, in small steps and all at once."""
    small_steps = [(5000 - step) * PAGE for step in range(1025)]
    derived = check_thresholds(python, "steps.py", small_steps + [1000 * PAGE] * 10)
    rss = [row.rss // PAGE for row in nexts(derived[256])]
    equal(rss, [5000, 4744, 4488, 4232, 3976, 1000], "pages at the NEXT rows")
    equal(derived[256][-1].d_rss, (1000 - 3976) * PAGE, "dRSS of the last fall")


@each(PYTHONS)
def zigzag(python):
    """Up and down by nine pages: every event at a threshold of one, none at ten; then by exactly ten."""
    zigzag_of = lambda height: [(1000 + height * (step % 2)) * PAGE for step in range(200)]
    derived = check_thresholds(python, "steps.py", zigzag_of(9) + [1000 * PAGE] * 50 + zigzag_of(10))
    equal(len(nexts(derived[1])), 200 + 1 + 199, "NEXT rows at threshold 1")
    equal(len(nexts(derived[10])), 1 + 199, "NEXT rows at threshold 10")


@each(PYTHONS)
def corners(python):
    """An RSS of nothing at first, a first reading below the threshold, readings beyond 4 GiB."""
    check_thresholds(python, "steps.py", [0, 0, PAGE, PAGE, PAGE])
    check_thresholds(python, "steps.py", [PAGE, 3 * PAGE, 2 * PAGE, 2 ** 42, 2 ** 42, PAGE])
    check_thresholds(python, "steps.py", [PAGE] * 2 + [257 * PAGE] + [1 * PAGE] * 5 + [258 * PAGE, 2 * PAGE] * 50)


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
