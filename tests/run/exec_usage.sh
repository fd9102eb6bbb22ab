#!/bin/sh
. "$TEST_SRC/run/common"
try pmt-exec --version
try pmt-exec --help
try pmt-exec --help-all
pmt-exec --help | awk 'length > 80 { print "too wide: " $0 } END { if (NR > 24) print "more than a screen" }'
try pmt-exec
try pmt-exec --
try pmt-exec --events calls
