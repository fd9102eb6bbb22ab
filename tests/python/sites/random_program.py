"""A random program that ends at the very moment of the oracle's account: random_program.py LIBRARY OUT SEED THREADS.
Containers of every kind grow, shrink, are handed to other threads and dropped there, in functions of every kind."""
import array
import collections
import ctypes
import functools
import importlib
import json
import random
import re
import string
import sys
import threading
import time

library, out = ctypes.PyDLL(sys.argv[1]), sys.argv[2].encode()
library.oracle_end.argtypes = [ctypes.c_char_p]
chance = random.Random(int(sys.argv[3]))
THREADS, ROUNDS, STEPS = int(sys.argv[4]), 6, 120
picking, importing = threading.Lock(), threading.Lock()
kept = []  # of all threads: what one keeps, another may drop
MODULES = ["colorsys", "fractions", "textwrap", "pprint", "csv", "calendar", "bisect", "sched", "shlex", "statistics", "wave"]


class Node:
    kind = "node"

    def __init__(self, child):
        self.child, self.text = child, "n%d" % id(child)

    @property
    def label(self):
        return self.text * 3

    @classmethod
    def chain(cls, length):
        node = None
        for _ in range(length):
            node = cls(node)
        return node


class Slots:
    __slots__ = ("a", "b", "__weakref__")

    def __init__(self, n):
        self.a, self.b = [n] * (n % 50), str(n) * 2


class Resource:
    """Allocates when it is entered, left, and when it dies."""

    def __init__(self, n):
        self.n, self.parts = n, []

    def __enter__(self):
        self.parts.append(bytes(self.n))
        return self

    def __exit__(self, *problem):
        self.parts.append("left %d" % self.n)
        return True

    def __del__(self):
        kept.append("%d is gone" % self.n)


def deep(n, own):
    """Deeper than the stacks that are kept."""
    if n:
        return [deep(n - 1, own)]
    return [own.random() for _ in range(20)]


def cached(n):
    @functools.lru_cache(maxsize=None)
    def inner(k):
        return bytearray(k) if k < 2 else inner(k - 1) + inner(k - 2)
    return inner(n % 12)


def generator(n):
    for index in range(n):
        yield [index] * 3
        yield str(index) * 3


def delegating(n):
    text = "begun %d" % n
    yield text
    yield from generator(n)


def half_used(n):
    made = delegating(n)
    return [next(made) for _ in range(min(n, 7))], made


def raising(n):
    def inner(k):
        data = "x" * k
        raise ValueError(data, n)
    try:
        inner(n)
    except ValueError as error:
        return error if n % 2 else [error.args, str(n) * 4]
    finally:
        kept.append("raised %d" % n)


def closure(n):
    base = list(range(n % 60))

    def add(other):
        nonlocal base
        base = base + [other] * 3
        return base
    for _ in range(4):
        add(n)
    return add


def made_code(n):
    space = {}
    exec(compile("def made(k):\n    a = [str(k)] * 5\n    b = {i: str(i + k) for i in range(k % 30)}\n    return a, b\n",
                 "<made %d>" % (n % 3), "exec"), space)
    return space["made"](n + 1000), eval("[i * %d for i in range(%d)]" % (n + 999, n % 40)), eval("lambda: %d" % n)


def made_class(n):
    return type("T%d" % n, (Node,), {"n": n, "method": lambda self: self.n})(None)


def from_json(n):
    text = json.dumps({"list": list(range(n % 100)), "text": "é" * n, "rows": [{"id": i, "f": i / 3} for i in range(n % 25)]})
    return json.loads(text), json.dumps(json.loads(text), indent=1)


def from_regex(n):
    words = ["%s%d" % (string.ascii_letters[i % 52], i) for i in range(n % 80)]
    pattern = re.compile("([a-m])(?:%d|[0-9]+)" % (n % 20))
    return [match.groups() for match in pattern.finditer(" ".join(words))], re.sub("[0-9]", "##", ",".join(words))


def imported(n):
    module = MODULES[n % len(MODULES)]
    with importing:
        if n % 4 == 0:
            sys.modules.pop(module, None)
        return importlib.import_module(module)


def grown(n):
    items, table, data = [], {}, bytearray()
    for i in range(n):
        items.append(i * 1000)
        table[i, str(i)] = None
        data += b"0123"
    while len(items) > n // 2:
        items.pop()
    return items, table, data


def with_resource(n):
    with Resource(n) as resource:
        if n % 3 == 0:
            raise KeyError(n)
    return resource


def sorted_things(n):
    return sorted(((str(i), i * 7919 % 10007) for i in range(n)), key=lambda pair: (pair[1], [pair[0]]))


def comprehensions(n):
    n %= 60
    return ([[j * i for j in range(i % 9)] for i in range(n)], {i: {str(j) for j in range(i % 5)} for i in range(n)},
            [k for k in (i * 1000 for i in range(n)) if k % 3])


def texts(n):
    return ["x" * n * 7, "é" * n, "\U0001F40D" * n, "%s and %r" % (n, [n]), "{:>40}|{!r}".format(n, b"a" * n), f"{n:08d}{n!s}",
            ",".join(map(str, range(n))).split(","), b"-".join([b"%d" % n] * (n % 30)), "a".join("b" * n).title().encode("utf-16")]


def numbers(n):
    return [7 ** n, n / 7, complex(n, 1), 1 << n * 5, float(n), -n * 10 ** 20, divmod(10 ** 50, n + 1)]


def containers(n):
    return [tuple(range(n)), dict.fromkeys(range(n)), set(range(n)), frozenset(range(n)), collections.deque(range(n)),
            collections.OrderedDict.fromkeys(range(n)), collections.defaultdict(list, {i: [i] for i in range(n % 40)}),
            array.array("d", range(n)), memoryview(bytearray(n)), collections.Counter("mississippi" * (n % 9)), range(n), slice(n)]


def star(*items, **named):
    return items, named


def with_stars(n):
    return star(*range(n % 50), **{"k%d" % i: [i] for i in range(n % 20)}), functools.partial(star, *"abc", n=n)


MAKERS = [Node, Slots, Node.chain, lambda n: Node(None).label, lambda n: (lambda m: [m] * 20)(n), cached, half_used, raising,
          closure, made_code, made_class, from_json, from_regex, imported, grown, with_resource, sorted_things, comprehensions,
          texts, numbers, containers, with_stars, lambda n: deep(n % 150, random.Random(n)), lambda n: list(delegating(n % 40)),
          lambda n: bytes(n * 1000), lambda n: bytearray(n * 100), lambda n: object(), lambda n: threading.local()]


def change(thing, n, own):
    """Grows or shrinks a thing in place, as its type lets one."""
    if isinstance(thing, list):
        thing.extend(range(n)) if own.random() < 0.6 else thing.__delitem__(slice(n % 50, None))
    elif isinstance(thing, dict):
        thing.update((("k", i), None) for i in range(n)) if own.random() < 0.7 else thing.clear()
    elif isinstance(thing, set):
        thing.update(str(i) for i in range(n)) if own.random() < 0.7 else thing.clear()
    elif isinstance(thing, bytearray):
        thing += bytes(n)
        if own.random() < 0.3:
            del thing[:len(thing) // 2]
    elif isinstance(thing, collections.deque):
        thing.extendleft(range(n))
    elif isinstance(thing, Node):
        thing.other = {"n": [thing] * (n % 30)}
    elif isinstance(thing, tuple):
        for part in thing[:5]:
            change(part, n, own)


def step(own):
    choice, n = own.random(), int(own.expovariate(1 / 60))
    if choice < 0.55 or len(kept) < 10:
        kept.append(own.choice(MAKERS)(n))
        return
    with picking:  # another thread may shorten the list in between
        thing = own.choice(kept)
        dropped = [kept.pop(own.randrange(len(kept))) for _ in range(max(int(choice > 0.8), len(kept) - 400))]
    change(thing, n, own)
    dropped.clear()


def work(own, steps):
    for _ in range(steps):
        step(own)


def run(own, parked, leave):
    try:
        work(own, STEPS)
    finally:
        parked.release()
    leave.acquire()


parked = threading.Semaphore(0)
for number in range(ROUNDS):
    leave = threading.Semaphore(0)
    threads = [threading.Thread(target=run, args=(random.Random(chance.random()), parked, leave), daemon=True)
               for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    work(chance, STEPS)
    for _ in threads:
        parked.acquire()
    if number < ROUNDS - 1:  # the last ones stay alive
        for thread in threads:
            leave.release()
        for thread in threads:
            thread.join()
del kept[::2]
work(chance, STEPS)
time.sleep(0.1)  # what threads free at their very end, they free without the GIL
library.oracle_end(out)
