"""events.py COUNT: calls step() COUNT times, and writes a file of its own on the way."""
import sys

import witness

with open("app.txt", "w") as file:
    for i in range(int(sys.argv[1])):
        witness.step()
        if i % 1000 == 0:
            file.write("%d\n" % i)
print("did", sys.argv[1])
