#!/bin/sh
# Output directory, /proc, limits.
. "$TEST_SRC/run/common"
topic() { pmt doctor | sed -n "s/^$1 *//p"; }
topic output
PMT_DIR=new/deep topic output
: >file
PMT_DIR="file" topic output
PMT_DIR=file/below topic output
PMT_DIR=/proc topic output
mkdir -p proc/self
PMT_PROC_ROOT=$PWD/proc topic rss
echo 'not numbers' >proc/self/statm
PMT_PROC_ROOT=$PWD/proc topic rss
echo '100 50 0 0 0 0 0' >proc/self/statm
PMT_PROC_ROOT=$PWD/proc topic rss
topic limits
# shellcheck disable=SC3045 # dash and bash have it
(ulimit -n 16 && topic limits)
(ulimit -f 8 && pmt doctor | grep ^limits)
mkdir elsewhere
cp "$build/pmt" elsewhere
elsewhere/pmt doctor | grep ^library
echo 'no library' >elsewhere/libpmt.so
elsewhere/pmt doctor | grep ^library
