"""tracemalloc together with pmt: argv[1] is what is done, in its order: "+" starts it, "-" stops it, "m" measures. Prints
what tracemalloc says of a block and of a list, and what MEMPOINT says, at each "m"."""
import sys
import tracemalloc

results = []
for letter in sys.argv[1]:
    if letter == "+":
        tracemalloc.start()
    elif letter == "-":
        tracemalloc.stop()
    else:
        before = tracemalloc.get_traced_memory()[0]
        block = bytearray(1000003)
        block_traced = tracemalloc.get_traced_memory()[0] - before
        del block
        if not hasattr(__builtins__, "MEMPOINT"):
            results.append((tracemalloc.is_tracing(), block_traced))
            continue
        MEMPOINT()
        ints = [i for i in range(1000, 101000)]
        MEMPOINT()
        del ints
        MEMPOINT()
        memories = MEMLOGS.memories[-3:]
        results.append((tracemalloc.is_tracing(), block_traced, memories[1] - memories[0], memories[2] - memories[0]))
print(results)
