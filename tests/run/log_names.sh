#!/bin/sh
# Hostile names: escapes are undone for grouping, nothing unsafe is printed, and JSON is JSON.
. "$TEST_SRC/run/common"
long=$(printf '%05000d' 7)
make_log names.log <<END
NEXT 0 0 0.1 CALL a%20b.py 1 <module> 4096 4096
NEXT 1 1 0.1 CALL функция.py 1 функция 8192 4096
NEXT 2 1 0.1 CALL \\x0anew\\x23line.py 2 a\\x1bb 12288 4096
NEXT 3 1 0.1 CALL \\x0Anew\\x23line.py 2 a\\x1Bb 16384 4096
NEXT 4 1 0.1 CALL %ff%fe.py 3 %c2%9bf 20480 4096
NEXT 5 1 0.1 CALL \\xff\\xfe.py 3 %c2%9bf 24576 4096
NEXT 6 1 0.1 CALL old#name#.py 4 f%20%201%202%20 28672 4096
NEXT 7 1 0.1 CALL back\\slash\\x4.py -5 "quoted" 32768 4096
NEXT 8 1 0.1 CALL - 0 %20 36864 4096
NEXT 9 1 0.1 CALL #%20%201%20x 6 f 40960 4096
NEXT 10 1 0.1 CALL %e2%80%aelatin.py 7 f 45056 4096
NEXT 11 1 0.1 CALL $long.py 8 f 49152 4096
NEXT 12 1 0.1 CALL thread=7 9 thread=8 53248 4096
END
pmt log --top 0 names.log | sed 's/0\{4999\}7/<5000 digits>/'
pmt log --json names.log | /usr/bin/python3 -c '
import json, sys
for site in json.load(sys.stdin)["rose"]:
    print(site["bytes"], ascii(site["function"]), ascii(site["file"][-30:]), site["line"])'
