#!/bin/sh
# Above one page of threshold, what moved in events that were not logged has a line of its own; the sum closes.
. "$TEST_SRC/run/common"
make_log slow.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 1000000 1000000
PREV 9 9 0.2 CALL a.py 2 g 1040960 4096
NEXT 10 10 0.3 RETURN a.py 3 g 1053248 12288
NEXT 11 1 0.4 C_CALL a.py 4 len 1012288 -40960
PREV 19 8 0.5 C_CALL a.py 4 len 1000000 0
NEXT 20 9 0.6 C_RETURN a.py 4 len 1000000 0
PREV 22 2 0.7 CALL a.py 5 h 1012288 4096
NEXT 23 3 0.8 RETURN a.py 6 h 1053248 40960
END
try pmt log slow.log
try pmt log --json --by function slow.log
