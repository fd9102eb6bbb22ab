#!/bin/sh
# Captures of every version of the format that was released are read.
. "$TEST_SRC/run/common"
for file in "$TEST_SRC"/golden/*.pmt; do
    try pmt report "$file"
    pmt report --json "$file" | cksum
done
