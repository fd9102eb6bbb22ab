"""Deep recursion under a raised limit goes as deep as without pmt, with every kind of events and with call stacks of
allocations: in the main thread where Python code needs no C stack (3.11 on), and in a thread with a large one. On every
CPython found.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import PYTHONS, check, each, equal, main, run

DEPTH = 100000
PROGRAM = """
import sys, threading
sys.setrecursionlimit(10**6)

def down(depth):
    return [depth] if depth == 0 else [depth] + down(depth - 1)[:1]

class Node:
    def __init__(self, depth):
        self.below = Node(depth - 1) if depth else None

def generate(depth):
    if depth:
        yield depth
        for item in generate(depth - 1):
            yield item

def work():
    print(down(%(depth)d)[0], sum(generate(300)))
    try:
        sys.setrecursionlimit(2000)
        down(10**6)
    except RecursionError as error:
        print(type(error).__name__)
    sys.setrecursionlimit(10**6)

if %(in_thread)r:
    threading.stack_size(1 << 30)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
print("end")
"""


class Case:
    def __init__(self, python, events, in_thread):
        self.python, self.events, self.in_thread = python, events, in_thread

    def __str__(self):
        return "%s %s %s" % (self.events, "thread" if self.in_thread else "main", self.python)


CASES = [Case(python, events, in_thread) for events in ("off", "python", "calls", "lines") for python in PYTHONS
         for in_thread in (False, True) if in_thread or python.version >= (3, 11)]


@each(CASES)
def as_deep_as_without(case):
    command = [case.python.path, "-S", "-s", "-c", PROGRAM % {"depth": DEPTH, "in_thread": case.in_thread}]
    before = run(command, pmt=False, timeout=300)
    equal((before.status, before.err), (0, ""), "the end without pmt")
    after = run(command, timeout=300, events=case.events, threshold=1)
    equal((after.status, after.out, after.err, after.pmt_lines), (before.status, before.out, "", []), "the end with pmt")
    check(before.out.startswith("%d 45150\n" % DEPTH), "the program did not get so deep")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
