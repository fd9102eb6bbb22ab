"""Restores the deadly default of SIGXFSZ, which Python ignores, sets RLIMIT_FSIZE to 16 MiB and stays below it."""
import resource
import signal

import witness

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))
for i in range(60000):
    witness.step()
with open("app.txt", "w") as file:
    file.write("x" * 2000000)
print("alive")
