"""Lines in every order in which CPython can come by them, for comparison with sys.settrace. For 3.6 and later; what has
new syntax is in line_events_new.py."""
import contextlib


# Loops in one line, and jumps back to it

def one_line_loops():
    number = 5
    while number: number -= 1
    for number in range(4): number
    while True: number += 1; break
    for number in range(3): (number, [letter for letter in "ab"])
    total = sum(number for number in range(3)); number = [x * y for x in range(3) for y in range(2)]
    while number: number.pop() if number else None
    return {x: {y for y in range(2)} for x in range(2)}, total


def loops():
    for outer in range(3):
        for inner in range(2):
            if inner == outer:
                continue
            if outer == 2:
                break
        else:
            inner = None
    else:
        outer = None
    while True:
        outer = 0 if outer is None else outer + 1
        if outer > 3:
            break


# Statements over several lines

def many_lines(first=
               1, *rest,
               key=lambda
               value: value):
    result = (first
              + key(
                  2) if first
              else
              rest)
    text = f"""{first}
    {key(
        3)}"""
    assert (first or
            text), \
        "never"
    return [
        result,
        *rest,
        {"key":
         key(4)},
    ]


def decorator(
        function):
    return function


@decorator
@contextlib.contextmanager
def manager(
        name,
):
    try:
        yield name
    finally:
        name = None


class Made(
        object):
    attribute: int = 1
    other = [
        attribute,
    ]

    def method(self): return self.attribute

    @property
    def value(self):
        return (
            self.method()
        )


# Exceptions

def raises(kind):
    raise kind(
        "text"
    )


def exceptions():
    for kind in (ValueError, KeyError, StopIteration):
        try:
            raises(kind)
        except ValueError:
            pass
        except (KeyError,
                StopIteration) as error:
            error.args
        else:
            never = 1
        finally:
            never = None
    try:
        try:
            1 / 0
        finally:
            raises(OSError)
    except OSError:
        pass
    try:
        try:
            raises(ValueError)
        except ValueError as error:
            raise RuntimeError from error
    except RuntimeError: never = 2
    with contextlib.suppress(ZeroDivisionError): 1 / never / 0
    with manager("a") as a, \
            manager("b"):
        a + "b"
    try:
        with manager("c"):
            raises(TypeError)
    except TypeError:
        return never


def return_in_finally():
    for _ in range(2):
        try:
            raises(ValueError)
        except ValueError:
            continue
        finally:
            never = 1
    try:
        return never
    finally:
        never = 2


def unhandled():
    try: raises(ValueError)
    finally: pass


# Generators and coroutines

def generator(stop):
    received = None
    try:
        while stop:
            received = yield (
                received)
            stop -= 1
    except KeyError:
        yield "caught"
    finally:
        received = None
    return received


def delegating():
    first = yield from generator(2)
    yield first; yield from (x for x in range(2))


def generators():
    list(delegating())
    for value in generator(2): value
    for value in delegating():
        value
    running = generator(3)
    next(running)
    running.send(1)
    running.throw(KeyError)
    running.close()
    running = generator(3)
    next(running)
    try:
        running.throw(ValueError)
    except ValueError:
        pass
    with contextlib.suppress(StopIteration):
        next(generator(0))
    first, *rest = generator(3)


class Awaited:
    def __init__(self, times):
        self.times = times

    def __await__(self):
        for time in range(self.times):
            yield time
        return self.times


class AsyncManager:
    async def __aenter__(self):
        await Awaited(1)

    async def __aexit__(self, *unused):
        await Awaited(
            0)


async def async_numbers(stop):
    for number in range(stop):
        await Awaited(1)
        yield number


async def coroutine():
    async with AsyncManager():
        numbers = [number async for number in async_numbers(2)]
    async for number in async_numbers(2): numbers
    async for number in async_numbers(3):
        if number == 1:
            break
    else:
        numbers = None
    try:
        await Awaited(
            9)
    except RuntimeError:
        pass
    return [await Awaited(1) for _ in range(2)]


def drive():
    """Sends to the coroutine until it is over; throws once into the long wait."""
    running = coroutine()
    try:
        waited = None
        while waited != 5: waited = running.send(None)
        running.throw(RuntimeError)
        while True: running.send(None)
    except StopIteration as end:
        return waited, end.value


# The rest

def nothing(): pass


def documented():
    """Nothing but a text."""


def never_ends_a_line(): x = 1; y = 2; return (x,
                                              y)


def evaluated():
    exec("a = 1\n\n\nb = [1\n for _ in [a, a]]\ndef f():\n  return 1\nf()")
    eval("[x for x in\n range(2)]")
    exec(compile("if 1:\n  2; 3\nelse: 4", "<made up>", "exec"))


def main():
    one_line_loops()
    loops()
    many_lines(); many_lines(0, 1)
    Made().value
    exceptions()
    return_in_finally()
    try:
        unhandled()
    except ValueError:
        pass
    generators()
    drive()
    nothing(), documented()
    never_ends_a_line()
    evaluated()


main()
