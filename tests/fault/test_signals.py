"""FAULTS.md 30 and 31: stacks that are not the thread's own, and signal handlers that allocate, or jump out."""
import os
import sys

from faulttest import both, calls, check_complete, only_log, pmttest, python_argv, read_file, target
from pmttest import check, each, equal, main, parse_summary, skip, some_pythons, test

PYTHONS = some_pythons()
EVENTS = ("python", "calls")

# ---- 30: stacks


@test
def coroutines_in_c():
    """Memory that is taken on one small stack and given back on another; the sums are in test_values.py."""
    both([target("contexts")])


@each([(python, events) for python in PYTHONS for events in EVENTS])
def generators_and_asyncio(case):
    python, events = case
    result = both(python_argv(python, "coroutines.py"), events=events)
    check_complete(only_log(result), 500 + 1000 + 100 + 3 * (18 * 10 + 3 * 6))


@each([(python, events) for python in pmttest.PYTHONS for events in EVENTS])
def python_on_stacks_of_its_own(case):
    python, events = case
    result = both(python_argv(python, "contexts.py", target("lib_contexts")), events=events)
    equal(result.plain.out.split()[:6], ["8"] * 5 + [str(5 * 8 * 3 * 13)], "functions that returned, and steps of theirs")
    check(calls(only_log(result), "the_end", "RETURN") == 1, "the log lacks the end of the program")


@each([(python, events) for python in pmttest.PYTHONS for events in EVENTS])
def greenlets(case):
    python, events = case
    if pmttest.run(python_argv(python, "greenlets.py"), pmt=False, env={"WITNESS_DIR": pmttest.scratch()}).status == 77:
        skip("greenlet cannot be imported")
    check_complete(only_log(both(python_argv(python, "greenlets.py"), events=events)), 4 * (50 * 21 + 6))


# ---- 31: signals


@each([(python, threshold) for python in PYTHONS for threshold in (0, 1)])
def handler_that_allocates(case):
    """Every 200 us, in the middle of our writing too: the log is whole."""
    python, threshold = case
    result = both(python_argv(python, "alarms.py", target("lib_alarms"), 1000), after=[target("lib_bump")],
                  threshold=threshold, ignore=["calls"], timeout=120)
    if threshold == 0:
        check_complete(only_log(result), int(read_file(result.cwd, "calls")))


def jumps(how):
    """(blocks, bytes) that the summaries of a run that holds blocks and of one that does not differ by, and the output."""
    held, freed = (both([target("jumps"), how, what], after=[target("lib_bump")], summary="on", timeout=120).traced
                   for what in ("hold", "release"))
    words = held.out.replace(",", "").split()
    held, freed = parse_summary(held.pmt_lines), parse_summary(freed.pmt_lines)
    return (held.blocks - freed.blocks, held.native - freed.native), (int(words[5]), int(words[7])), held


@test
def handler_that_jumps_out():
    """Out of the middle of a reallocarray: what comes afterwards is counted as ever."""
    seen, expected, _ = jumps("once")
    equal(seen, expected, "blocks and bytes")


@test
def handler_that_jumps_out_all_the_time():
    """Out of wherever it comes, locks of ours too: nobody waits for ever, and blocks are counted."""
    _, (blocks, size), held = jumps("storm")
    check(held.blocks >= blocks and held.native >= size, "blocks that are held are not counted", held)


if __name__ == "__main__":
    sys.exit(main())
