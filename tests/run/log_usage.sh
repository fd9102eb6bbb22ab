#!/bin/sh
. "$TEST_SRC/run/common"
try pmt log
try pmt log --help
for words in '--top' '--top x' '--top -1' '--top 1.5' '--top 99999999999' '--by' '--by thread' '--bogus' '-x' '--json=1'; do
    # shellcheck disable=SC2086 # words
    try pmt log $words good.log
done
