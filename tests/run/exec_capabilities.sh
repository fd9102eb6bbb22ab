#!/bin/sh
. "$TEST_SRC/run/common"
[ "$(id -u)" = 0 ] || skip "needs root, to give capabilities"
command -v setcap >/dev/null || skip "no setcap (libcap2-bin)"
chmod 755 .
mkdir bin lib
cp "$build/pmt" "$build/pmt-exec" bin
cp "$build/libpmt.so" lib
make_program program 'int main(void) { return 5; }'
chmod -R a+rX .
setcap cap_net_raw+ep program 2>/dev/null || skip "the file system takes no capabilities"
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
nobody bin/pmt --version >/dev/null 2>&1 || skip "nobody cannot run pmt here"
try nobody bin/pmt-exec --summary off ./program
