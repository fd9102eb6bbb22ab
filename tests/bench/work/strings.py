"""Strings, by methods and functions written in C: an event before and after each of them."""
import sys


def words(number):
    text = str(number) + "," + hex(number)
    parts = text.upper().split(",")
    parts.append(text.replace("x", "y"))
    return len("".join(parts)) + ord(text[0]) + text.find("x")


def run(count):
    total = 0
    for number in range(count):
        total += words(number)
    return total


run(int(sys.argv[1]))
