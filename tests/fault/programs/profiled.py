"""A small program under one of Python's own profilers, tracers and debugging aids, HOW, started and stopped by itself, twice.
Prints what that tool says, as far as it is the same in every run."""
import bdb
import cProfile
import collections
import faulthandler
import io
import os
import pstats
import re
import sys
import threading
import time
import trace
import tracemalloc

import witness


class Node:
    def __init__(self, children):
        self.children = children

    def count(self):
        return 1 + sum(child.count() for child in self.children)


def build(depth):
    witness.step()
    return Node([build(depth - 1) for _ in range(2)] if depth else [])


def fail(depth):
    if depth:
        return fail(depth - 1)
    raise KeyError(depth)


def work():
    results = [build(5).count(), sorted([3, 1, 2]), ",".join(map(str, range(5)))]
    try:
        fail(3)
    except KeyError:
        results.append(len("failed"))
    return results


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def counter(counts):
    def note(frame, event, argument):
        # events of the standard library depend on who waited for whom
        if frame.f_code.co_filename == __file__:
            counts[event, frame.f_code.co_name] += 1
        return note
    return note


def with_hook(set_hook, get_hook, set_for_threads):
    for _ in range(2):
        counts = collections.Counter()
        note = counter(counts)
        print(get_hook())
        set_hook(note)
        set_for_threads(note)
        work()
        in_thread(work)
        print(get_hook() is note)
        set_hook(None)
        set_for_threads(None)
        work()
        print(sorted(counts.items()), get_hook())


def profile():
    with_hook(sys.setprofile, sys.getprofile, threading.setprofile)


def settrace():
    with_hook(sys.settrace, sys.gettrace, threading.settrace)


def both_hooks():
    """A trace function is set, a profile function above it; they go in the other order."""
    traced, profiled = collections.Counter(), collections.Counter()
    sys.settrace(counter(traced))
    sys.setprofile(counter(profiled))
    work()
    sys.settrace(None)
    work()
    sys.setprofile(None)
    work()
    print(sorted(traced.items()), sorted(profiled.items()))


def stats_of(profiler):
    stats = pstats.Stats(profiler, stream=io.StringIO()).stats
    return sorted((os.path.basename(file), line, re.sub("0x[0-9a-f]+", "...", name), primitive, calls)
                  for (file, line, name), (primitive, calls, _, _, _) in stats.items())


def cprofile():
    for _ in range(2):
        profiler = cProfile.Profile()
        profiler.enable()
        work()
        profiler.disable()
        print(sys.getprofile())
        work()
        print(stats_of(profiler))


def cprofile_in_hook():
    """cProfile within a profile function: afterwards there is none, as ever."""
    counts = collections.Counter()
    profiler = cProfile.Profile()
    sys.setprofile(counter(counts))
    work()
    try:
        profiler.runcall(work)
    except ValueError as error:  # from 3.12 on: another one is active
        print(error)
    print(sys.getprofile() is None)
    sys.setprofile(None)
    print(sorted(counts.items()))


def count_lines():
    tracer = trace.Trace(count=1, trace=0, countfuncs=0)
    for _ in range(2):
        tracer.runfunc(work)
    counts = tracer.results().counts
    print(sorted((line, count) for (file, line), count in counts.items() if file == __file__))


class Debugger(bdb.Bdb):
    stops = 0

    def user_line(self, frame):
        Debugger.stops += 1
        self.set_continue() if Debugger.stops == 50 else self.set_step()


def debugger():
    for _ in range(2):
        Debugger.stops = 0
        print(Debugger().runcall(work), Debugger.stops, sys.gettrace())


def traced_memory():
    for frames in (1, 25):
        tracemalloc.start(frames)
        kept = [bytes(1000) for _ in range(1000)]
        found = tracemalloc.take_snapshot().statistics("lineno")[0]
        size, count = found.size, found.count
        print(size // 100000, count // 100, os.path.basename(found.traceback[0].filename), len(kept))
        tracemalloc.stop()
        work()
    print(tracemalloc.is_tracing())


def fault_handler():
    faulthandler.enable()
    faulthandler.dump_traceback(all_threads=True)
    in_thread(faulthandler.dump_traceback)
    faulthandler.dump_traceback_later(0.2)
    time.sleep(0.4)
    faulthandler.cancel_dump_traceback_later()
    work()
    faulthandler.disable()


TOOLS = [profile, settrace, both_hooks, cprofile, cprofile_in_hook, count_lines, debugger, traced_memory, fault_handler]

if __name__ == "__main__":
    next(tool for tool in TOOLS if tool.__name__ == sys.argv[1])()
    print(work())
