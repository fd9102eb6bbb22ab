#!/bin/sh
. "$TEST_SRC/run/common"
{
    service_records
    echo 'snapshot growth time=0.25 held=0:1000/10,5:5000000/5000,4:1000000/9000'
    echo 'snapshot growth time=0.5 name=later'
} | make_capture service.pmt
for sort in live peak total temporary growth; do
    try pmt report --sort $sort service.pmt
    pmt report --json --sort $sort --top 2 service.pmt | sed -n '/^{"stack"/p'
done
service_records | make_capture none.pmt
try pmt report --sort growth none.pmt
try pmt report --sort growth --json none.pmt
{ service_records; echo 'snapshot exit'; } | make_capture exit.pmt
try pmt report --sort growth exit.pmt
