"""MEMPRINT where stdout is none, and pp()."""
import io
import os
import sys

import pmt
from checks import check, done, equal, raises

MEMPOINT("a")
expected = "".join("{: < 4} {: <6} → {}\n".format(index, round(log.memory / 2**20, 1), log.ID)
                   for index, log in enumerate(MEMLOGS))
old = sys.stdout


class Refuses:
    encoding = None

    def write(self, text):
        raise UnicodeEncodeError("x", text, 0, 1, "no")


class Fails:
    def write(self, text):
        raise OSError(5, "no")


class Strange:
    encoding = "no such encoding"

    def write(self, text):
        text.encode("ascii")


closed, detached = io.StringIO(), io.TextIOWrapper(io.BytesIO())
closed.close()
detached.detach()
reader, writer = os.pipe()
os.close(reader)
broken = os.fdopen(writer, "w", 1)
for stream in (None, 3, object(), closed, detached, broken, Refuses(), Fails(), Strange(), io.BytesIO()):
    sys.stdout = stream
    result = MEMPRINT()
    sys.stdout = old
    equal(result, None, "MEMPRINT() to %r" % (stream,))
del sys.stdout
result = MEMPRINT()
sys.stdout = old
equal(result, None, "MEMPRINT() without sys.stdout")
try:
    broken.close()
except BrokenPipeError:
    pass

for encoding in ("ascii", "latin-1", "utf-8", "utf-16", "cp1252"):
    for errors in ("strict", "replace", "backslashreplace"):
        memory = io.BytesIO()
        sys.stdout = io.TextIOWrapper(memory, encoding, errors)
        MEMPRINT()
        sys.stdout.flush()
        written, sys.stdout = memory.getvalue(), old
        mode = "replace" if errors == "strict" else errors
        equal(written.decode(encoding), expected.encode(encoding, mode).decode(encoding), "MEMPRINT in " + encoding)

sys.stdout = text = io.StringIO()
MEMPRINT()
equal(text.getvalue(), expected, "MEMPRINT")


def printed(*objects):
    sys.stdout = text = io.StringIO()
    pmt.pp(*objects)
    sys.stdout = old
    return text.getvalue()


sys.stdout = old
equal(printed(MEMLOGS), "[%r,\n %r]\n" % tuple(MEMLOGS), "pp(MEMLOGS), which would fit into a line")
for index in range(10):
    MEMPOINT("x" * 10 * index)
equal(printed(MEMLOGS), "[" + ",\n ".join(map(repr, MEMLOGS)) + "]\n", "pp(MEMLOGS)")
equal(printed(MEMLOGS[-3:]), "[%r,\n %r,\n %r]\n" % tuple(MEMLOGS[-3:]), "pp of a part")
equal(printed({"b": 1, "a": 2}), "{'a': 2, 'b': 1}\n", "pp of another object")
check(pmt.enabled is True, "pmt.enabled")
equal(type(pmt.__version__), str, "type of pmt.__version__")
raises(TypeError, MEMPRINT, 1)
reader, writer = os.pipe()
sys.stdout = gone = os.fdopen(writer, "w", 1)
os.close(writer)
result = MEMPRINT()
sys.stdout = old
try:
    gone.close()
except OSError:
    pass
equal(result, None, "MEMPRINT() to a closed descriptor")
done()
