"""Objects that come and go: made by a class, asked, compared, dropped."""
import sys


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def moved(self, dx, dy):
        return Point(self.x + dx, self.y + dy)

    def __eq__(self, other):
        return self.x == other.x and self.y == other.y


def walk(count):
    start = Point(0, 0)
    met = 0
    for step in range(count):
        there = start.moved(step & 3, step & 1)
        met += there == start
        start = there.moved(-(step & 3), -(step & 1))
    return met


walk(int(sys.argv[1]))
