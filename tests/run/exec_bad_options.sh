#!/bin/sh
# Every kind of value that is not accepted: refused with 125 and a line naming option, value and what is.
. "$TEST_SRC/run/common"
refuse() { try pmt-exec "$@" true; }
refuse --bogus
refuse --bogus=1
refuse -z
refuse -qv
refuse --light=1
refuse --no-follow=1
refuse -q1
refuse -vv2
refuse --output ''
refuse --events ''
refuse --events all
refuse --events 'calls|lines'
refuse --events CALLS
for value in '' x -1 1.5 1K 1000000001 99999999999999999999 0x10 ' 1' '1 ' '$(id)' '*'; do
    refuse --threshold "$value"
done
refuse --sites some
for value in 0 1025G K 1T 1KK 1.5K 9999999999999999999 9223372036854775807G -1; do
    refuse --sample "$value"
done
refuse --depth 0
refuse --depth 1025
refuse --timeline -1
refuse --log-max 4095
refuse --log-max=1
for value in '' 'peak,' ,peak peak,,exit peek +0 + % 0% 101% 1.5% +1T 'peak exit'; do
    refuse --snapshot "$value"
done
refuse --summary yes
for option in -o --output --events -t --threshold --sites --sample --depth --lines --timeline --log-max --snapshot \
    --summary; do
    try pmt-exec $option
done
