"""nested.py DEPTH: every process forks one child, which forks the next. Each calls a function named for its depth, and
says which process it was in the file `pids`."""
import os
import sys

import witness  # noqa: F401  (its witness files are what is wanted)

depth = 0
functions = {}
for i in range(int(sys.argv[1]) + 1):
    exec("def work_%d(): pass" % i, functions)


def work():
    for _ in range(20):
        functions["work_%d" % depth]()


work()
while depth < int(sys.argv[1]):
    child = os.fork()
    if child:
        break
    depth += 1
    work()
fd = os.open("pids", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(fd, b"%d %d\n" % (os.getpid(), depth))
if depth < int(sys.argv[1]):
    status = os.waitpid(child, 0)[1]
    work()
    if depth:
        os._exit(status >> 8)
    print("innermost says", status >> 8)
else:
    os._exit(9)
