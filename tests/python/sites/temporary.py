"""Blocks that are freed before the thread's next allocation, and others: temporary.py N. A line's comment says how many of
its blocks are temporary, of how many, in a round."""
import sys
import threading

size, kept = 1000, [None]
given, taken = threading.Semaphore(0), threading.Semaphore(0)


def at_once(n):
    for _ in range(n):
        b"a" * size  # 1 of 1


def one_between(n):
    for _ in range(n):
        first = b"b" * size  # 0 of 1
        second = b"c" * size  # 1 of 1
        del first, second


def in_order(n):
    for _ in range(n):
        first = b"d" * size  # 0 of 1
        second = b"e" * size  # 1 of 1
        del second
        third = b"f" * size  # 1 of 1
        del third, first


def replaced(n):
    for _ in range(n):
        kept[0] = b"g" * size  # 0 of 1


def handed_over(n):
    for _ in range(n):
        kept[0] = b"h" * size  # 0 of 1
        given.release()
        taken.acquire()


def take(n):
    for _ in range(n):
        given.acquire()
        kept[0] = None
        taken.release()


def resized(n):
    for _ in range(n):
        data = bytearray(b"i")
        data += large  # 0 of 1
        del data


n = int(sys.argv[1])
large = b"j" * 5000
at_once(n)
one_between(n)
in_order(n)
replaced(n)
resized(n)
thread = threading.Thread(target=take, args=(n,))
thread.start()
handed_over(n)
thread.join()
