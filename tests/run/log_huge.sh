#!/bin/sh
# Numbers at the edge of 64 bits add up or are refused.
. "$TEST_SRC/run/common"
make_log edge.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 0 0
NEXT 9223372036854775807 9223372036854775807 0.1 CALL a.py 1 f 9223372036854775807 9223372036854775807
END
try pmt log edge.log
{
    echo NEXT 0 0 0.1 CALL a.py 1 f 0 0
    for n in 1 3 5; do
        echo NEXT $n 1 0.1 CALL a.py 1 f 9223372036854775807 9223372036854775807
        echo NEXT $((n + 1)) 1 0.1 CALL a.py 1 f 0 -9223372036854775807
    done
} | make_log sum.log
try pmt log sum.log
make_log gap.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 9223372036854775807 0
NEXT 5 5 0.1 CALL a.py 1 f 0 9223372036854775807
END
try pmt log gap.log
