"""A function of many lines calls one of some lines, from each to each: a block of 1,033 bytes is kept from every pair.
places.py OUTER INNER"""
import sys

outer_lines, inner_lines = map(int, sys.argv[1:])
size = 1000
kept = []


def make(name, lines, text):
    source = "def %s(i, k):\n" % name + "".join("    if i == %d: %s\n" % (number, text) for number in range(lines))
    space = {"size": size, "inner": globals().get("inner")}
    exec(compile(source, "<%s>" % name, "exec"), space)
    return space[name]


inner = make("inner", inner_lines, "return b'x' * size")
outer = make("outer", outer_lines, "return inner(k, 0)")
for i in range(outer_lines):
    for k in range(inner_lines):
        kept.append(outer(i, k))
