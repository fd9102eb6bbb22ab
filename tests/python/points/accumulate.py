"""10,000 points, under one name and under names of their own, and what they leave in the figure."""
import gc

from checks import check, done, equal

MEMPOINT("warm")
MEMPOINT("warm")
gc.collect()
gc.disable()
MEMPOINT("before")
for _ in range(10000):
    MEMPOINT("same")
MEMPOINT("after")
for index in range(10000):
    MEMPOINT(index)
MEMPOINT("after names")
figures = {log.ID: log.memory for log in MEMLOGS if log.ID in ("before", "after", "after names")}
memories = MEMLOGS.memories
steps = [b - a for a, b in zip(memories[3:], memories[4:])]
equal(len(memories), 20006, "number of points")
check(max(map(abs, steps)) <= 256, "a point moved the figure by %d" % max(steps, key=abs))
check(abs(figures["after"] - figures["before"]) <= 256, "10,000 points under one name: %s" % figures)
check(abs(figures["after names"] - figures["before"]) <= 256, "10,000 points under 10,000 names: %s" % figures)
done()
