#!/bin/sh
# The documented example: eight strings of 1 MiB, made and dropped; threshold 1.
. "$TEST_SRC/run/common"
make_log seed.log <<'END'
NEXT 0 0 0.066718 CALL test.py 9 create_string 9101312 9101312
NEXT 1 1 0.067265 RETURN test.py 10 create_string 10153984 1052672
PREV 4 3 0.067285 CALL test.py 9 create_string 10153984 0
NEXT 5 4 0.067777 RETURN test.py 10 create_string 11206656 1052672
PREV 8 3 0.067787 CALL test.py 9 create_string 11206656 0
NEXT 9 4 0.068356 RETURN test.py 10 create_string 12259328 1052672
PREV 12 3 0.068367 C_CALL test.py 65 len 12259328 0
NEXT 13 4 0.068944 C_CALL test.py 66 pop 11206656 -1052672
END
try pmt log seed.log
try pmt log --by function --top 1 seed.log
try pmt log --by file seed.log
try pmt log --json seed.log
