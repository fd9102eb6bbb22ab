#!/bin/sh
# A site that nobody has touched since the peak held then what it holds now; numbers of ticks wrap at 32 bits.
. "$TEST_SRC/run/common"
for since in 4 5 6 4294967301 0x100000003; do
    {
        echo "process ended=exit sequence=9"
        echo "state peak_sequence $since"
        echo 'site live=30/1 peak=99 total=40/1 sequence=4 before.py:1:f'
        echo 'site live=30/1 peak=99 total=40/1 sequence=5 at.py:1:f'
        echo 'site live=30/1 peak=99 total=40/1 sequence=6 after.py:1:f'
        echo 'site live=30/1 peak=99 total=40/1 sequence=0xffffffff long_before.py:1:f'
        echo 'native sequence=9'
    } | sed 's/0xffffffff/4294967295/' | make_capture case.pmt
    echo "--- $since"
    pmt report --sort peak case.pmt | sed -n '/^note/p;/^at the peak/,$p'
done
