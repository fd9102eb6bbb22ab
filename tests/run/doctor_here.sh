#!/bin/sh
# What does not depend on the machine, of a run without trouble.
. "$TEST_SRC/run/common"
pmt doctor | sed 's/^\([a-z]* *\)\([a-z]*\) .*/\1\2/' | grep -v '^ \|^python\|^kernel\|^gate'
pmt doctor --json | /usr/bin/python3 -c '
import json, subprocess, sys
report = json.load(sys.stdin)
print(sorted(report), report["library"])
print("pmt " + report["version"] == subprocess.getoutput("pmt --version"))
print({finding["level"] for finding in report["findings"]} <= {"ok", "note", "problem"})
print(sorted(report["findings"][0]))
own = [python for python in report["interpreters"] if python["path"] == "/usr/bin/python3"]
print(own)'
try pmt doctor --help
try pmt doctor --bogus
