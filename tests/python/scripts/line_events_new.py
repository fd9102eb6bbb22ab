"""line_events.py, with the syntax of CPython 3.12, and what the oracle tells otherwise in versions before."""
import contextlib


# Loops and decorators

def loop(inner=None):
    while (inner := (inner or 0) + 1) < 4:
        pass


@(lambda function:
  function)
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


# Exceptions

def groups():
    try:
        raise ExceptionGroup("group", [ValueError(1), TypeError(2)])
    except* ValueError as error:
        error.exceptions
    except* TypeError:
        pass


# Matching

def match(subject):
    match subject:
        case 1 | 2:
            return "few"
        case [first, *_] if (
                first):
            return first
        case {"key": value,
              **rest}:
            return value, rest
        case Made(attribute=1):
            return "made"
        case str() as text:
            pass
        case _:
            return None
    return text


# Context managers

@contextlib.asynccontextmanager
async def async_manager():
    await Awaited()
    yield
    await Awaited()


async def coroutine():
    async with async_manager():
        with manager("a") as a:
            return a


class Awaited:
    def __await__(self):
        yield
        return 1


# Generators that are not run to their end: up to 3.10 a trace function in Python keeps them

def generator():
    try:
        yield 1
    finally:
        received = None


def left():
    running = generator()
    next(running)
    del running


# Types

type Alias[T] = list[
    T]


def generic[T: (int, str)](value: T) -> T:
    return value


def main():
    loop()
    groups()
    for subject in (1, 2, [1], [0], {"key": 1}, Made(), "text", None):
        match(subject)
    running = coroutine()
    with contextlib.suppress(StopIteration):
        while True: running.send(None)
    left()
    Alias.__value__
    generic(1)


main()
