#!/bin/sh
. "$TEST_SRC/run/common"
try pmt --help
try pmt --version
try pmt
try pmt ''
try pmt --bogus
# commands of later versions are unknown, not stubs
for command in html rss lines plot export top snapshot peak list nonsense; do
    try pmt $command
done
pmt --help >/dev/full
echo "-> $?"
