"""The figure of this run, for comparison with others: at the first point, with a list of ints, and after it is gone."""
import sys

n = int(sys.argv[1])
MEMPOINT("before")
ints = [i for i in range(n)]
MEMPOINT("with")
del ints
MEMPOINT("without")
text = "x" * (n * 10)
MEMPOINT("text")
del text
MEMPOINT("over")
print(MEMLOGS.memories)
