"""MEMLOGS after every wrong use: nothing but MEMPOINT changes it, and nothing is a back door."""
import builtins
import gc
import importlib
import sys

import pmt
from checks import check, done, equal, raises

Error = pmt.IncorrectUseOfMEMLOGSError
NOT_ITEMS, NOT_APPEND = "MEMLOGS does not accept item assignment", \
    "MEMLOGS can be updated only using the MEMPOINT() function"
logs = MEMLOGS
item = logs[0]
MEMPOINT("one")
MEMPOINT("two")
points = list(logs)
List = type(logs)


def intact(what):
    equal(list(logs), points, "MEMLOGS after " + what)


def delete(key):
    del logs[key]


check(issubclass(Error, Exception), "the error is no Exception")
for key in (0, -1, 10**9, slice(None), slice(0, 0), "text", None):
    raises(Error, logs.__setitem__, key, item, message=NOT_ITEMS)
    raises(Error, delete, key)
    intact("assignment to item %r" % (key,))
raises(Error, logs.append, item, message=NOT_APPEND)
raises(Error, logs.append, "text", message=NOT_APPEND)
raises(Error, List.append, logs, item, message=NOT_APPEND)


# ---- spoofing: the original looked at the name of the caller
def MEMPOINT(ID=None):
    MEMLOGS.append(item)


class Spoof:
    def MEMPOINT(self):
        MEMLOGS.append(item)

    __call__ = MEMPOINT


raises(Error, MEMPOINT, message=NOT_APPEND)
raises(Error, Spoof().MEMPOINT, message=NOT_APPEND)
raises(Error, Spoof(), message=NOT_APPEND)
space = {"MEMLOGS": logs, "item": item}
exec(compile("def MEMPOINT(): MEMLOGS.append(item)", pmt.__spec__.origin or "<pmt>", "exec"), space)
raises(Error, space["MEMPOINT"], message=NOT_APPEND)
intact("spoofing")
del MEMPOINT

for name in "extend insert pop remove clear sort reverse __iadd__ __imul__ __dict__ __weakref__".split():
    raises(AttributeError, getattr, logs, name)
for name in ("append", "data", "other", "__doc__", "filter"):
    raises(AttributeError, setattr, logs, name, item)
intact("missing methods")


# ---- wiping and back doors
def trash(*arguments):
    """Any call that may be refused, as long as it changes nothing."""
    try:
        arguments[0](*arguments[1:])
    except (AttributeError, TypeError, ValueError, Error):
        return


class Other:
    pass


raises(TypeError, setattr, logs, "__class__", Other)
raises(TypeError, object.__new__, List)
raises(TypeError, type, "Sub", (List,), {})
trash(logs.__init__, [])
trash(logs.__init__)
trash(List.__init__, logs, [])
trash(List.__new__, List, [])
trash(object.__setattr__, logs, "data", [])
trash(setattr, logs, "__dict__", {})
trash(getattr(logs, "__setstate__", trash), {"data": []})
trash(logs.__reduce_ex__, 2)
logs.data.clear()
logs.IDs.append("x")
logs.memories.sort()
for held in gc.get_referents(logs):
    check(held is List, "MEMLOGS holds %r" % (held,))
logs[:].clear()
intact("wiping")

# A class can be changed where CPython lets one; the points are not in it.
changed = dict(List.__dict__)
for name in ("append", "__getitem__", "__len__", "data"):
    trash(setattr, List, name, lambda *arguments: 0)
    if List.__dict__.get(name) is not changed.get(name):
        setattr(List, name, changed[name])
intact("changes of the class")

raises(TypeError, pmt.MEMPOINT, 1, 2)
raises(AttributeError, setattr, item, "memory", 0)
intact("wrong calls")

# ---- names that are deleted, shadowed and made again
MEMLOGS = "shadow"
del MEMLOGS
equal(list(MEMLOGS), points, "the builtin behind a deleted global")
del builtins.MEMLOGS
raises(NameError, eval, "MEMLOGS")
builtins.MEMPOINT("after del")
equal([log.ID for log in logs], ["pmt start", "one", "two", "after del"], "IDs after del builtins.MEMLOGS")
check(pmt.MEMLOGS is logs, "pmt.MEMLOGS is another")
del builtins.MEMPOINT, builtins.MEMTRACE, builtins.MEMPRINT
pmt.MEMPOINT("of the module")
equal(pmt.MEMTRACE(len)([]), 0, "MEMTRACE of the module")
equal(pmt.MEMLOGS.IDs[-3:], ["of the module", "Before len()", "After len()"], "IDs without builtins")
points = list(logs)

# ---- modules that are loaded again
names = ("MEMLOGS", "MEMPOINT", "MemLogsList", "IncorrectUseOfMEMLOGSError")
old = [getattr(pmt, name) for name in names]
check(importlib.reload(pmt) is pmt, "reload made another module")
check(pmt.MEMLOGS is logs and pmt.MemLogsList is List and pmt.IncorrectUseOfMEMLOGSError is Error, "reload changed pmt")
intact("reload(pmt)")
import perftester
points[0] = points[0]._replace(ID="perftester import")
intact("import perftester")
check(importlib.reload(perftester) is perftester, "reload made another module")
check(perftester.MEMLOGS is logs and perftester.MemLogsList is List, "reload changed perftester")
intact("reload(perftester)")
for name in [name for name in sys.modules if name.split(".")[0] in ("pmt", "perftester")]:
    del sys.modules[name]
import pmt as again
import perftester as perftester_again
check(again.MEMLOGS is logs and perftester_again.MEMLOGS is logs, "a second import has another MEMLOGS")
again.MEMPOINT("second module")
points.append(logs[-1])
equal(logs[-1].ID, "second module", "a point by the second module")
intact("imports of new modules")
del again, perftester_again, perftester, pmt, old
gc.collect()
intact("the end of the modules")
done()
