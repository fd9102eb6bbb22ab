"""Functions that call themselves: each keeps 1,033 bytes from every depth up to that of the stacks that are kept, and a
little beyond. recursion.py FUNCTIONS DEPTHS"""
import sys

kept = []
size = 1000
for number in range(int(sys.argv[1])):
    space = {"size": size}
    source = "\n" * (number % 50) + "def call(n):\n    if n:\n        return call(n - 1)\n    return b'x' * size\n"
    exec(compile(source, "<%d>" % number, "exec"), space)
    call = space["call"]
    for depth in range(int(sys.argv[2])):
        kept.append(call(depth))
