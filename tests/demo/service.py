"""A small service, as many are: it fills a cache from JSON, answers requests, makes a report with large temporaries,
and drops a part of the cache. scripts/quickstart measures it."""
import json
import random


def make_document(number):
    """One document as it would come over the network."""
    words = ["item%d" % random.randrange(5000) for _ in range(40)]
    return json.dumps({"id": number, "tags": words, "scores": [random.random() for _ in range(40)]})


def fill_cache(cache, count):
    for number in range(count):
        cache[number] = json.loads(make_document(number))


def answer(cache, number):
    document = cache[number]
    return {"id": document["id"], "best": max(document["scores"]), "tag": document["tags"][0]}


def make_report(cache):
    """Needs a multiple of what it returns: every row, then all rows in one text, then its bytes."""
    rows = [",".join(document["tags"]) for document in cache.values()]
    text = "\n".join(rows * 10)
    return len(text.encode())


def drop_old(cache, count):
    for number in range(count):
        del cache[number]


def main():
    random.seed(1)
    cache = {}
    fill_cache(cache, 6000)
    best = sum(answer(cache, random.randrange(6000))["best"] for _ in range(20000))
    size = make_report(cache)
    drop_old(cache, 3000)
    print("best %.2f, report of %d bytes, %d documents kept" % (best, size, len(cache)))


if __name__ == "__main__":
    main()
