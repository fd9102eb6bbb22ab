"""8 threads with 1,000 points each, under names of their own and a common one: none is lost, none is there twice."""
import sys
import threading
import _thread

from checks import check, done, equal

THREADS, POINTS = 8, 1000
sys.setswitchinterval(1e-6)
begin = threading.Barrier(THREADS)
seen = []


def work(number):
    begin.wait()
    for _ in range(POINTS):
        MEMPOINT(number)
        MEMPOINT("common")
        if len(MEMLOGS) < 2 or MEMLOGS[-1].memory <= 0:
            seen.append(MEMLOGS[-1])


threads = [threading.Thread(target=work, args=("thread %d" % number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):  # a reader beside the writers
    IDs, memories = MEMLOGS.IDs, MEMLOGS.memories
    check(len(IDs) <= len(memories) <= len(MEMLOGS), "the list became shorter")
    equal(IDs[0], "pmt start", "the first point")
for thread in threads:
    thread.join()
equal(seen, [], "strange points")
equal(len(MEMLOGS), 2 * THREADS * POINTS + 1, "number of points")
for name in ["thread %d" % number for number in range(THREADS)] + ["common"]:
    expected = [name] + ["%s-%d" % (name, n) for n in range(2, POINTS * (THREADS if name == "common" else 1) + 1)]
    equal([ID for ID in MEMLOGS.IDs if ID.split("-")[0] == name], expected, "IDs of " + name)

over = threading.Event()


def without_a_thread_object():
    MEMPOINT("low")
    over.set()


_thread.start_new_thread(without_a_thread_object, ())
check(over.wait(30), "the thread did not end")
equal(MEMLOGS[-1].ID, "low", "a point of a thread that threading does not know")
done()
