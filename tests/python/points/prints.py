"""MEMPRINT to the stdout it is given; on stderr, in ASCII, what the points are."""
import sys

for name in ("plain", "żółć", "\N{SNOWMAN} \U0001F40D", "lone \udc80 \ud800", "é" * 300):
    MEMPOINT(name)
ballast = bytearray(123 << 20)
MEMPOINT("123 MiB more")
for _ in range(5):
    MEMPOINT()
MEMPRINT()
sys.stderr.buffer.write(ascii([tuple(log) for log in MEMLOGS]).encode("ascii"))
