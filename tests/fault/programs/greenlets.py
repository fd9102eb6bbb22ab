"""Greenlets: switches between stacks in the middle of Python calls, also from within generators, and in threads."""
import sys
import threading

import witness

try:
    import greenlet
except ImportError:
    sys.exit(77)

trail = []


def deep(depth, turns):
    witness.step()
    if depth:
        return deep(depth - 1, turns)
    for turn in range(turns):
        greenlet.getcurrent().parent.switch(turn)
        [bytearray(n) for n in range(100)]
    return "over"


def generate():
    for number in range(3):
        greenlet.getcurrent().parent.switch(number)
        yield number


def run():
    crowd = [greenlet.greenlet(lambda: deep(20, 10)) for _ in range(50)] + [greenlet.greenlet(lambda: list(generate()))]
    while crowd:
        trail.append([one.switch() for one in crowd])
        crowd = [one for one in crowd if not one.dead]
    abandoned = greenlet.greenlet(lambda: deep(5, 5))
    abandoned.switch()
    del abandoned


threads = [threading.Thread(target=run) for _ in range(3)]
for thread in threads:
    thread.start()
    thread.join()
run()
print(len(trail), trail[0], trail[-1])
