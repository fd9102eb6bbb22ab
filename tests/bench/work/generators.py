"""Generators in a chain: every number passes through four frames, which are left and entered again."""
import sys


def numbers(count):
    for number in range(count):
        yield number


def even(source):
    for number in source:
        if number & 1 == 0:
            yield number


def squares(source):
    for number in source:
        yield number * number


def run(count):
    return sum(number & 7 for number in squares(even(numbers(count))))


run(int(sys.argv[1]))
