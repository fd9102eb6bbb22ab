"""Every row of the table of builtins, in its order, but for MEMPRINT (prints.py) and MEMTRACE (memtrace.py)."""
import copy
import json
import pickle
import random
import types

from checks import check, done, equal, raises

# ---- MEMLOGS, str(MEMLOGS)
first = MEMLOGS[0].memory
equal(repr(MEMLOGS), "[MemLog(ID='pmt start', memory=%d)]" % first, "repr")
equal(str(MEMLOGS), repr(MEMLOGS), "str")
equal(format(MEMLOGS), repr(MEMLOGS), "format")
equal(type(first), int, "type of memory")

# ---- MEMPOINT
equal(MEMPOINT(), None, "MEMPOINT()")
equal(MEMPOINT(None), None, "MEMPOINT(None)")
equal(MEMPOINT(ID=None), None, "MEMPOINT(ID=None)")
equal(MEMLOGS.IDs[1:], ["None", "None-2", "None-3"], "IDs of None")
for value in (1, 1.5, True, b"b", ("t", 2), [], int, "", "x y", "\N{SNOWMAN}", "\U0001F40D", "\0", "a\0b"):
    MEMPOINT(value)
    equal(MEMLOGS[-1].ID, str(value), "ID of %r" % (value,))
MEMPOINT(ID="keyword")
equal(MEMLOGS[-1].ID, "keyword", "keyword ID")


class Named(str):
    def __str__(self):
        return "named"


MEMPOINT(Named("x"))
equal(MEMLOGS[-1].ID, "named", "ID of an object with a __str__ of its own")
before = repr(MEMLOGS)
raises(TypeError, MEMPOINT, "a", "b")
raises(TypeError, lambda: MEMPOINT("a", ID="b"))
raises(TypeError, lambda: MEMPOINT(id="a"))
equal(repr(MEMLOGS), before, "MEMLOGS after wrong calls")


class Broken:
    def __str__(self):
        raise ZeroDivisionError("in __str__")


class NoString:
    def __str__(self):
        return 3


raises(ZeroDivisionError, MEMPOINT, Broken(), message="in __str__")
raises(TypeError, MEMPOINT, NoString())
equal(repr(MEMLOGS), before, "MEMLOGS after a __str__ that raised")

# ---- the same ID again
for name in ("a", "a", "b-2", "b", "b", "b", "b-2", "a", "a-2", "a-2-2"):
    MEMPOINT(name)
equal(MEMLOGS.IDs[-10:], ["a", "a-2", "b-2", "b", "b-3", "b-4", "b-2-2", "a-3", "a-2-2", "a-2-2-2"], "IDs")

uses, taken = {}, set(MEMLOGS.IDs)
chance = random.Random(3)
start = len(MEMLOGS)
for _ in range(3000):
    name = "r" + chance.choice(["", "-2", "-3", "-2-2", "-40"])
    MEMPOINT(name)
    uses[name] = n = uses.get(name, 0) + 1
    expected = name
    while n > 1 and expected in taken or expected == name and n > 1:
        expected, n = "%s-%d" % (name, n), n + 1
    if expected != name:
        uses[expected] = uses.get(expected, 0) + 1
    taken.add(expected)
    equal(MEMLOGS[-1].ID, expected, "the name for use %d of %r" % (uses[name], name))
equal(len(set(MEMLOGS.IDs)), len(MEMLOGS), "number of different IDs")

# ---- MEMLOGS[i], slices
logs = list(MEMLOGS)
size = len(logs)
equal(type(logs[0]).__name__, "MemLog", "type of an item")
check(isinstance(logs[0], tuple), "MemLog is no tuple")
equal(logs[0]._fields, ("ID", "memory"), "fields")
equal(tuple(logs[0]), (logs[0].ID, logs[0].memory), "MemLog as a tuple")
for index in (0, 1, -1, -size, size - 1, True):
    equal(MEMLOGS[index], logs[index], "item %r" % index)
for part in (slice(None), slice(1, 3), slice(-2, None), slice(None, None, -1), slice(5, 2), slice(0, 10**9, 7)):
    equal(MEMLOGS[part], logs[part], "slice %r" % part)


class Index:
    def __init__(self, index):
        self.index = index

    def __index__(self):
        if self.index is None:
            raise KeyError("index")
        return self.index


equal(MEMLOGS[Index(2)], logs[2], "an index with __index__")
for index in (size, -size - 1, 10**30, -10**30):
    raises(IndexError, MEMLOGS.__getitem__, index)
for index in ("a", 1.0, None, (1, 2), object()):
    error = raises(TypeError, MEMLOGS.__getitem__, index)
    raises(TypeError, [].__getitem__, index, message=str(error))
raises(KeyError, MEMLOGS.__getitem__, Index(None))
raises(AttributeError, setattr, MEMLOGS[0], "memory", 0)

# ---- the rest of a list, or not
check(MEMLOGS == MEMLOGS, "MEMLOGS is not equal to itself")
check(not MEMLOGS != MEMLOGS, "MEMLOGS != MEMLOGS")
check(not MEMLOGS == logs and MEMLOGS != logs, "MEMLOGS is equal to a list")
for operation in (lambda: MEMLOGS < MEMLOGS, lambda: MEMLOGS >= logs, lambda: MEMLOGS + [], lambda: [] + MEMLOGS,
                  lambda: MEMLOGS + MEMLOGS, lambda: MEMLOGS * 2, lambda: 2 * MEMLOGS, lambda: MEMLOGS - 1):
    raises(TypeError, operation)


def add_in_place(other):
    changed = MEMLOGS
    changed += other


def multiply_in_place(times):
    changed = MEMLOGS
    changed *= times


raises(TypeError, add_in_place, [])
raises(TypeError, add_in_place, MEMLOGS)
raises(TypeError, multiply_in_place, 2)
equal(hash(MEMLOGS), hash(MEMLOGS), "hash")
equal(bool(MEMLOGS), True, "bool")
equal(len(MEMLOGS), size, "len")
check(logs[1] in MEMLOGS and ("a", 1) not in MEMLOGS and 3 not in MEMLOGS, "in")
equal(list(reversed(MEMLOGS)), logs[::-1], "reversed")
equal(sorted(MEMLOGS), sorted(logs), "sorted")
equal([log for log in MEMLOGS], logs, "iteration")
equal([a for a, b in zip(MEMLOGS, iter(MEMLOGS)) if a != b], [], "two iterations at a time")

# ---- attributes and methods
equal(MEMLOGS.memories, [log.memory for log in logs], "memories")
equal(MEMLOGS.IDs, [log.ID for log in logs], "IDs")
equal(MEMLOGS.data, logs, "data")
for name in ("memories", "IDs", "data"):
    check(getattr(MEMLOGS, name) is not getattr(MEMLOGS, name), "%s is not a new list" % name)
    getattr(MEMLOGS, name).clear()
    raises(AttributeError, setattr, MEMLOGS, name, [])
    raises(AttributeError, delattr, MEMLOGS, name)
equal(MEMLOGS.filter(lambda log: log.ID == "a"), [log for log in logs if log.ID == "a"], "filter")
equal(MEMLOGS.filter(predicate=lambda log: False), [], "filter by keyword")
equal(MEMLOGS.map(lambda log: log.ID), MEMLOGS.IDs, "map")
equal(MEMLOGS.map(func=len), [2] * size, "map by keyword")
raises(TypeError, MEMLOGS.filter)
raises(TypeError, MEMLOGS.map)
raises(ZeroDivisionError, MEMLOGS.map, lambda log: 1 / 0)

# ---- the type
List = type(MEMLOGS)
equal(List.__name__, "MemLogsList", "name of the type")
check(List([]) is MEMLOGS and List() is MEMLOGS and List(initlist=[1]) is MEMLOGS, "a second MemLogsList")
equal(list(MEMLOGS), logs, "MEMLOGS after MemLogsList([])")
for copier in (copy.copy, copy.deepcopy, pickle.dumps):
    raises(TypeError, copier, MEMLOGS)
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    raises(TypeError, pickle.dumps, MEMLOGS, protocol)
    equal(pickle.loads(pickle.dumps(logs, protocol)), logs, "pickled logs")
for copied in (copy.copy(logs[0]), copy.deepcopy(logs[0]), logs[0]._replace(), pickle.loads(pickle.dumps(logs[0]))):
    equal(copied, logs[0], "a copy of a MemLog")
equal(logs[0]._replace(ID="other").ID, "other", "_replace")
equal(json.loads(json.dumps(list(MEMLOGS))), [list(log) for log in logs], "json")
raises(TypeError, json.dumps, MEMLOGS)
check(isinstance(MEMPOINT, types.BuiltinFunctionType) and MEMPOINT.__doc__ and MEMLOGS.__doc__, "documentation")

equal(list(MEMLOGS), logs, "MEMLOGS at the end")
done()
