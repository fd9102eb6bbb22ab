"""Takes over, by dup2, the very descriptors that pmt keeps: nothing of pmt may reach the application's file."""
import os
import time

import witness

end = time.time() + 0.3
while time.time() < end:  # until the capture is open, too
    witness.step()

app = os.open("app.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(app, b"mine\n")
taken = 0
for name in os.listdir("/proc/self/fd"):
    fd = int(name)
    try:
        target = os.readlink("/proc/self/fd/" + name)
    except OSError:
        continue
    if fd > 2 and fd != app and (target.endswith((".log", ".pmt")) or target.startswith("/proc/")):
        os.dup2(app, fd)
        taken += 1
for i in range(2000):
    witness.step()
with open(os.path.join(witness.DIRECTORY, "taken"), "w") as file:
    file.write("%d\n" % taken)
