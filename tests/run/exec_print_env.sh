#!/bin/sh
. "$TEST_SRC/run/common"
try pmt-exec --print-env
try pmt-exec --print-env --light -o /var/log/app --threshold=4
try pmt-exec -o 'a "b" $c \d' --print-env ignored
try pmt-exec --print-env --events bad
make_program other.so 'int other_library;' -shared -fPIC
LD_PRELOAD=$PWD/other.so try pmt-exec --print-env
