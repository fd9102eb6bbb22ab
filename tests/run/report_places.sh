#!/bin/sh
# Of the callers, those of the program's own code are shown, and of a recursion one.
. "$TEST_SRC/run/common"
lib=/usr/lib/python3.11
make_capture places.pmt <<RECORDS
process ended=exit cwd=/srv/app
site live=9/1 total=9/1 peak=1 /srv/app/a.py:1:f /srv/app/a.py:1:f /srv/app/a.py:1:f /srv/app/a.py:2:f /srv/app/a.py:1:f
site live=8/1 total=8/1 peak=1 $lib/json/decoder.py:1:g $lib/json/decoder.py:1:g $lib/json/decoder.py:2:h
site live=7/1 total=7/1 peak=1 /srv/app/a.py:3:work $lib/threading.py:1:run $lib/threading.py:2:_bootstrap
site live=6/1 total=6/1 peak=1 $lib/a.py:1:x $lib/b.py:2:y /srv/app/a.py:4:f $lib/c.py:3:z /srv/app/a.py:5:<module>
site live=5/1 total=5/1 peak=1 $lib/a.py:1:x $lib/b.py:2:y $lib/c.py:3:z $lib/d.py:4:w ...
site live=4/1 total=4/1 peak=1 <pmt>:5:label /srv/app/a.py:6:f
site live=3/1 total=3/1 peak=1 $lib/lib-dynload/m.py:1:m
site live=2/1 total=2/1 peak=1 /srv/app:1:m
site live=1/1 total=1/1 peak=1 /opt/u/.venv/lib64/python3/site-packages/site-packages/m.py:1:m
RECORDS
try pmt report --sort live --by stack places.pmt
try pmt report --sort live --stacks places.pmt
