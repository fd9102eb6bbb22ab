"""A forked child has the list and goes on with its own; a spawned one begins with its own."""
import multiprocessing
import os
import sys
import threading
import warnings

from checks import check, done, equal


def in_child(function):
    """What function() returns in a forked child, as text; and the child's exit status."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writer, repr(function()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read().decode()
    return answer, os.waitpid(pid, 0)[1]


def points():
    for name in ("parent", "child", "child"):
        MEMPOINT(name)
    return MEMLOGS.IDs


def grandchild():
    MEMPOINT("child")
    return points() + [in_child(points)[0]]


def spawned(connection):
    before = list(map(tuple, MEMLOGS))
    MEMPOINT("child")
    connection.send((os.getpid(), before, MEMLOGS.IDs))


def ask(method):
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=spawned, args=(there,))
    process.start()
    check(here.poll(60), "the child says nothing")
    answer = here.recv()
    process.join()
    equal(process.exitcode, 0, "the child's exit status")
    return answer


def main():
    MEMPOINT("parent")
    own = list(MEMLOGS)
    IDs = ["pmt start", "parent"]
    equal(in_child(points), (repr(IDs + ["parent-2", "child", "child-2"]), 0), "points of a forked child")
    equal(in_child(lambda: list(map(tuple, MEMLOGS)))[0], repr(list(map(tuple, own))), "points that the child has")
    third = IDs + ["child", "parent-2", "child-2", "child-3"]
    inner = third + ["parent-3", "child-4", "child-5"]
    equal(in_child(grandchild), (repr(third + [repr(inner)]), 0), "points of a child and its child")
    equal(list(MEMLOGS), own, "points of the parent")

    growth = in_child(lambda: (MEMPOINT(), bytearray(5 << 20), MEMPOINT()) and MEMLOGS[-1].memory - MEMLOGS[-2].memory)[0]
    check(0 <= int(growth) - (5 << 20) < 1000, "5 MiB in the child are %s" % growth)

    pid, before, after = ask("fork")
    check(pid != os.getpid(), "no process")
    equal(before, list(map(tuple, own)), "points of a child by multiprocessing")
    equal(after, IDs + ["child"], "its own points")
    pid, before, after = ask("spawn")
    equal([ID for ID, memory in before], ["pmt start"], "points of a spawned child")
    check(before[0][1] > 0 and pid != os.getpid(), "the first point of a spawned child")
    equal(after, ["pmt start", "child"], "its own points")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        check(all("parent" in IDs for IDs in pool.map(in_pool, range(4))), "children of a pool lack the list")
    equal(list(MEMLOGS), own, "points of the parent at the end")

    warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12 and later, about what follows
    # fork while other threads make points: the child must not wait for a lock that nobody holds there
    over = threading.Event()
    threads = [threading.Thread(target=busy, args=(over,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        answer, status = in_child(lambda: [MEMPOINT("in child"), MEMLOGS[-1].ID][1])
        equal((answer, status), ("'in child'", 0), "the point of a child forked among threads")
    over.set()
    for thread in threads:
        thread.join()
    done()


def in_pool(number):
    MEMPOINT(number)
    return MEMLOGS.IDs


def busy(over):
    while not over.is_set():
        MEMPOINT("busy")


if __name__ == "__main__":
    sys.setswitchinterval(1e-5)
    main()
