#!/bin/sh
# What a row stands for. Whatever it is, the table ends in the same total.
. "$TEST_SRC/run/common"
service_records | make_capture service.pmt
for by in line function file stack label; do
    try pmt report --sort live --by $by service.pmt
    pmt report --json --by $by service.pmt | sed -n '/^{"stack"/p'
done
