"""Growth: objects that stay, so that RSS rises all the time."""
import sys


class Node:
    def __init__(self, value, before):
        self.value, self.before, self.label = value, before, "node %d" % value


def grow(count):
    node = None
    for value in range(count):
        node = Node(value, node)
    return node


def drop(node):
    """One by one: a chain of this length would be too deep for recursive deallocation in old versions."""
    while node:
        node = node.before


drop(grow(int(sys.argv[1])))
