"""Six threads, each with work of its own between thread_begin() and thread_end(); the last two run at the same time."""
import threading


def thread_begin():
    pass


def thread_end():
    pass


def count_down(number):
    return count_down(number - 1) if number else []


def numbers(stop):
    for number in range(stop):
        yield str(number)


def work(index):
    thread_begin()
    for _ in range(index + 1):
        count_down(index)
        sorted(numbers(index), key=lambda text: -int(text))
    try:
        int("no number %d" % index)
    except ValueError:
        pass
    thread_end()


for index in range(4):
    thread = threading.Thread(target=work, args=(index,))
    thread.start()
    thread.join()
together = [threading.Thread(target=work, args=(index,)) for index in (40, 60)]
for thread in together:
    thread.start()
for thread in together:
    thread.join()
