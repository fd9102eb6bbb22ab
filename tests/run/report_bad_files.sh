#!/bin/sh
# Whatever is given instead of a capture: one clear line, status 1; the others are reported.
. "$TEST_SRC/run/common"
try pmt report missing.pmt
try pmt report .
: >empty.pmt
try pmt report empty.pmt
try pmt report /dev/null
mkfifo pipe.pmt
try pmt report pipe.pmt
echo 'hello world' >text.pmt
try pmt report text.pmt
try pmt report /usr/bin/env
make_log log.log <<'LOG'
NEXT 0 0 0.1 CALL a.py 1 f 4096 4096
LOG
try pmt report log.log
service_records | make_capture good.pmt
for size in 1 8 9 100 4095 4096; do
    head -c $size good.pmt >cut.pmt
    try pmt report cut.pmt | grep -v '^ ' | grep -e '^2>' -e '^->' -e '^note'
done
# patch OFFSET HEX: a copy of the good one
patch() {
    /usr/bin/python3 -c 'import sys
data = bytearray(open("good.pmt", "rb").read())
data[int(sys.argv[1]):int(sys.argv[1]) + len(sys.argv[2]) // 2] = bytes.fromhex(sys.argv[2])
open("patched.pmt", "wb").write(data)' "$1" "$2"
    try pmt report patched.pmt
}
patch 0 00
patch 8 01020304
patch 8 00000000
patch 12 02000000
patch 12 00000000
patch 16 00200000
patch 20 00000000
patch 1024 "$(printf '%06144d' 0)"
patch 1100 ff
try pmt report --json missing.pmt good.pmt text.pmt good.pmt ./good.pmt | tail -n 6 | cut -c 1-100
ln good.pmt again.pmt
try pmt report --sort live good.pmt again.pmt
