#!/bin/sh
# Whatever is given instead of a log: one clear line, status 1.
. "$TEST_SRC/run/common"
try pmt log missing.log
try pmt log .
: >empty.log
try pmt log empty.log
try pmt log /dev/null
try pmt log /dev/zero
try pmt log /usr/bin/env
echo 'hello world' >text.log
try pmt log text.log
printf '      Event        dEv' >cut.log
try pmt log cut.log
: >capture.pmt
try pmt log capture.pmt
mkfifo pipe.log
try pmt log pipe.log
mkdir "a directory.log"
try pmt log "a directory.log"
try pmt log "$(printf 'bad\nname\033[31m')"
ln -s loop.log loop.log
try pmt log loop.log
make_log good.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 4096 4096
END
try pmt log --json missing.log good.log text.log
pmt log --json good.log >/dev/full
echo "-> $?"
pmt log --json good.log | cat >piped.json
/usr/bin/env cat good.log | pmt log --json /dev/stdin | sed 's/"file": "[^"]*"/"file": -/' >stdin.json
sed 's/"file": "[^"]*"/"file": -/' piped.json | cmp - stdin.json && echo 'a pipe is read as the file is'
