"""pmt.live(), and what counts as Python's and what as native."""
import ctypes

import pmt
from checks import check, done, equal

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = libc.free.argtypes = [ctypes.c_size_t]
MB = 10 << 20


def figures():
    live = pmt.live()
    equal(live.python + live.native, live.total, "total")
    equal(type(live)._fields, ("python", "native", "total", "blocks"), "fields")
    check(min(live) > 0 and all(type(figure) is int for figure in live), "figures %r" % (live,))
    return live


def change(function, *arguments):
    """How the figures move; the second time, since the first leaves caches behind."""
    global result
    for _ in range(2):
        result = None
        before = figures()
        result = function(*arguments)
        after = figures()
    return [b - a for a, b in zip(before, after)]


python, native, total, blocks = change(libc.malloc, MB)
check(native == MB and abs(python) < 1000 and 1 <= blocks < 10, "malloc of 10 MiB: %r" % ((python, native, total, blocks),))
address = result
python, native, total, blocks = change(bytearray, MB - 1)
check(MB <= python < MB + 1000 and native == 0 and 2 <= blocks < 10, "bytearray of 10 MiB: %r" % (
    (python, native, total, blocks),))
result = None
before = figures()
libc.free(address)
after = figures()
check(before.native - after.native == MB, "free of 10 MiB: %d" % (before.native - after.native))
python, native, total, blocks = change(lambda: [object() for _ in range(10000)])
check(10000 <= blocks < 10010 and python > 160000 and abs(native) < 1000, "10,000 objects: %r" % (
    (python, native, total, blocks),))
MEMPOINT()
check(abs(pmt.live().python - MEMLOGS[-1].memory) < 2000, "live().python is not MEMPOINT's figure")
check(0 < pmt.rss() <= pmt.rss_peak(), "rss")
done()
