"""Allocates at one line under several labels: 1,033 bytes at a time."""
import threading

import pmt

kept = [None] * 1000


def put(start, count):
    for i in range(start, start + count):
        kept[i] = b"x" * size


class Odd:
    def __str__(self):
        return "é\nodd"


def in_thread():
    put(100, 7)
    with pmt.label("thread"):
        entered.release()
        leave.acquire()
        put(110, 8)
    put(120, 9)


size = 1000
put(0, 10)
with pmt.label("one"):
    put(10, 20)
    with pmt.label("two"):
        put(30, 5)
    put(35, 1)
put(36, 2)
try:
    with pmt.label("raises"):
        put(38, 3)
        raise KeyError
except KeyError:
    pass
put(41, 4)
with pmt.label(Odd()):
    put(45, 6)
label = pmt.label("again")
for round in range(3):
    with label:
        put(60 + round * 10, 2)
entered, leave = threading.Semaphore(0), threading.Semaphore(0)
with pmt.label("main"):
    thread = threading.Thread(target=in_thread)
    thread.start()
    entered.acquire()
    put(130, 11)
    leave.release()
    thread.join()
    put(145, 1)
