"""The stand-in for perftester, where none is installed."""
import collections
import importlib.util
import sys

from checks import check, done, equal, raises

check(importlib.util.find_spec("perftester") is not None, "perftester is not found")
equal(MEMLOGS[0].ID, "pmt start", "the first ID")
MEMPOINT("before")
memory = MEMLOGS[0].memory
List = type(MEMLOGS)
equal((List.__name__, List.__qualname__, List.__module__), ("MemLogsList", "MemLogsList", "pmt"), "name of the type")

import perftester

equal(MEMLOGS.IDs, ["perftester import", "before"], "IDs after import")
equal(MEMLOGS[0].memory, memory, "memory of the first point")
equal(repr(List), "<class 'perftester.perftester.MemLogsList'>", "repr of the list's type")
equal(repr(type(MEMLOGS[0])), "<class 'perftester.perftester.MemLog'>", "repr of the items' type")
equal(perftester.IncorrectUseOfMEMLOGSError.__module__, "perftester.perftester", "module of the error")
error = raises(perftester.IncorrectUseOfMEMLOGSError, MEMLOGS.append, 1)
for name in ("MemLog", "MemLogsList", "pp", "MEMLOGS", "MEMPOINT", "MEMPRINT", "MEMTRACE"):
    check(getattr(perftester, name) is getattr(perftester.perftester, name), "two of " + name)
check(perftester.MEMLOGS is MEMLOGS and perftester.MemLogsList is List, "two lists")
check(perftester.MemLog is type(MEMLOGS[0]), "two types of points")
equal(perftester.MemLog("x", 1), perftester.MemLog(ID="x", memory=1), "a MemLog")
check(issubclass(perftester.MemLog, tuple) and collections.Counter(perftester.MemLog._fields) == {"ID": 1, "memory": 1}, "MemLog")
from perftester import MEMLOGS as imported, pp
from perftester.perftester import MemLogsList
check(imported is MEMLOGS and MemLogsList is List and callable(pp), "names by from")
import pickle
equal(pickle.loads(pickle.dumps(MEMLOGS[0])), MEMLOGS[0], "pickled MemLog")
check(perftester.__name__ == "perftester" and perftester.__spec__.name == "perftester", "names of the module")
check(perftester.perftester.__package__ == "perftester", "package of the inner module")
repr(perftester), repr(perftester.perftester), repr(perftester.__loader__)
for name in ("perftester.other", "perftester.perftester.other", "perftester_other", "pmt.other"):
    try:
        importlib.import_module(name)
    except ImportError:
        check(name not in sys.modules, name)
    else:
        raise AssertionError("%s can be imported" % name)
check(not [finder for finder in sys.meta_path if "pmt" in repr(finder)], "a finder of pmt takes part in every import")
done()
