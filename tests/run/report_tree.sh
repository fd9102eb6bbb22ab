#!/bin/sh
# Several processes: a row each, and the sums of their sites; the same stack is one row.
. "$TEST_SRC/run/common"
child() {
    echo "process pid=$1 parent=$2 start=$3 time=0.5 python=3.11.7 cwd=/srv/app ended=exit status=$4"
    echo "argv python worker.py $1"
    echo "state inherited_bytes $5"
    echo "state inherited_blocks 3"
    echo "site live=$6/10 peak=$6 total=$6/10 /srv/app/app.py:14:report@13 /srv/app/app.py:41:<module>@1"
    echo "site live=100/1 peak=100 total=100/1 /srv/app/worker.py:$1:run@1"
    echo 'mark point started time=0.01 memory=5'
    echo 'snapshot fork time=0 name=fork held=3:50/1'
    echo 'snapshot exit time=0.4'
}
service_records | make_capture parent.pmt
child 4300 4242 1700000001 0 1000000 5000000 | make_capture one.pmt
{ child 4301 4300 1700000002 1 0 7; echo 'state lost_marks 2'; } | make_capture two.pmt
try pmt report two.pmt one.pmt parent.pmt
try pmt report --sort growth one.pmt two.pmt
try pmt report --sort growth one.pmt parent.pmt
try pmt report --by stack --json two.pmt parent.pmt one.pmt
try pmt report --sort live --top 1 one.pmt missing.pmt two.pmt
