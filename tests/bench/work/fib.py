"""Calls and nothing else: the worst case of a call hook."""
import sys


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


fib(int(sys.argv[1]))
