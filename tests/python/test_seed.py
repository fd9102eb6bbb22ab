"""The example of the documentation on every CPython: eight strings of 1 MiB show as eight rises and eight falls of 257
pages (1 MiB and the allocator's header, mapped), each on the row where it happened.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import PAGE, check_whole
from pmttest import PYTHONS, each, equal, main, run

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "seed.py")
STEP = 257 * PAGE


def rows_of_script(python, **options):
    result = run([python.path, "-B", SCRIPT], env={"PYTHONPATH": None}, **options)
    equal((result.status, result.out, result.err), (0, "", ""), "the end of the program")
    equal(len(result.logs), 1, "the number of logs")
    return [row for row in check_whole(result.logs[0], options.get("threshold", 1)) if row.file == SCRIPT]


def near(d_rss):
    """Whether a change is one of the strings, give or take pages that the interpreter touched in the same event."""
    return abs(abs(d_rss) - STEP) <= 8 * PAGE


def show(python, rises, falls):
    print("  %-14s rises %s  falls %s" % (python, *("%s of %d" % (len(moves), max(set(moves), key=moves.count))
                                                    for moves in (rises, falls))))


@each(PYTHONS)
def eight_rises_and_falls(python):
    rows = rows_of_script(python)
    rises = [row for row in rows if row.kind == "NEXT" and row.d_rss > 0 and near(row.d_rss)]
    equal([(row.what, row.line, row.function) for row in rises], [("RETURN", 5, "create_string")] * 8, "where RSS rose")
    falls = [row for row in rows if row.kind == "NEXT" and row.d_rss < 0 and near(row.d_rss)]
    equal([(row.what, row.line, row.function) for row in falls], [("C_CALL", 11, "len")] * 8, "where RSS fell")
    before = [row for row in rows if row.kind == "PREV" and row.n + 1 in [rise.n for rise in rises]]
    equal({(row.what, row.line, row.function) for row in before}, {("CALL", 4, "create_string")}, "rows before a rise")
    show(python, [row.d_rss for row in rises], [row.d_rss for row in falls])


@each(PYTHONS)
def events_of_the_example(python):
    """At threshold 0, the sequence of the documentation's second listing: 66 events, and RSS goes up and down."""
    rows = rows_of_script(python, threshold=0)
    first = next(index for index, row in enumerate(rows) if row.function == "create_string")
    rows = rows[first:first + 66]
    growth = [("CALL", 4, "create_string"), ("RETURN", 5, "create_string"), ("C_CALL", 10, "append"),
              ("C_RETURN", 10, "append")] * 8
    fall = [("C_CALL", 11, "len"), ("C_RETURN", 11, "len"), ("C_CALL", 12, "pop"), ("C_RETURN", 12, "pop")] * 8
    equal([(row.what, row.line, row.function) for row in rows], growth + fall + fall[:2], "the events")
    rises = [row.d_rss for row in rows[1:32:4]]
    falls = [row.d_rss for row in rows[36:65:4]]
    equal([near(d_rss) and d_rss > 0 for d_rss in rises], [True] * 8, "the rises %s" % rises)
    equal([near(d_rss) and d_rss < 0 for d_rss in falls], [True] * 8, "the falls %s" % falls)


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
