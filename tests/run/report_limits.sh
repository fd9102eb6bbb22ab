#!/bin/sh
# What the capture itself says that it could not hold, and captures without sites or exact sizes.
. "$TEST_SRC/run/common"
{
    service_records
    echo 'other live=999/9 peak=9 total=9999/99 temp=1'
    for what in sites nodes functions strings marks snapshots; do echo "state lost_$what 12"; done
    echo 'meta warning the table of blocks found no memory'
    echo 'meta warning a second one,%0ain two lines'
    echo 'site live=1/1 total=1/1 peak=1 a.py:1:f b.py:2:g ...'
} | make_capture full.pmt
try pmt report --sort live --top 0 full.pmt
try pmt report --sort live --by stack --stacks --focus b.py full.pmt
pmt report --json full.pmt | grep -e is_other -e is_cut -e '"warnings": \["12'
for sites in off sample; do
    { echo 'process ended=exit'; echo "meta sites $sites"; echo 'header features 0'; echo 'length sites_a 0'
      echo 'drop sites_a 0'; echo 'state native_live_bytes 4096'; echo 'state native_live_blocks 1'; } | make_capture off.pmt
    try pmt report off.pmt
    try pmt report --json off.pmt
done
