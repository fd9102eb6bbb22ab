#!/bin/sh
# Every row of the table, in every form, arrives as its variable.
. "$TEST_SRC/run/common"
given() {
    printf '%s:' "$*"
    pmt-exec --summary off "$@" env | grep ^PMT_ | grep -v '^PMT_ROOT=' | sort | tr '\n' ' '
    echo
}
given
given -o logs
given -ologs
given --output logs
given --output=logs
given --output 'a b' --output=c=d
for value in off python calls lines; do given --events "$value"; done
given -t 0
given -t5
given --threshold=1000000000
given --threshold 007
for value in off sample exact; do given --sites=$value; done
for value in 1 512K 3m 1024G 1099511627776; do given --sample $value; done
given --native
given --no-native
given --depth 1024
given --lines 'app.py:*,json:dumps'
given --lines ''
given --timeline 0
given --log-max 4K
given --log-max 1048576G
for value in peak exit,signal +256M,80% 100%; do given --snapshot $value; done
given --summary=auto
given --no-trim
given --light
given --light --events lines
given --events lines --light
given --no-follow
given --all
given -q
given -v
given -vv
given -v -q
given --
