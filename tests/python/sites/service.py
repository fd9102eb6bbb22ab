"""A service with a thread: its cache is filled by json.loads, and what is old goes while new documents come; a report needs
much for a moment; every document is encoded once, as an answer."""
import json
import random
import threading

cache = {}
ready = threading.Semaphore(0)


def receive(number):
    """One document as it comes over the network."""
    words = ", ".join('"item%d"' % random.randrange(5000) for _ in range(30))
    scores = ", ".join("%.9f" % random.random() for _ in range(30))
    return '{"id": %d, "tags": [%s], "scores": [%s]}' % (number, words, scores)


def handle(number):
    cache[number] = json.loads(receive(number))


def fill(first, last):
    for number in range(first, last):
        handle(number)
        if number % 3 == 2:
            del cache[number - 2]


def work():
    fill(99999, 102999)
    ready.release()


def make_report():
    """Needs much more than it returns."""
    rows = [",".join(document["tags"]) for document in cache.values()]
    text = "\n".join(rows * 10)  # the temporary
    return len(text)


def answer(number):
    return len(json.dumps(cache[number]))


random.seed(1)
threading.Thread(target=work).start()
fill(0, 3000)
ready.acquire()
size = make_report()
fill(3000, 4000)
sent = sum(answer(number) for number in list(cache) for _ in range(3))
print(len(cache), size > 10 << 20, sent > 10 << 20)
