"""200 subprocesses by whatever way this Python has: fork, vfork or posix_spawn."""
import subprocess

import witness

total = 0
for i in range(200):
    witness.step()
    total += subprocess.run(["true" if i % 2 else "false"]).returncode
print(total, "failed")
