"""Threads come and go, a few at a time: threads.py N. Prints how far RSS has grown since the first hundred."""
import sys
import threading

kept = [None] * 64


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def work(number):
    kept[number % 64] = [str(number)] * 50
    kept[(number + 1) % 64] = None


for number in range(0, int(sys.argv[1]), 4):
    if number == 100:
        before = resident()
    threads = [threading.Thread(target=work, args=(number + i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident() - before)
