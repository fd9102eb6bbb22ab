#!/bin/sh
# Captures of every version of the format that was released are read: version-N.pmt was written by the library,
# version-N-made.pmt by make_capture.py with more in it.
. "$TEST_SRC/run/common"
cd "$TEST_SRC/golden" || exit 1
for file in *.pmt; do
    pmt report "$file"
    pmt report --json "$file" | cksum
    pmt diff --from growth-1 --to exit "$file"
done
