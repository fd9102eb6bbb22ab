#!/bin/sh
# A process that has exited: the reading at exit is what is shown; tables add up to the totals.
. "$TEST_SRC/run/common"
{
    service_records
    echo 'snapshot exit time=1.2 rss=40000000 held=0:400000/900,3:26319872/339641,4:1000000/9000,5:4000000/4000,1:2048/2'
} | make_capture service.pmt
try pmt report service.pmt
try pmt report --top 2 service.pmt
try pmt report --stacks --top 3 service.pmt
pmt report --json service.pmt | /usr/bin/python3 -m json.tool --compact | sed 's/{"stack"/\n&/g'
