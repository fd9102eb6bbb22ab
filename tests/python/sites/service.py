"""A service with a thread: its cache is filled by json.loads, a report needs much for a moment, and what is old goes while
new documents come."""
import json
import random
import threading

cache = {}
ready = threading.Semaphore(0)


def make_document(number):
    """One document as it would come over the network."""
    words = ["item%d" % random.randrange(5000) for _ in range(30)]
    return json.dumps({"id": number, "tags": words, "scores": [random.random() for _ in range(30)]})


def handle(number):
    cache[number] = json.loads(make_document(number))


def fill(first, last):
    for number in range(first, last):
        handle(number)
        if number % 3 == 2:
            del cache[number - 2]


def work():
    fill(100000, 103000)
    ready.release()


def make_report():
    """Needs much more than it returns."""
    rows = [",".join(document["tags"]) for document in cache.values()]
    text = "\n".join(rows * 10)  # the temporary
    return len(text)


random.seed(1)
threading.Thread(target=work).start()
fill(0, 3000)
ready.acquire()
size = make_report()
fill(3000, 4000)
print(len(cache), size > 10 << 20)
