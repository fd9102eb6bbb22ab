"""multiprocessing with fork: pools, and processes that feed queues through their helper threads."""
import multiprocessing
import warnings

import witness


def square(number):
    witness.step()
    return number * number


def feed(queue, first):
    for number in range(first, first + 100):
        queue.put((number, "x" * 100))


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    context = multiprocessing.get_context("fork")
    for i in range(5):
        with context.Pool(3) as pool:
            total = sum(pool.map(square, range(300)))
            pool.close()
            pool.join()
        print("pool", total)
    for i in range(10):
        queue = context.Queue()
        children = [context.Process(target=feed, args=(queue, 100 * k)) for k in range(3)]
        for child in children:
            child.start()
        print("queue", sum(queue.get()[0] for _ in range(300)))
        for child in children:
            child.join()
        print([child.exitcode for child in children])
        queue.close()
        queue.join_thread()
