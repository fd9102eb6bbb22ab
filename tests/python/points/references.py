"""What 100,000 uses leave behind: no reference, no block, no byte."""
import gc
import sys

import pmt
from checks import check, done, equal

USES = 100000


class Name:
    def __str__(self):
        return "name"


def leave(argument):
    return argument


def generate(argument):
    yield argument


def fail():
    raise ValueError


def attempt(function, *arguments):
    try:
        function(*arguments)
    except (ValueError, TypeError, IndexError, AttributeError, pmt.IncorrectUseOfMEMLOGSError):
        pass


name, text, result = Name(), "a text %d" % 3, object()
traced, traced_generator, traced_failure = MEMTRACE(leave), MEMTRACE(generate), MEMTRACE(fail)
List, Log = type(MEMLOGS), type(MEMLOGS[0])
first = MEMLOGS[0]
watched = [None, True, (), name, text, result, leave, generate, fail, traced, traced_generator, traced_failure,
           MEMPOINT, MEMTRACE, MEMLOGS, List, Log, pmt, Name, pmt.IncorrectUseOfMEMLOGSError, "ID", "append"]
total = getattr(sys, "gettotalrefcount", lambda: 0)  # of debug builds


def counts():
    return [sys.getrefcount(each) for each in watched]


def repeat(what, function, *arguments, uses=USES):
    function(*arguments)
    gc.collect()
    blocks, total_before, before = sys.getallocatedblocks(), total(), counts()
    for _ in range(uses):
        function(*arguments)
    gc.collect()
    after, total_after, blocks_after = counts(), total(), sys.getallocatedblocks()
    for index, each in enumerate(watched):
        check(abs(after[index] - before[index]) < 50, "%s: references to %.80r: %d, then %d" % (
            what, each, before[index], after[index]))
    check(abs(blocks_after - blocks) < 200, "%s: %d blocks more" % (what, blocks_after - blocks))
    check(abs(total_after - total_before) < 200, "%s: %d references more" % (what, total_after - total_before))


repeat("repr, IDs, memories, filter, map", lambda: (
    repr(MEMLOGS), MEMLOGS.IDs, MEMLOGS.memories, MEMLOGS.filter(bool), MEMLOGS.map(len)), uses=USES // 10)
repeat("a wrong item", attempt, MEMLOGS.__getitem__, "x", uses=1000)
repeat("MEMPOINT()", MEMPOINT)
repeat("MEMPOINT(text)", MEMPOINT, text)
repeat("MEMPOINT(name)", MEMPOINT, name)
repeat("MEMPOINT of a broken name", attempt, MEMPOINT, name, name)
repeat("a traced function", traced, result)
repeat("a traced generator", lambda: list(traced_generator(result)))
repeat("a traced failure", attempt, traced_failure)
repeat("MEMTRACE", MEMTRACE, leave)
repeat("MEMLOGS[0]", lambda: MEMLOGS[0])
repeat("a missing item", attempt, MEMLOGS.__getitem__, 10**9)
repeat("append", attempt, MEMLOGS.append, result)
repeat("assignment", attempt, MEMLOGS.__setitem__, 0, result)
repeat("MemLogsList()", List, [])
repeat("live()", pmt.live)
repeat("rss()", pmt.rss, uses=1000)
equal(MEMLOGS[0], first, "the first point")

# ---- the figure does not drift: 100,000 points, nothing else done
gc.collect()
gc.disable()
for _ in range(USES):
    MEMPOINT(text)
drift = MEMLOGS.memories[-USES:]
check(max(drift) - min(drift) <= 256, "100,000 points lie between %d and %d" % (min(drift), max(drift)))
equal(drift[-1], drift[USES // 10], "the figure of the last point")
done()
