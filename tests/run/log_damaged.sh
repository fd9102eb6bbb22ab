#!/bin/sh
# A row that is no row, anywhere but at the cut end, is an error that names the line; never skipped, never a guess.
. "$TEST_SRC/run/common"
make_log good.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 4096 4096
NEXT 1 1 0.2 CALL a.py 1 f 8192 4096
NEXT 2 1 0.2 CALL a.py 1 f 8192 0
END
damage() {
    sed "$1" good.log >bad.log
    printf '%s: ' "$1"
    pmt log bad.log 2>&1
    echo "-> $?"
}
damage '3s/NEXT/NEXt/'
damage '3s/NEXT: /NEXT:/'
damage '3s/+1/1/'
damage '3s/+1/+/'
damage '3s/0.200000/0.2.0/'
damage '3s/0.200000/-0.2/'
damage '3s/#/ /'
damage '3s/#   1/#   x/'
damage '3s/8192/-8192/'
damage '3s/8192/0x2000/'
damage '3s/8192/99999999999999999999/'
damage '3s/4096$/4096 /'
damage '3s/4096$/4096x/'
damage '3s/4096$/--4096/'
damage '3s/4096$/4096 thread=/'
damage '3s/4096$/4096 thread=1x/'
damage '3s/$/\r/'
damage '3s/.*//'
damage '3s/.*/garbage/'
damage '3s/.*/MSG:  1 +0 0.1 text/'
damage '3s/.*/MSG:  x/'
damage '3s/^NEXT: 1 /NEXT: 0 /;4s/^NEXT: 2 /NEXT: 0 /'
damage '3s/^NEXT: 1 /NEXT: 7 /'
damage '3{h;G}'
damage '1{h;G}'
damage '1d'
damage '3s/8192/12288/'
tr '\n' '\0' <good.log >nul.log
try pmt log nul.log
printf 'x\0y\n' | sed '1r /dev/stdin' good.log >inside.log
try pmt log inside.log
{ head -n 3 good.log; head -c 40 /dev/zero; echo; } >behind.log
try pmt log behind.log
{ cat good.log; head -c 17000000 /dev/zero | tr '\0' 'x'; } >long.log
try pmt log long.log
