#!/bin/sh
# ELF files with every byte of their headers wrong in turn, and cut at many places: no crash, no hang.
. "$TEST_SRC/run/common"
make_program program 'int main(void) { return 0; }'
/usr/bin/python3 - <<'END'
import os, shutil, subprocess
pmt = shutil.which("pmt")
good = open("program", "rb").read()
def check(data):
    open("bad", "wb").write(data)
    os.chmod("bad", 0o755)
    done = subprocess.run([pmt, "doctor", "--preflight", "--", "./bad"], capture_output=True, timeout=20)
    lines = done.stderr.decode().splitlines()
    if done.returncode != 0 or done.stdout or any(not line.startswith("pmt: ./bad ") for line in lines):
        print("status", done.returncode, done.stderr)
    return 1
count = 0
for offset in range(4, 64 + 56 * 4):
    for value in (0, 0x7f, 0xff):
        count += check(good[:offset] + bytes([value]) + good[offset + 1:])
sections = int.from_bytes(good[40:48], "little")
for offset in range(sections, len(good), 7):
    count += check(good[:offset] + b"\xff\xff" + good[offset + 2:])
for size in list(range(0, 700, 23)) + list(range(700, len(good), 997)):
    count += check(good[:size])
print("looked at", count > 1000)
END
