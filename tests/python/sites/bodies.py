"""Makes the same things in every run: bodies.py trace|end. With "trace" it prints {line: (bytes, blocks)} of this file as
tracemalloc sees it. Things that CPython takes back from its lists of free objects are of the line that made them first to
an allocator, and of the line that took them back to tracemalloc: a line marked "exact" makes none. None are on the
lists when the work begins and when it ends."""
import sys
import tracemalloc

kept = []


def texts(n):
    made = [None] * n
    for i in range(n):
        made[i] = "text %d " % i * 3  # exact
    kept.append(made)
    return ",".join(made)  # exact


def many_bytes(n):
    made = [None] * n
    for i in range(n):
        made[i] = b"x" * (i % 700 + 40)  # exact
    made[::3] = [None] * len(made[::3])
    kept.append(made)


def numbers(n):
    made = [None] * n
    for i in range(n):
        made[i] = i * i * 1000003 + (1 << 70)  # exact
    for i in range(0, n, 7):
        made[i] = 1 << i % 3000 + 100  # exact
    kept.append(made)


def large(n):
    text = "é" * n * 100  # exact
    kept.append(text)
    data = b"y" * (n * 999)  # exact
    kept.append(data)
    data = bytearray(n * 1000)
    for i in range(n):
        data += b"0123456789"  # exact
    kept.append(data)
    kept.append(list(range(n * 10))[::10])


def containers(n):
    made = []
    for i in range(n):
        made.append({"a": i, "b": [i, i + 1, (i,)], "c": {i}, "d": float(i)})
    for i in range(0, n, 2):
        made[i]["more"] = made[i].pop("b")
    del made[::5]
    kept.append(made)


def take_back(things):
    for i in range(3000):
        things.append([[], {i: i}, (i,), (i, i), (i, i, i), float(i)])


def work():
    kept.append(texts(3000))
    many_bytes(3000)
    numbers(3000)
    large(500)
    containers(500)
    take_back(kept)


def print_lines(file):
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    statistics = snapshot.filter_traces([tracemalloc.Filter(True, file)]).statistics("lineno")
    print({statistic.traceback[0].lineno: (statistic.size, statistic.count) for statistic in statistics})


spare = []
for i in range(3000):
    spare.append([[], {i: i}, (i,), (i, i), (i, i, i), float(i)])
if sys.argv[1] == "trace":
    tracemalloc.start()
    work()
    print_lines(__file__)
else:
    work()
