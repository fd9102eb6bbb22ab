#!/bin/sh
. "$TEST_SRC/run/common"
service_records | make_capture good.pmt
try pmt report
try pmt report --help
for words in '--top' '--top x' '--top -1' '--top 99999999999' '--by' '--by thread' '--sort' '--sort name' '--bogus' '-x' '--json=1'; do
    # shellcheck disable=SC2086 # words
    try pmt report $words good.pmt
done
pmt report good.pmt >/dev/full
echo "-> $?"
pmt report --json good.pmt >/dev/full
echo "-> $?"
