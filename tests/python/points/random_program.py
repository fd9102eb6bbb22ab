"""A random program, made of a seed: containers of every kind grow, shrink, are copied and dropped in random order, by
several threads. At 100 random moments the oracle calls MEMPOINT; prints "oracle's figure, MEMPOINT's figure" of each."""
import array
import collections
import ctypes
import random
import sys
import threading
import time

seed, library = int(sys.argv[1]), ctypes.PyDLL(sys.argv[2])
library.oracle_point.restype = ctypes.py_object
library.oracle_point.argtypes = [ctypes.py_object, ctypes.POINTER(ctypes.c_int64)]
MOMENTS, THREADS, STEPS = 100, 4, 6
chance = random.Random(seed)
figure = ctypes.c_int64()
pointer = ctypes.pointer(figure)
kept, moments = [[] for _ in range(THREADS)], []  # what each thread keeps; the main one has the first


class Node:
    def __init__(self, child):
        self.child, self.other = child, None


class Slots:
    __slots__ = ("a", "b")


def slots(n):
    made = Slots()
    made.a, made.b = n, str(n)
    return made


def cycle(n):
    first = Node(None)
    first.child = Node(first)
    return first


def chain(n):
    node = None
    for _ in range(n % 500):
        node = Node(node)
    return node


def generator(n):
    made = (index for index in range(n))
    next(made, None)
    return made


MAKERS = [
    lambda n: list(range(n)), lambda n: tuple(range(n)), lambda n: dict.fromkeys(range(n)), lambda n: set(range(n)),
    lambda n: frozenset(range(n)), lambda n: {str(i): i for i in range(n)}, lambda n: bytearray(n * 100),
    lambda n: bytes(n * 1000),
    lambda n: "é" * n, lambda n: "x" * n * 7, lambda n: "\U0001F40D" * n, lambda n: 7 ** n, lambda n: float(n),
    lambda n: complex(n, 1),
    lambda n: collections.deque(range(n)), lambda n: collections.OrderedDict.fromkeys(range(n)),
    lambda n: collections.defaultdict(list, {i: [i] for i in range(n)}), lambda n: array.array("d", range(n)),
    lambda n: memoryview(bytearray(n)), lambda n: [[i] * (i % 9) for i in range(n)], lambda n: lambda: n,
    lambda n: type("T", (), {"n": n}),
    lambda n: range(n), lambda n: slice(0, n), lambda n: iter(list(range(n))), lambda n: Exception("x" * n), lambda n: object(),
    lambda n: ctypes.create_string_buffer(n + 1), lambda n: ",".join(map(str, range(n))).split(","), lambda n: bytes(n << 12),
    slots, cycle, chain, generator, Node, lambda n: threading.local(), lambda n: eval(compile("lambda: %d" % n, "made", "eval")),
]


def change(thing, n, chance):
    """Grows or shrinks a thing in place, as its type lets one."""
    if isinstance(thing, list):
        thing.extend(range(n)) if chance.random() < 0.6 else thing.__delitem__(slice(n % 50, None))
    elif isinstance(thing, dict):
        thing.update((("k", i), None) for i in range(n)) if chance.random() < 0.7 else thing.clear()
    elif isinstance(thing, set):
        thing.update(str(i) for i in range(n)) if chance.random() < 0.7 else thing.clear()
    elif isinstance(thing, bytearray):
        thing += bytes(n)
        if chance.random() < 0.3:
            del thing[:len(thing) // 2]
    elif isinstance(thing, collections.deque):
        thing.extendleft(range(n))
    elif isinstance(thing, Node):
        thing.other = {"n": [thing] * n}


def step(chance, kept):
    for _ in range(chance.randrange(1, 40)):
        choice, n = chance.random(), int(chance.expovariate(1 / 200))
        if choice < 0.5 or len(kept) < 10:
            kept.append(chance.choice(MAKERS)(n))
        elif choice < 0.75:
            change(chance.choice(kept), n, chance)
        else:
            kept[chance.randrange(len(kept))] = None
    while len(kept) > 300:
        kept.pop(chance.randrange(len(kept)))


def moment():
    for _ in range(20):
        library.oracle_point(MEMPOINT, pointer)
        if figure.value == MEMLOGS[-1].memory:
            break
        time.sleep(0.01)  # a thread that ends, without the GIL, is between pmt and the oracle beneath it
    moments.append((figure.value, MEMLOGS[-1].memory))


def run(own, kept, begun, go_on, leave):
    begun.wait()  # a thread frees what it was started with, without the GIL, before it comes here
    for _ in range(STEPS):
        step(own, kept)
    go_on.wait()
    leave.wait()  # no thread ends, or begins, while the oracle is read


for number in range(MOMENTS):
    if chance.random() < 0.3:
        begun, go_on, leave = (threading.Barrier(THREADS + 1, timeout=60) for _ in range(3))
        threads = [threading.Thread(target=run, args=(random.Random(chance.random()), own, begun, go_on, leave)) for own in kept]
        for thread in threads:
            thread.start()
        begun.wait()
        go_on.wait()
        moment()
        leave.wait()
        for thread in threads:
            thread.join()
    else:
        step(chance, kept[0])
        moment()
for us, ours in moments:
    print(us, ours)
