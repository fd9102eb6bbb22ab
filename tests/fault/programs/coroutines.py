"""Frames that are left and entered again: generators, in threads that did not make them too, coroutines, asyncio."""
import asyncio
import threading

import witness


def numbers(count):
    for number in range(count):
        witness.step()
        yield number


def delegate(depth, count):
    if depth:
        yield from delegate(depth - 1, count)
    else:
        yield from numbers(count)


async def ticks(count):
    for number in range(count):
        await asyncio.sleep(0)
        witness.step()
        yield number


async def task(number):
    total = 0
    async for tick in ticks(10):
        total += tick
        if number % 7 == 0 and tick == 5:
            raise KeyError(number)
    return total


async def crowd():
    results = await asyncio.gather(*[task(number) for number in range(21)], return_exceptions=True)
    cancelled = asyncio.ensure_future(asyncio.sleep(100))
    await asyncio.sleep(0)
    cancelled.cancel()
    try:
        await cancelled
    except asyncio.CancelledError:
        results.append("cancelled")
    return [repr(result) for result in results]


def run_loop(results, index):
    loop = asyncio.new_event_loop()
    results[index] = loop.run_until_complete(crowd())
    loop.close()


def resume(generator, results):
    for _ in range(100):
        results.append(next(generator))


print(sum(delegate(50, 500)))
shared, results = numbers(1000), []
for _ in range(10):
    thread = threading.Thread(target=resume, args=(shared, results))
    thread.start()
    thread.join()
print(results == list(range(1000)), next(shared, "no more"))
abandoned = [numbers(5) for _ in range(100)]
print([next(generator) for generator in abandoned].count(0))
del abandoned
loops = [None] * 3
threads = [threading.Thread(target=run_loop, args=(loops, index)) for index in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(loops[0] == loops[1] == loops[2], loops[0])
