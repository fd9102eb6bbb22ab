#!/bin/sh
# Two captures: sites are matched by what their stacks say, in whatever order the files have them.
. "$TEST_SRC/run/common"
service_records | make_capture a.pmt
{
    echo 'process pid=5555 start=1700001000 time=9 ended=exit status=0 python=3.11.7 cwd=/srv/app'
    echo 'argv python app.py'
    service_records | grep -e '^site' -e '^python' | tac | sed 's/live=4000000.4000/live=9000000\/9001/;/live=65536/d;s/<string>/<stdin>/'
    echo 'site live=500/5 total=500/5 peak=1 /srv/app/app.py:14:report@13 /srv/app/app.py:41:<module>@1'
    echo 'native live=413122/1001 peak=500000 total=900000/3000 temp=100'
} | make_capture b.pmt
try pmt diff a.pmt b.pmt
try pmt diff b.pmt a.pmt
try pmt diff a.pmt a.pmt
try pmt diff --by stack --top 2 a.pmt b.pmt
try pmt diff --by label a.pmt b.pmt
try pmt diff --stacks --focus report a.pmt b.pmt
try pmt diff --json a.pmt b.pmt
try pmt diff --json --by file --top 1 a.pmt b.pmt
