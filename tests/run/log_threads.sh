#!/bin/sh
# Rows of other threads, messages, and messages that tell of lost rows.
. "$TEST_SRC/run/common"
make_log threads.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 4096000 4096000
NEXT 1 1 0.1 CALL a.py 1 f 4100096 4096 4711
NEXT 2 1 0.1 RETURN a.py 1 f 4100096 0 4712
MSG 2 0 0.15 rows were lost, says a user's own message
MSG 2 0 0.15 1000 bytes are the limit (PMT_LOG_MAX): rows are left out from here
MSG 9 7 0.2 7 rows were left out
MSG 9 7 0.2 12 rows were left out
MSG 9 7 0.2 3 rows were lost: ENOSPC
END
try pmt log threads.log
try pmt log --json threads.log
make_log killed.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 4096000 4096000
MSG 0 0 0.15 1000 bytes are the limit (PMT_LOG_MAX): rows are left out from here
END
try pmt log killed.log
pmt log --json killed.log | grep -o '"lost": [^,]*'
