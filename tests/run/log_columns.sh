#!/bin/sh
# The seed's own narrower columns, as printed in its documentation, are read as well.
. "$TEST_SRC/run/common"
cat >narrow.log <<'END'
      Event        dEvent  Clock        What     File    #line Function      RSS           dRSS
NEXT: 0            +0      0.066718     CALL     test.py #   9 create_string  9101312      9101312
NEXT: 1            +1      0.067265     RETURN   test.py #  10 create_string 10153984      1052672
PREV: 4            +3      0.067285     CALL     test.py #   9 create_string 10153984            0
NEXT: 5            +4      0.067777     RETURN   test.py #  10 create_string 11206656      1052672
END
try pmt log narrow.log
