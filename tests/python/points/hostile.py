"""IDs that are hard to keep, and objects whose __str__ does what it should not."""
import sys

from checks import check, done, equal, raises

TEXTS = [
    "\ud800", "a\udfffb", "\udc80\udcff", "\ud83d\udc0d", "\n", "a\nb\r\n", "#", "# x #", "%s %n %d", "{}", "\\x00", "\0\0",
    "\x7f\x80\xff", "é", "\uffff", "\U0010ffff", "'", '"', "x" * 100000, "é" * 100001, "\U0001F40D" * 70000,
    "\ud800" * 50000, "memory=3", "-", "-2", " ", "\u202e", "a" * 511, "a" * 512, "a" * 513,
] + ["é" * n for n in range(120, 135)] + ["\u20ac" * n for n in range(120, 180, 7)]

for text in TEXTS:
    MEMPOINT(text)
    equal(MEMLOGS[-1].ID, text, "ID")
    MEMPOINT(text)
    equal(MEMLOGS[-1].ID, text + "-2", "ID of the second use")
equal(MEMLOGS.IDs[1::2], TEXTS, "all IDs")
check(repr(MEMLOGS).startswith("[MemLog(ID='pmt start', memory="), "repr")
points = list(MEMLOGS)
lines = []


class Stream:
    encoding = "utf-8"

    def write(self, text):
        lines.append(text)


sys.stdout, old = Stream(), sys.stdout
MEMPRINT()
sys.stdout = old
equal("".join(lines), "".join("%s → %s\n" % ("{: < 4} {: <6}".format(index, round(log.memory / 2**20, 1)), log.ID)
                              for index, log in enumerate(points)), "MEMPRINT")


class Calls:
    """Makes points while it is asked for its name."""

    def __init__(self, depth):
        self.depth = depth

    def __str__(self):
        if self.depth:
            MEMPOINT(Calls(self.depth - 1))
        return "depth %d" % self.depth


MEMPOINT(Calls(50))
equal(MEMLOGS.IDs[len(points):], ["depth %d" % depth for depth in range(51)], "IDs of nested points")


class Endless:
    def __str__(self):
        MEMPOINT(self)
        return "endless"


count = len(MEMLOGS)
raises(RecursionError, MEMPOINT, Endless())
equal(len(MEMLOGS), count, "points of an endless __str__")


class Loud:
    def __str__(self):
        MEMPRINT()
        repr(MEMLOGS)
        return "loud"


lines.clear()
sys.stdout = Stream()
MEMPOINT(Loud())
sys.stdout = old
equal(MEMLOGS[-1].ID, "loud", "ID")
check(len(lines) >= count, "MEMPRINT inside __str__ printed %d points" % len(lines))


class Ends(BaseException):
    pass


class Raises:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error


count = len(MEMLOGS)
for error in (ValueError("x"), KeyboardInterrupt(), SystemExit(3), Ends(), MemoryError(), StopIteration()):
    check(raises(type(error), MEMPOINT, Raises(error)) is error, "another exception came out")
equal(len(MEMLOGS), count, "points after exceptions")


# ---- functions that make points while MEMLOGS is gone through
equal(len(MEMLOGS.map(lambda log: MEMPOINT("in map"))), count, "map over points made meanwhile")
equal(len(MEMLOGS), 2 * count, "points after map")
equal(len(MEMLOGS.filter(lambda log: MEMPOINT("in filter"))), 0, "filter over points made meanwhile")
equal(len(MEMLOGS), 4 * count, "points after filter")


class Marks(Stream):
    def write(self, text):
        MEMPOINT("in write")


sys.stdout = Marks()
MEMPRINT()
sys.stdout = old
check(len(MEMLOGS) >= 8 * count, "points after MEMPRINT")
done()
