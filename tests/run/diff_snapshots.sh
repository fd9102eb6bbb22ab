#!/bin/sh
# Two snapshots of one file, or of two.
. "$TEST_SRC/run/common"
{
    service_records
    echo 'snapshot growth time=0.25 held=0:1000/10,5:5000000/5000,4:1000000/9000'
    echo 'snapshot asked time=0.3 name=before%20load held=0:1000/10'
    echo 'snapshot growth time=0.5'
    echo 'snapshot asked time=0.6 held=0:2000/10'
    echo 'snapshot exit time=1.2 held=0:3000/30'
} | make_capture a.pmt
try pmt report --sort live a.pmt
try pmt diff --from growth-1 a.pmt
try pmt diff --from growth-1 --to growth-2 a.pmt
try pmt diff --from 'before load' --to snapshot-2 a.pmt
try pmt diff a.pmt@growth-1 a.pmt@exit
try pmt diff a.pmt@exit a.pmt
cp a.pmt odd@name.pmt
try pmt diff odd@name.pmt odd@name.pmt@growth-1
try pmt diff --json --from growth-2 --to growth-1 --top 1 a.pmt
