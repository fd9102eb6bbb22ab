"""A program for a debugger to walk through; run by test_neighbours.py under `python -m pdb`."""
import threading


def add(number):
    total = 0
    for part in range(number):
        total += part
    return total


def fails():
    try:
        raise KeyError("inner")
    except KeyError:
        raise ValueError("outer")


def numbers():
    for number in range(3):
        yield number


def main():
    first = add(3)
    second = add(4)
    listed = list(numbers())
    try:
        fails()
    except ValueError:
        first = -1
    thread = threading.Thread(target=add, args=(2,))
    thread.start()
    thread.join()
    last = first + second
    skipped = last
    return last, listed, skipped


print(main())
print("done")
