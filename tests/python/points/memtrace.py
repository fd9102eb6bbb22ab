"""MEMTRACE on everything that can be called, but for what is async (memtrace_async.py)."""
import collections
import functools
import inspect
import threading

from checks import check, done, equal, raises

count = 1


def points(what, *expected):
    """The points since the last call: "name" stands for both of name(), "(name" for the one before, ")name" for the
    one after."""
    global count
    pairs = [["Before %s()" % name, "After %s()" % name] if not name[0] in "()" else
             [("Before %s()" if name[0] == "(" else "After %s()") % name[1:]] for name in expected]
    got = [ID.split("()-")[0] + "()" if "()-" in ID else ID for ID in MEMLOGS.IDs[count:]]
    count = len(MEMLOGS)
    equal(got, sum(pairs, []), "points of " + what)


# ---- functions
@MEMTRACE
def add(a, b: int = 2, *rest, key=None, **others) -> list:
    """Adds."""
    return [a, b, rest, key, others]


equal(add(1), [1, 2, (), None, {}], "result")
equal(add(1, 3, 4, key=5, func=6, self=7, ID_before=8), [1, 3, (4,), 5, {"func": 6, "self": 7, "ID_before": 8}], "result")
equal((MEMLOGS[1].ID, MEMLOGS[2].ID, MEMLOGS[3].ID), ("Before add()", "After add()", "Before add()-2"), "IDs")
points("a function", "add", "add")
equal((add.__name__, add.__qualname__, add.__doc__, add.__module__), ("add", "add", "Adds.", "__main__"), "wraps")
equal(add.__annotations__, {"b": int, "return": list}, "annotations")
equal(inspect.signature(add), inspect.signature(add.__wrapped__), "signature")
raises(TypeError, add)
points("a wrong call", "add")
token = object()
check(MEMTRACE(lambda: token)() is token, "the result is another object")
points("a lambda", "<lambda>")


@MEMTRACE
def grow():
    return bytearray(10 << 20)


ballast = grow()
check(MEMLOGS[-1].memory - MEMLOGS[-2].memory in range(10 << 20, (10 << 20) + 4096), "growth %r" % MEMLOGS[-2:])
points("growth", "grow")


@MEMTRACE
def fails(error):
    raise error


error = KeyError("k")
check(raises(KeyError, fails, error) is error, "another exception")
raises(KeyboardInterrupt, fails, KeyboardInterrupt())
points("exceptions", "fails", "fails")


@MEMTRACE
def factorial(n):
    return n * factorial(n - 1) if n else 1


equal(factorial(3), 6, "factorial(3)")
points("recursion", *["(factorial"] * 4 + [")factorial"] * 4)


@MEMTRACE
def outer():
    return add(1), add(2)


outer()
points("nesting", "(outer", "add", "add", ")outer")

twice = MEMTRACE(MEMTRACE(len))
equal(twice("abc"), 3, "len")
points("a builtin, twice", "(len", "len", ")len")

named = MEMTRACE(len, "start", "end")
named([])
MEMTRACE(len, ID_before="b", ID_after="a")([])
MEMTRACE(len, ID_after="only after")([])
MEMTRACE(func=len)([])
equal(MEMLOGS.IDs[count:-2], ["start", "end", "b", "a"] + [ID for ID in MEMLOGS.IDs[count:-2] if "Before len" in ID] +
      ["only after"], "IDs given")
count = len(MEMLOGS)
for wrong in (3, None, "text", []):
    raises(TypeError, MEMTRACE, wrong)
raises(TypeError, MEMTRACE)


# ---- methods
class Thing:
    """A thing."""

    @MEMTRACE
    def method(self, x=1):
        return self, x

    @classmethod
    @MEMTRACE
    def inner_class(cls, x):
        return cls, x

    @MEMTRACE
    @classmethod
    def outer_class(cls, x):
        return cls, x

    @staticmethod
    @MEMTRACE
    def inner_static(x):
        return x

    @MEMTRACE
    @staticmethod
    def outer_static(x):
        return x

    @property
    @MEMTRACE
    def inner_property(self):
        return 1

    @MEMTRACE
    @property
    def outer_property(self):
        """Documented."""
        return self.__dict__["kept"]

    @outer_property.setter
    def outer_property(self, value):
        self.__dict__["kept"] = value

    def plain(self):
        return "plain"

    @MEMTRACE
    def __call__(self):
        return "called"

    def __len__(self):
        return 7


thing = Thing()
equal(thing.method(x=2), (thing, 2), "method")
equal(Thing.method(thing), (thing, 1), "function of the class")
points("a method", "method", "method")
for owner in (thing, Thing):
    equal(owner.inner_class(1), (Thing, 1), "classmethod")
    equal(owner.outer_class(x=2), (Thing, 2), "classmethod")
    equal(owner.inner_static(3), 3, "staticmethod")
    equal(owner.outer_static(4), 4, "staticmethod")
points("class and static methods", *("inner_class", "outer_class", "inner_static", "outer_static") * 2)
thing.outer_property = 5
equal((thing.inner_property, thing.outer_property, Thing.outer_property.__doc__), (1, 5, "Documented."), "properties")
points("properties", "inner_property", "outer_property")
equal(MEMTRACE(thing.plain)(), "plain", "bound method")
equal(thing(), "called", "__call__")
points("a bound method", "plain", "__call__")
full = MEMTRACE(property(lambda self: 1, lambda self, value: None, lambda self: None, "doc"))
Thing.full = full
thing.full
thing.full = 1
del thing.full
points("a whole property", "<lambda>", "<lambda>", "<lambda>")


class Calls:
    def __call__(self, x):
        return x


equal(MEMTRACE(Calls())(3), 3, "callable object")
equal(MEMTRACE(functools.partial(add.__wrapped__, 1, key=2))(3), [1, 3, (), 2, {}], "partial")
equal(MEMTRACE(functools.partial(functools.partial(Calls()), 4))(), 4, "partial of partial")
cached = MEMTRACE(functools.lru_cache(maxsize=None)(add.__wrapped__))
check(cached(1) is cached(1), "lru_cache does not work")
points("objects", "Calls", "add", "Calls", "add", "add")


# ---- generators
@MEMTRACE
def generate(n):
    """Generates."""
    for index in range(n):
        got = yield index
        if got:
            yield got
    return "returned"


check(inspect.isgeneratorfunction(generate), "no generator function")
equal(list(generate(3)), [0, 1, 2], "items")
points("an exhausted generator", "generate")
generator = generate(3)
points("a generator that has not begun")
equal((next(generator), generator.send("sent"), next(generator)), (0, "sent", 1), "items")
points("a running generator", "(generate")
generator.close()
points("a closed generator", ")generate")
generator = generate(3)
generator.close()
points("a generator closed before it began")
generator = generate(3)
next(generator)
raises(ValueError, generator.throw, ValueError("thrown"))
points("a generator thrown into", "generate")
generator = generate(3)
next(generator)
del generator
points("a dropped generator", "generate")
equal(raises(StopIteration, next, generate(0)).value, "returned", "value of the generator")
points("a generator without items", "generate")


@MEMTRACE
def survives():
    try:
        yield 1
    except ValueError:
        yield "caught"
    finally:
        MEMPOINT("Before finally()")


generator = survives()
next(generator)
equal(generator.throw(ValueError()), "caught", "item after throw")
points("a generator that caught", "(survives")
del generator
points("its end", "(finally", ")survives")


def delegate():
    return (yield from generate(2))


equal(list(delegate()), [0, 1], "items")
points("yield from", "generate")
equal(list(MEMTRACE(functools.partial(generate.__wrapped__, 2))()), [0, 1], "items")
points("partial of a generator", "generate")
partial = MEMTRACE(functools.partial(generate.__wrapped__, 2))()
next(partial)
points("partial of a generator, running", "(generate")
partial.close()
points("its end", ")generate")


class Yields:
    @MEMTRACE
    def items(self):
        yield 1

    def __call__(self):
        yield 2


equal(list(Yields().items()) + list(MEMTRACE(Yields().items)()), [1, 1], "items")
points("generator methods", "items", "(items", "items", ")items")
called = MEMTRACE(Yields())()
next(called)
points("a generator __call__, running", "(Yields")
del called
points("its end", ")Yields")


# ---- classes
@MEMTRACE
class Point:
    """A point."""

    def __init__(self, x, y=0):
        self.x, self.y = x, y


check(isinstance(Point, type) and Point.__name__ == "Point" and Point.__doc__ == "A point.", "the class")
point = Point(1, y=2)
equal((type(point), point.x, point.y), (Point, 1, 2), "instance")
points("a class", "Point")
raises(TypeError, Point)
points("a class called wrongly", "Point")


class Sub(Point):
    def __init__(self):
        super().__init__(5)


equal(Sub().x, 5, "subclass")
points("a subclass", "Point")


@MEMTRACE
class Empty:
    pass


check(isinstance(Empty(), Empty), "instance")
points("a class without __init__", "Empty")
raises(TypeError, Empty, 1)
raises(TypeError, lambda: Empty(x=1))
count = len(MEMLOGS)


@MEMTRACE
class Made:
    def __new__(cls, x, *, y=0):
        made = object.__new__(cls)
        made.x = x + y
        return made


equal(Made(1, y=2).x, 3, "instance of a class with __new__ only")
points("a class with __new__ only", "Made")
Pair = MEMTRACE(collections.namedtuple("Pair", "a b"))
equal(Pair(1, b=2), Pair.__mro__[1].__new__(Pair, (1, 2)), "named tuple")
points("a named tuple", "Pair")
equal((MEMTRACE(int)("3"), MEMTRACE(dict)(a=1)), (3, {"a": 1}), "builtin classes")
points("builtin classes", "int", "dict")


@MEMTRACE
class Wrong(Exception):
    pass


equal(Wrong("a", 1).args, ("a", 1), "exception class")
points("an exception class", "Wrong")


# ---- threads
def many():
    for index in range(200):
        add(index)


threads = [threading.Thread(target=many) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
IDs = MEMLOGS.IDs[count:]
equal(sum(ID.startswith("Before add()") for ID in IDs), 800, "Befores in threads")
equal(sum(ID.startswith("After add()") for ID in IDs), 800, "Afters in threads")
equal(len(set(MEMLOGS.IDs)), len(MEMLOGS), "number of different IDs")
done()
