#!/bin/sh
# An i386 program that exits with 42, written by hand: two headers and ten bytes of code.
. "$TEST_SRC/run/common"
/usr/bin/python3 - <<'END'
import struct
code = bytes([0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80])
at = 0x8048000
header = b"\177ELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, at + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
segment = struct.pack("<IIIIIIII", 1, 0, at, at, 84 + len(code), 84 + len(code), 5, 4096)
open("i386", "wb").write(header + segment + code)
header = b"\177ELF\2\2\1" + bytes(9) + struct.pack(">HHIQQQIHHHHHH", 2, 22, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)
open("s390", "wb").write(header)
END
chmod 755 i386 s390
try pmt doctor --preflight -- ./i386
try pmt doctor --preflight -- ./s390
./i386 2>/dev/null
bare=$?
pmt-exec --summary off ./i386 2>/dev/null
[ $? = $bare ] && echo "status as without pmt"
