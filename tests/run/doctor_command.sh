#!/bin/sh
# pmt doctor -- command: looks the command up, follows scripts, and runs none of it.
. "$TEST_SRC/run/common"
look() {
    printf '$ %s\n' "$*"
    pmt doctor -- "$@" >.out 2>.err
    status=$?
    sed -n '/^command/,$p' .out
    cat .err
    echo "-> $status"
}
look /usr/bin/python3 -c 'open("was run", "w")'
printf '#!/usr/bin/env python3\nopen("was run", "w")\n' >app.py
chmod 755 app.py
look ./app.py
printf '#! %s/app.py  arg  \n' "$PWD" >outer
chmod 755 outer
look ./outer
printf '#!%s/loop\n' "$PWD" >loop
chmod 755 loop
look ./loop
look env -u HOME A=1 -S 'python3 -I'
look env -i python3
look env no-such-command
look no-such-command
: >data
look ./data
ls 'was run' 2>/dev/null
pmt doctor --json -- ./app.py | /usr/bin/python3 -c '
import json, sys
command = json.load(sys.stdin)["command"]
print(sorted(command), command["argv"], command["preload"], command["obstacles"])'
