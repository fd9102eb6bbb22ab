#!/bin/sh
# Hostile names: nothing unsafe is printed, JSON is JSON, and files whose short paths are alike are written in full.
. "$TEST_SRC/run/common"
make_capture names.pmt <<'RECORDS'
process pid=4242 ended=exit status=0 python=3.11%1b[31m cwd=/srv/app
argv '' 'two words' new%0aline %ff%fe %e2%80%ae back\slash
site live=12/1 total=12/1 peak=1 %d1%84%d1%83.py:1:%d1%84%d1%83
site live=11/1 total=11/1 peak=1 new%0aline.py:1:a%1b[31mb
site live=10/1 total=10/1 peak=1 %ff%fe.py:3:%c2%9bf
site live=9/1 total=9/1 peak=1 "quo\"ted.py:1:back\\\\slash"
site live=8/1 total=8/1 peak=1 :1:
site live=7/1 total=7/1 peak=1 :1:only_name
site live=6/1 total=6/1 peak=1 only_file.py:0:
site live=5/1 total=5/1 peak=1 /srv/app/utils/io.py:5:read
site live=4/1 total=4/1 peak=1 /usr/lib/python3/dist-packages/utils/io.py:6:read
site live=3/1 total=3/1 peak=1 /usr/lib/python3.11/site-packages/other/io.py:7:read <frozen%20importlib._bootstrap>:241:_call /srv/app/venv/lib/python3.11/site-packages/x.py:2:<module>
site live=2/1 total=2/1 peak=1 /srv/application/a.py:7:read
site live=1/1 total=1/1 peak=1 label=%22%0a%ff /opt/lib/python-tools/x.py:-5:f
mark point %1b[2Jname time=0.5 memory=77
snapshot asked name=%07bell
RECORDS
try pmt report --by stack --top 0 names.pmt
pmt report --json names.pmt | /usr/bin/python3 -c '
import json, sys
whole = json.load(sys.stdin)
print(ascii(whole["process"]["argv"]), ascii(whole["marks"][0]["name"]), ascii(whole["snapshots"][0]["name"]))
for site in whole["sites"]:
    print(site["live_bytes"], ascii([(frame["file"], frame["line"], frame["function"]) for frame in site["stack"]]),
          ascii(site.get("label")))'
/usr/bin/python3 - <<'PYTHON' | make_capture long.pmt
print("process ended=exit")
print("argv", *["x" * 90] * 5)
print("site live=5/1 total=5/1 peak=5", "f" * 40000 + ".py:1:" + "n" * 40000)
PYTHON
pmt report --sort live long.pmt | /usr/bin/python3 -c '
import re, sys
print(re.sub(r"([xfn])\1{9,}", lambda match: f"<{len(match[0])} {match[1]}>", sys.stdin.read()), end="")'
