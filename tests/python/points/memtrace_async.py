"""MEMTRACE on what is awaited: the second point comes when the await ends, whatever ends it."""
import asyncio
import functools
import inspect
import types

from checks import check, done, equal, raises

count = 1


def points(what, *expected):
    global count
    got = [ID.rsplit("-", 1)[0] for ID in MEMLOGS.IDs[count:]]
    count = len(MEMLOGS)
    equal(got, list(expected), "points of " + what)


@types.coroutine
def pause(value):
    return (yield value)


@MEMTRACE
async def wait(n, fail=None):
    """Waits."""
    got = [await pause(index) for index in range(n)]
    if fail:
        raise fail
    return got


check(inspect.iscoroutinefunction(wait), "no coroutine function")
equal((wait.__name__, wait.__doc__), ("wait", "Waits."), "wraps")
BEFORE, AFTER = "Before wait()", "After wait()"
for name in (BEFORE, AFTER):  # so that every later one has a number
    MEMPOINT(name)
count = len(MEMLOGS)

coroutine = wait(2)
points("a coroutine that has not begun")
equal((coroutine.send(None), coroutine.send("a")), (0, 1), "what it waits for")
points("a waiting coroutine", BEFORE)
equal(raises(StopIteration, coroutine.send, "b").value, ["a", "b"], "result")
points("the end", AFTER)
coroutine = wait(2)
coroutine.send(None)
coroutine.close()
points("a closed coroutine", BEFORE, AFTER)
coroutine = wait(2)
coroutine.send(None)
raises(ValueError, coroutine.throw, ValueError("thrown"))
points("a coroutine thrown into", BEFORE, AFTER)
wait(1).close()
points("a coroutine closed before it began")
error = KeyError("k")
check(raises(KeyError, wait(0, error).send, None) is error, "another exception")
points("a coroutine that failed", BEFORE, AFTER)
equal(raises(StopIteration, MEMTRACE(functools.partial(wait.__wrapped__, 0))().send, None).value, [], "result")
points("a partial", BEFORE, AFTER)
partial = MEMTRACE(functools.partial(wait.__wrapped__, 1))()
partial.send(None)
points("a waiting partial", BEFORE)
partial.close()
points("its end", AFTER)

old_style = MEMTRACE(pause)
for name in ("Before pause()", "After pause()"):
    MEMPOINT(name)
count = len(MEMLOGS)


async def awaits():
    return await old_style("item")


coroutine = awaits()
equal(coroutine.send(None), "item", "what it waits for")
equal(raises(StopIteration, coroutine.send, "sent").value, "sent", "result")
points("a coroutine made of a generator", "Before pause()", "After pause()")


# ---- asyncio
@MEMTRACE
async def work(n):
    await asyncio.sleep(0.001)
    return n


async def gather():
    return await asyncio.gather(*[work(n) for n in range(5)])


async def cancel():
    task = asyncio.ensure_future(work(1))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"


loop = asyncio.new_event_loop()
equal(loop.run_until_complete(gather()), [0, 1, 2, 3, 4], "results")
equal([ID.split()[0] for ID in MEMLOGS.IDs[count:]], ["Before"] * 5 + ["After"] * 5, "points of gathered coroutines")
count = len(MEMLOGS)
equal(loop.run_until_complete(cancel()), "cancelled", "result")
points("a cancelled coroutine", "Before work()", "After work()")


# ---- async generators
caught = []


@MEMTRACE
async def stream(n):
    try:
        for index in range(n):
            await asyncio.sleep(0)
            got = yield index
            if got:
                caught.append(got)
    except ValueError as thrown:
        yield thrown
    finally:
        caught.append("finally")


check(inspect.isasyncgenfunction(stream), "no async generator function")
for name in ("Before stream()", "After stream()"):
    MEMPOINT(name)
count = len(MEMLOGS)
BEGUN, OVER = "Before stream()", "After stream()"


async def use():
    equal([item async for item in stream(3)], [0, 1, 2], "items")
    points("an exhausted async generator", BEGUN, OVER)
    items = stream(3)
    equal((await items.__anext__(), await items.asend("sent")), (0, 1), "items")
    points("a running async generator", BEGUN)
    await items.aclose()
    equal(caught, ["finally", "sent", "finally"], "what the generator saw")
    points("a closed async generator", OVER)
    items = stream(3)
    await items.__anext__()
    error = ValueError("thrown")
    check(await items.athrow(error) is error, "another exception was thrown")
    try:
        await items.__anext__()
    except StopAsyncIteration:
        points("an async generator thrown into", BEGUN, OVER)
    items = stream(3)
    await items.__anext__()
    try:
        await items.athrow(KeyError("k"))
    except KeyError:
        points("an async generator that failed", BEGUN, OVER)
    equal([item async for item in stream(0)], [], "items")
    points("an async generator without items", BEGUN, OVER)


loop.run_until_complete(use())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
equal(len(set(MEMLOGS.IDs)), len(MEMLOGS), "number of different IDs")
done()
