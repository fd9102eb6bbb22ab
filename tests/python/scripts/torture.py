"""Every way of entering and leaving a function that CPython 3.6 and later have, for comparison with sys.setprofile.

Deterministic: no clock, no random number, no order that hangs on an address. Syntax of 3.6.
"""
import asyncio
import contextlib
import functools
import itertools
import re
import sys


# Functions, recursion, argument forms, decorators, lambdas, closures

def recurse(depth):
    return 0 if depth == 0 else 1 + recurse(depth - 1)


def is_even(number):
    return True if number == 0 else is_odd(number - 1)


def is_odd(number):
    return False if number == 0 else is_even(number - 1)


def all_forms(first, *rest, key=None, **named):
    return first, rest, key, named


def traced(label):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)
        wrapper.label = label
        return wrapper
    return decorate


@traced("outer")
@traced(
    "inner"
)
def decorated(value):
    return value


@functools.lru_cache(maxsize=None)
def cached(number):
    return number if number < 2 else cached(number - 1) + cached(number - 2)


def functions():
    recurse(300)
    is_even(31)
    all_forms(1, 2, *[3, 4], key=5, **{"six": 6})
    decorated(7)
    cached(20)
    cached(20)
    (lambda: (lambda x: x)(1))()
    adders = [lambda x, n=n: x + n for n in range(3)]
    for add in adders:
        add(1)
    functools.partial(all_forms, 1, key=2)(3)
    functools.reduce(lambda a, b: a + b, range(5))
    max(
        len("many"),
        len(
            "lines"
        ),
        key=lambda n:
        -n,
    )


# C functions in all their call forms

def c_functions():
    items = []
    items.append(1)
    list.append(items, 2)
    items.extend(*[(3, 4)])
    items.sort(key=lambda n: -n, reverse=True)
    sorted("bca", key=str.upper)
    "-".join(map(str, items))
    dict.fromkeys("ab")
    {"a": 1}.get(*("a",), **{})
    int.from_bytes(b"\x01", byteorder="big")
    (5).__add__(6)
    print("", end="", file=sys.stdout)
    isinstance(items, (list, tuple)) and callable(len) and getattr(items, "pop")()
    list(map(lambda n: n * 2, items))
    list(filter(lambda n: n % 2, items))
    list(zip(items, itertools.islice(itertools.count(), 3)))
    re.sub("[a-c]", lambda match: match.group().upper(), "abcd")
    any(n > 2 for n in items)
    iter_calls = iter(lambda: len(items), 2)
    next(iter_calls, None)
    type("Made", (object,), {"method": lambda self: 1})().method()


# Exceptions, through Python and through C

def raise_deep(depth):
    if depth == 0:
        raise KeyError("deep")
    raise_deep(depth - 1)


def raise_in_finally():
    try:
        raise_deep(2)
    finally:
        len("on the way")


def attempt(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return type(error).__name__


def raising_key(item):
    if item == 2:
        return int("no number")
    return item


def exceptions():
    attempt(raise_deep, 5)
    attempt(raise_in_finally)
    attempt(int, "x")
    attempt(lambda: int("x"))
    attempt(lambda: [].pop())
    attempt(lambda: {}.pop("missing"))
    attempt(lambda: sorted([1, 2, 3], key=raising_key))
    attempt(lambda: list(map(raising_key, [1, 2])))
    attempt(lambda: re.sub("x", lambda match: raise_deep(1), "x"))
    attempt(lambda: len(1, 2))
    attempt(lambda: len(1))
    attempt(lambda: all_forms())
    attempt(lambda: getattr(object(), "missing"))
    attempt(lambda: next(iter(())))
    attempt(lambda: eval("1 +"))
    attempt(lambda: exec("raise ValueError"))
    attempt(lambda: __import__("no_such_module_anywhere"))
    try:
        try:
            raise_deep(1)
        except KeyError as error:
            raise RuntimeError("chained") from error
    except RuntimeError:
        pass


# Generators: resumed, delegated, closed, thrown into, abandoned

def count_up(stop):
    for number in range(stop):
        received = yield number
        if received:
            len(str(received))


def stubborn():
    while True:
        try:
            yield "ready"
        except ValueError:
            yield "caught"
        finally:
            len("left")


def delegating():
    result = yield from count_up(2)
    yield from "ab"
    return result


def generators():
    list(count_up(4))
    generator = count_up(3)
    next(generator)
    generator.send("sent")
    attempt(generator.throw, KeyError)
    closed = stubborn()
    next(closed)
    closed.close()
    thrown = stubborn()
    next(thrown)
    thrown.throw(ValueError)
    attempt(thrown.throw, OSError)
    list(delegating())
    delegated = delegating()
    next(delegated)
    attempt(delegated.throw, LookupError)
    # Not `del abandoned`: up to 3.10 a profile function in Python makes the frame's f_locals, which keep it alive.
    abandoned = [stubborn()]
    next(abandoned[0])
    abandoned.clear()
    fresh = stubborn()
    attempt(fresh.throw, ValueError)
    count_up(1).close()
    first, *others = (number * 2 for number in count_up(5))
    sum(number for number in (inner for inner in count_up(3)))


# Coroutines, driven by hand and by asyncio

class Ready:
    def __await__(self):
        value = yield self
        return value


class Resource:
    async def __aenter__(self):
        await Ready()
        return self

    async def __aexit__(self, *exc_info):
        await Ready()
        return True


async def ticks(stop):
    for number in range(stop):
        await Ready()
        yield number


async def awaiting(depth):
    if depth:
        return await awaiting(depth - 1)
    return await Ready()


async def asynchronous():
    await awaiting(3)
    async with Resource():
        len("inside")
        raise_deep(1)
    async for number in ticks(2):
        abs(number)
    [number async for number in ticks(2) if number]
    unfinished = ticks(5)
    await unfinished.asend(None)
    with contextlib.suppress(KeyError):
        await unfinished.athrow(KeyError("thrown in"))
    other = ticks(5)
    await other.__anext__()
    await other.aclose()


def drive(coroutine):
    with contextlib.suppress(StopIteration):
        while True:
            coroutine.send(None)


async def child(number):
    await asyncio.sleep(0)
    return number


async def parent():
    await asyncio.gather(child(1), child(2))
    with contextlib.suppress(ZeroDivisionError):
        await asyncio.ensure_future(failing())


async def failing():
    await asyncio.sleep(0)
    return 1 // 0


def coroutines():
    drive(asynchronous())
    waiting = awaiting(2)
    waiting.send(None)
    attempt(waiting.throw, ValueError)
    closed = awaiting(1)
    closed.send(None)
    closed.close()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(parent())
    loop.close()


# Classes: metaclasses, descriptors, operators, properties, finalizers

class Meta(type):
    @classmethod
    def __prepare__(mcs, name, bases, **options):
        return {}

    def __new__(mcs, name, bases, namespace, **options):
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **options):
        super().__init__(name, bases, namespace)

    def __call__(cls, *args):
        return super().__call__(*args)

    def __instancecheck__(cls, instance):
        return False


class Field:
    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner):
        return len(self.name)

    def __set__(self, instance, value):
        pass


class Base(metaclass=Meta, option=1):
    field = Field()

    def __init_subclass__(cls, **options):
        super().__init_subclass__()

    def __init__(self, value=0):
        self.value = value

    def __del__(self):
        len("finalized")


class Derived(Base):
    class Nested:
        def method(self):
            return self

    def __init__(self, value=0):
        super().__init__(value)

    @property
    def doubled(self):
        return self.value * 2

    @doubled.setter
    def doubled(self, value):
        self.value = abs(value) // 2

    @classmethod
    def make(cls):
        return cls(1)

    @staticmethod
    def plain():
        return None

    def __call__(self, *args):
        return args

    def __getattr__(self, name):
        if name.startswith("virtual"):
            return name
        raise AttributeError(name)

    def __add__(self, other):
        return NotImplemented

    def __lt__(self, other):
        return self.value < other.value

    def __eq__(self, other):
        return isinstance(other, Derived)

    def __hash__(self):
        return hash(self.value)

    def __len__(self):
        return self.value

    def __iter__(self):
        return iter(range(self.value))

    def __contains__(self, item):
        return bool(item)

    def __getitem__(self, index):
        return index

    def __repr__(self):
        return "derived"

    def __format__(self, spec):
        return format(self.value, spec)


class Adder:
    def __radd__(self, other):
        return int(self is not other)


def classes():
    derived = Derived.make()
    derived.field = derived.field
    derived.doubled = derived.doubled
    Derived.plain()
    derived(1, 2)
    derived.virtual_name
    hasattr(derived, "missing")
    derived + Adder()
    sorted([Derived(2), derived, Derived(3)])
    min([Derived(5), Derived(4)], key=len)
    derived in [Derived(9)]
    {derived: 1}[Derived(1)]
    list(derived)
    1 in derived
    derived[1:2]
    "%r %s" % (derived, derived)
    f"{derived:>4} {derived!r}"
    isinstance(1, Derived)
    Derived.Nested().method()
    finalized = [Derived(6)]
    finalized.pop()
    Derived(7)


# Context managers and comprehensions

class Manager:
    def __init__(self, swallow):
        self.swallow = swallow

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        return self.swallow


@contextlib.contextmanager
def managed():
    try:
        yield len("managed")
    except KeyError:
        pass


def managers():
    with Manager(True), Manager(False) as inner:
        raise_deep(int(inner.swallow))
    with managed():
        raise_deep(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Manager(False))
        stack.callback(len, "callback")


def comprehensions():
    [str(n) for n in range(3) if n]
    {abs(n) for n in (1, -1, 2)}
    {n: str(n) for n in range(2)}
    [[len(str(a)) for a in range(b)] for b in range(3)]
    [(lambda: n)() for n in range(2)]
    attempt(lambda: [int(text) for text in ("1", "x")])


# exec, eval, hostile names

class Кот:
    def мяу(self):
        return len("мяу")


def функция(аргумент):
    лямбда = lambda: аргумент
    return лямбда()


def 関数():
    return Кот().мяу()


SOURCE = """
def called(value):
    return len(str(value))
def raising():
    return int("no number")
called(1)
try:
    raising()
except ValueError:
    pass
"""

HOSTILE_FILES = [
    "", "-", "simple name with blanks.py", "new\nline.py", "carriage\rreturn.py", "tab\tname.py", "hash # 12 name.py",
    "back\\slash.py", "back\\x41slash.py", "escape\x1b[31m.py", "all" + "".join(map(chr, range(1, 32))) + ".py",
    "delete\x7f.py", "percent%s%n%d.py", 'quote"\'.py', "имя файла.py", "\u65e5\u672c.py", "emoji\U0001f600.py",
    "next\u0085line\u2028separator.py", "surrogate\udcff\udc80escaped.py", "half\udce2\udc82utf8.py", "lone\ud800.py",
    "<string>", "long/" + "d" * 73, "long/" + "e" * 74, "long/" + "f" * 75, "long/" + "g" * 76, "long/" + "h" * 253,
    "long/" + "i" * 4995, "long/" + "ж" * 2500, "long/#\n" * 900,
    "PREV: 1 #   1 x 1 1\nNEXT: 1            +1      0.1 CALL a #   1 f 1 1",
]

HOSTILE_FUNCTIONS = [
    "", "-", "with blank", "new\nline", "hash#name", "back\\slash", "nul\x00name", "1 2 3", "f 7 8  thread=9", "имя",
    "\udcff", "\ud800\udc00", "n" * 31, "n" * 32, "n" * 33, "n" * 3000, "ж" * 3000, "%s%n", "\x1b[0m",
]


def evaluated():
    for name in HOSTILE_FILES:
        exec(compile(SOURCE, name, "exec"), {})
    exec(compile("\n" * 123456 + "len('far down')", "lines.py", "exec"), {})
    eval("(lambda: len('x'))()")
    eval(compile("[n for n in range(2)]", "eval.py", "eval"), {})
    exec("def made(): return len('y')\nmade()", {})
    функция(1)
    関数()
    for length in (31, 32, 33, 3000):
        scope = {}
        exec("def %s(): return 1" % ("f" * length), scope)
        scope["f" * length]()
    if hasattr(функция.__code__, "replace"):  # 3.8
        for name in HOSTILE_FUNCTIONS:
            код = is_odd.__code__.replace(co_name=name)
            type(функция)(код, globals())(2)


def main():
    for part in (functions, c_functions, exceptions, generators, coroutines, classes, managers, comprehensions, evaluated):
        part()


main()
