#!/bin/sh
. "$TEST_SRC/run/common"
[ "$(id -u)" = 0 ] || skip "needs root, to become somebody else"
cp "$build/pmt" . && chmod 755 . pmt
: >secret.log
chmod 600 secret.log
setpriv --reuid 65534 --regid 65534 --clear-groups ./pmt --version >/dev/null 2>&1 || skip "nobody cannot run pmt here"
try setpriv --reuid 65534 --regid 65534 --clear-groups ./pmt log secret.log
