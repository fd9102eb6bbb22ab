"""COUNT threads, ten at once, each with a few calls. The growth of RSS and of the number of mappings from the first tenth
on goes to the file "growth"."""
import os
import sys
import threading

import witness

AT_ONCE = 10
count = int(sys.argv[1])


def live():
    witness.step()
    [bytearray(number) for number in range(100)]


def measure():
    with open("/proc/self/statm") as statm, open("/proc/self/maps") as maps:
        return int(statm.read().split()[1]) * 4096, len(maps.readlines())


for number in range(0, count, AT_ONCE):
    if number == count // 10:
        first = measure()
    threads = [threading.Thread(target=live) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
with open(os.path.join(witness.DIRECTORY, "growth"), "w") as file:
    file.write("%d %d\n" % tuple(last - begin for last, begin in zip(measure(), first)))
print(count, "threads")
